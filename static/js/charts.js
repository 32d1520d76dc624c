// The chart panel: draws the figures into the page, at most four times a second, visible ones only.

import { anatomyReadings } from "./anatomy_figures.js";
import { ChartCursor } from "./chart_cursor.js";
import { CHARTS } from "./chart_table.js";
import { readings } from "./figures.js";
import { insideReadings } from "./inside_figures.js";
import { markerNear, markersOf } from "./markers.js";
import { SLOTS } from "./overlay_figures.js";
import { stepToPixel, zoomedAbout } from "./plot.js";
import { rateReadings } from "./rate_figures.js";
import { SMOOTHING } from "./view.js";
import { placed } from "./x_axis.js";

const COLOURS = ["ink", "muted", "surface", "line", "grid", "training", "validation", "K", "C", "S", "throughput", "attention", "depth",
  "compressor", "order", "marker", "alert", ...SLOTS.map(({ colour }) => colour)];
const FRAME_INTERVAL_MS = 250;
const FRAME_BUDGET_MS = 25; // begun charts are finished
const REST = 4; // times as long as drawing took, the page is left to whoever uses it
const PLOT_CONFIG = { displayModeBar: false, doubleClick: false, responsive: false, showTips: false };

/**
 * The theme's colours as the browser resolved them; Plotly cannot read CSS custom properties.
 * @returns {Object<string, string>}
 */
function themeColours() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const colours = Object.fromEntries(
    COLOURS.map((name) => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }),
  );
  colours.font = getComputedStyle(document.body).fontFamily;
  probe.remove();
  return colours;
}

/** The page itself says what is under the pointer, on all charts at once; Plotly only tells of it. */
const withoutLabel = (trace) => (trace.type === "scatter" ? { ...trace, hovertemplate: undefined, hoverinfo: "none" } : trace);

