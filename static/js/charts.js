// The chart panel: draws the figures into the page, at most four times a second, visible ones only.

import { anatomyReadings, bitsFigure, gradientFigure, headsFigure, sampleFigure } from "./anatomy_figures.js";
import { differenceFigure, lossFigure, readings, telemetryFigure, throughputFigure } from "./figures.js";
import { attentionFigure, costFigure, depthFigure, insideReadings, memoryFigure } from "./inside_figures.js";
import { markerNear, markersOf } from "./markers.js";
import { stepToPixel } from "./plot.js";
import { rateFigure, rateReadings } from "./rate_figures.js";

const FIGURES = {
  loss: lossFigure,
  difference: differenceFigure,
  telemetry: telemetryFigure,
  throughput: throughputFigure,
  attention: attentionFigure,
  depth: depthFigure,
  memory: memoryFigure,
  cost: costFigure,
  bits: bitsFigure,
  heads: headsFigure,
  gradient: gradientFigure,
  rate: rateFigure,
  sample: sampleFigure,
};
const COLOURS = ["ink", "muted", "surface", "line", "grid", "training", "validation", "K", "C", "S", "throughput", "attention", "depth",
  "compressor", "order", "marker", "alert", "beside"];
const FRAME_INTERVAL_MS = 250;
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

/** Draws every `[data-chart]` of the page from the store. */
export class ChartPanel {
  /**
   * @param {HTMLElement} page
   * @param {{get: function(): object, subscribe: function(function): void}} store
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
    this.markerAt = new Map(); // by chart, which differ in width
    this.zoom = { x: null, y: {}, revision: 0 };
    this.smoothing = 0.02;
    this.colours = themeColours();
    this.lastFrame = -Infinity;
    this.smoothingControl = page.querySelector("[data-smoothing]");
    this.resetButton = page.querySelector("[data-reset-zoom]");
    plotly.then((library) => this.#start(library));
  }

  /** The theme changed: read its colours again. */
  recolour() {
    this.colours = themeColours();
    this.draw();
  }

  /** Draw soon, but not sooner than a frame's interval after the last time. */
  draw() {
    if (this.timer || !this.plotly) return;
    const wait = Math.max(0, this.lastFrame + FRAME_INTERVAL_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = null;
      this.lastFrame = performance.now();
      this.#drawVisible();
    }, wait);
  }

  #start(library) {
    this.plotly = library;
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.visible[isIntersecting ? "add" : "delete"](target);
      this.draw();
    }, { rootMargin: "100px" });
    const resized = new ResizeObserver(() => this.draw());
    for (const element of this.elements) {
      seen.observe(element);
      resized.observe(element);
    }
    this.smoothingControl.addEventListener("change", () => {
      this.smoothing = Number(this.smoothingControl.value);
      this.draw();
    });
    this.resetButton.addEventListener("click", () => this.#setZoom({ x: null, y: {} }));
    document.addEventListener("visibilitychange", () => this.draw());
    this.store.subscribe((state, previous) => {
      if (state.status?.run_id !== previous.status?.run_id) this.#setZoom({ x: null, y: {} });
      this.depth.hidden = !state.status?.config?.use_act;
      this.#showReadings(state);
      this.draw();
    });
  }

  #showReadings({ status, metrics, difference }) {
    const texts = {
      ...readings(status, metrics, difference), ...insideReadings(metrics), ...anatomyReadings(metrics), ...rateReadings(metrics, status?.config),
    };
    for (const [name, text] of Object.entries(texts)) {
      const place = this.page.querySelector(`[data-reading="${name}"]`);
      if (place.textContent !== text) place.textContent = text;
    }
  }

  #drawVisible() {
    if (document.hidden) return;
    const { status, metrics, events, overlays, difference, checkpoints, effects, milestones, bands } = this.store.get();
    const shared = {
      metrics,
      overlays,
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
      smoothing: this.smoothing,
      zoom: this.zoom,
    };
    const visible = this.elements.filter((one) => this.visible.has(one));
    const fresh = visible.filter((one) => !one.dataset.drawn);
    if (fresh.length > 1) setTimeout(() => this.#drawVisible()); // a first draw is slow: show each when it is done
    for (const element of fresh.length ? fresh.slice(0, 1) : visible) {
      const size = { width: element.clientWidth, height: element.clientHeight };
      const { data, layout } = FIGURES[element.dataset.chart]({ ...shared, size, chart: element.dataset.chart });
      this.plotly.react(element, data, layout, PLOT_CONFIG);
      this.markerAt.set(element, (pixel) => markerNear(shared.markers, stepToPixel({ ...shared, size }), pixel));
      this.#listenForZoom(element);
    }
  }

  #listenForZoom(element) {
    if (element.dataset.drawn) return;
    element.dataset.drawn = "true";
    const name = element.dataset.chart;
    element.on("plotly_relayout", (change) => {
      const [x, y] = ["xaxis", "yaxis"].map((axis) =>
        `${axis}.range[0]` in change ? [change[`${axis}.range[0]`], change[`${axis}.range[1]`]] : null,
      );
      if (x || y) this.#setZoom({ x: x ?? this.zoom.x, y: y ? { ...this.zoom.y, [name]: y } : this.zoom.y });
    });
    const markerUnder = ({ clientX }) => this.markerAt.get(element)(clientX - element.getBoundingClientRect().left);
    element.on("plotly_click", ({ event }) => {
      const marker = markerUnder(event);
      if (marker) this.onMarker.open(marker, new DOMRect(event.clientX, event.clientY, 0, 0), name);
    });
    element.addEventListener("mousemove", (event) => {
      const marker = markerUnder(event);
      element.classList.toggle("near-marker", marker !== null);
      element.title = marker ? `${marker.story.join("\n")}\nClick: before and after, and what to do from here` : "";
      if (marker) this.onMarker.near(marker);
    });
    element.on("plotly_doubleclick", () => this.#setZoom({ x: null, y: {} }));
  }

  /** All charts share the steps shown; each has its own heights. */
  #setZoom({ x, y }) {
    this.zoom = { x, y, revision: this.zoom.revision + 1 };
    this.resetButton.hidden = x === null && Object.keys(y).length === 0;
    this.draw();
  }
}