/** Draws every `[data-chart]` of the page from the store. */
export class ChartPanel {
  /**
   * @param {HTMLElement} page
   * @param {{get: function(): object, subscribe: function(function): void, update: function(object): void}} store
   * @param {Promise<object>} plotly Resolves to the Plotly library.
   * @param {{open: function(object, DOMRect, string): void, near: function(object): void}} onMarker Called with a
   *   marker that is clicked (and where, and on which chart), or that the pointer is near to.
   */
  constructor(page, store, plotly, onMarker) {
    this.onMarker = onMarker;
    this.page = page;
    this.store = store;
    this.elements = [...page.querySelectorAll("[data-chart]")];
    this.depth = page.querySelector(".chart-depth"); // there where positions choose how deep they go
    this.visible = new Set();
    this.drawn = new Map(); // what those in sight show
    this.colours = themeColours();
    this.lastFrame = -Infinity;
    this.frameMs = 0; // what the last one took
    this.cursor = new ChartCursor(this.elements, this.drawn, page.querySelector("[data-cursor-status]"), {
      ...onMarker,
      zoom: (element, place, factor) => this.#zoomAbout(element, place, factor),
      reset: () => this.#setZoom({ x: null, y: {} }),
    });
    plotly.then((library) => this.#start(library));
  }

  /** The theme changed: read its colours again. */
  recolour() {
    this.colours = themeColours();
    this.draw();
  }

  /** Draw soon, but not sooner than a frame's interval after the last time; on a busy machine, than a multiple of what that took. */
  draw() {
    if (this.timer || !this.plotly) return;
    const interval = Math.max(FRAME_INTERVAL_MS, (1 + REST) * this.frameMs);
    const wait = Math.max(0, this.lastFrame + interval - performance.now());
    this.timer = setTimeout(() => {
      this.timer = null;
      this.lastFrame = performance.now();
      this.#drawVisible();
      this.frameMs = performance.now() - this.lastFrame;
    }, wait);
  }

  /**
   * What a chart shows, as it would in that size.
   * @param {string} name
   * @param {{width: number, height: number}} size In pixels.
   * @returns {{data: object[], layout: object}}
   */
  figure(name, size) {
    return CHARTS[name].figure({ ...this.#input(), size, chart: name });
  }

  #start(library) {
    this.plotly = library;
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        this.visible[isIntersecting ? "add" : "delete"](target);
        if (!isIntersecting) this.drawn.delete(target);
      }
      this.draw();
    }, { rootMargin: "100px" });
    const resized = new ResizeObserver(() => this.draw());
    for (const element of this.elements) {
      seen.observe(element);
      resized.observe(element);
    }
    document.addEventListener("visibilitychange", () => this.draw());
    this.store.subscribe((state, previous) => {
      const before = previous.status?.run_id;
      if (before && state.status?.run_id !== before) this.#setZoom({ x: null, y: {} });
      this.depth.hidden = !state.status?.config?.use_act;
      this.#showReadings(state);
      this.draw();
    });
  }

  #showReadings({ status, metrics, difference }) {
    const texts = {
      ...readings(status, metrics, difference),
      ...insideReadings(metrics),
      ...anatomyReadings(metrics),
      ...rateReadings(metrics, status?.config),
    };
    for (const [name, text] of Object.entries(texts)) {
      const place = this.page.querySelector(`[data-reading="${name}"]`);
      if (place.textContent !== text) place.textContent = text;
    }
  }

  /** What all charts are drawn from, their size apart. */
  #input() {
    const { status, metrics, events, overlays, difference, view, checkpoints, effects, milestones, bands } = this.store.get();
    return {
      metrics: placed(metrics, view.x),
      overlays: overlays.map((overlay) => ({ ...overlay, metrics: placed(overlay.metrics, view.x) })),
      difference,
      markers: markersOf(events, checkpoints),
      effects,
      milestones,
      bands,
      baselines: status?.baselines ?? null,
      telemetry: status?.run_id ? status.telemetry : null,
      layers: status?.config?.num_layers ?? 1,
      budget: status?.config?.telemetry_budget ?? 1,
      colours: this.colours,
      smoothing: SMOOTHING[view.smoothing],
      zoom: view.zoom,
      xAxis: view.x,
      xScale: view.xScale,
      yScales: view.yScales,
    };
  }

  /**
   * Draw charts in sight, those longest out of date first, as long as a frame may take; the others have their turn in the
   * next. What was never drawn, or as somebody no longer wants it, does not wait for that.
   */
  #drawVisible() {
    if (document.hidden) return;
    const began = performance.now();
    const shared = this.#input();
    const state = this.store.get();
    // All sizes are read before anything is drawn: after it, each would make the browser lay the page out anew.
    const sizes = new Map(this.elements.map((element) => [element, { width: element.clientWidth, height: element.clientHeight }]));
    const urgent = new Set(this.elements.filter((element) => {
      const { input, state: shown } = this.drawn.get(element) ?? {};
      const { width, height } = sizes.get(element);
      return shown?.view !== state.view || input.colours !== this.colours || input.size.width !== width || input.size.height !== height;
    }));
    const isDue = (element) => this.visible.has(element) && (this.drawn.get(element)?.state !== state || urgent.has(element));
    const age = (element) => (urgent.has(element) ? -Infinity : this.drawn.get(element).at);
    const waiting = this.elements.filter(isDue).sort((one, other) => age(one) - age(other));
    while (waiting.length && performance.now() - began < FRAME_BUDGET_MS) {
      const element = waiting.shift();
      this.#drawOne(element, { ...shared, size: sizes.get(element) }, state);
    }
    this.cursor.show();
    if (waiting.some((element) => urgent.has(element))) setTimeout(() => this.#drawVisible());
    else if (waiting.length) this.draw();
  }

  #drawOne(element, shared, state) {
    const input = { ...shared, chart: element.dataset.chart };
    const { data, layout } = CHARTS[element.dataset.chart].figure(input);
    this.plotly.react(element, data.map(withoutLabel), layout, PLOT_CONFIG);
    this.drawn.set(element, { input, data, layout, state, at: performance.now() });
    this.#listen(element);
  }

  #listen(element) {
    if (element.dataset.drawn) return;
    element.dataset.drawn = "true";
    element.on("plotly_relayout", (change) => this.#zoomed(element, change));
    const markerUnder = ({ clientX }) => {
      const { input } = this.drawn.get(element);
      return markerNear(input.markers, stepToPixel(input), clientX - element.getBoundingClientRect().left);
    };
    element.on("plotly_click", ({ event }) => {
      const marker = markerUnder(event);
      if (marker) this.onMarker.open(marker, new DOMRect(event.clientX, event.clientY, 0, 0), element.dataset.chart);
    });
    element.addEventListener("mousemove", (event) => {
      const marker = markerUnder(event);
      element.classList.toggle("near-marker", marker !== null);
      element.title = marker ? `${marker.story.join("\n")}\nClick: before and after, and what to do from here` : "";
      if (marker) this.onMarker.near(marker);
    });
    element.on("plotly_doubleclick", () => this.#setZoom({ x: null, y: {} }));
  }

  /** Somebody drew a rectangle on a chart. Plotly tells exponents of a logarithmic axis. */
  #zoomed(element, change) {
    const { layout } = this.drawn.get(element);
    const [x, y] = ["xaxis", "yaxis"].map((axis) => {
      if (!(`${axis}.range[0]` in change)) return null;
      const ends = [change[`${axis}.range[0]`], change[`${axis}.range[1]`]];
      return layout[axis].type === "log" ? ends.map((end) => 10 ** end) : ends;
    });
    const { zoom } = this.store.get().view;
    if (x || y) this.#setZoom({ x: x ?? zoom.x, y: y ? { ...zoom.y, [element.dataset.chart]: y } : zoom.y });
  }

  /** Somebody pressed a key, perhaps before the last one is drawn. */
  #zoomAbout(element, place, factor) {
    const { zoom } = this.store.get().view;
    const x = zoomedAbout({ ...this.drawn.get(element).input, zoom }, place, factor);
    this.#setZoom({ ...zoom, x });
    return x;
  }

  /** All charts share what is shown of the x axis; each has its own heights. */
  #setZoom(zoom) {
    this.store.update({ view: { ...this.store.get().view, zoom } });
  }
}
