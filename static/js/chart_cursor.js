// One place of the x axis on all charts at once: a line and what each chart says there. Follows the pointer and the keys.

import { element } from "./dom.js";
import { markerNear } from "./markers.js";
import { eventsAt, nearestPlace, placeAlong, readingsAt } from "./readout.js";
import { stepToPixel, stepToPlace, xPixels, xRange } from "./plot.js";
import { X_AXES } from "./x_axis.js";

const REACH_PX = 8;
const STRIDE = 10; // points, with shift held down
const POINTS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const MARKERS = { PageUp: 1, PageDown: -1 };
const ZOOMS = { "+": 0.5, "-": 2 };

/**
 * @typedef {object} Drawn What a chart shows at the moment.
 * @property {import("./plot.js").ChartInput} input
 * @property {object[]} data Plotly traces.
 * @property {object} layout
 */

/** Draws the cursor over the charts; it is no part of them, so that moving it draws none of them again. */
export class ChartCursor {
  /**
   * @param {HTMLElement[]} charts
   * @param {Map<HTMLElement, Drawn>} drawn What those that are in sight show.
   * @param {HTMLElement} status Where the focused chart's values are read out.
   * @param {{open: function(object, DOMRect, string): void, near: function(object): void,
   *   zoom: function(HTMLElement, ?number, number): ?[number, number], reset: function(): void}} acts What keys do: with a
   *   marker as the pointer does, to the x axis (it returns what is shown then), and to all axes.
   */
  constructor(charts, drawn, status, acts) {
    this.acts = acts;
    this.drawn = drawn;
    this.status = status;
    this.place = null;
    this.leader = null;
    this.marks = new Map(charts.map((chart) => [chart, this.#mark(chart)]));
    for (const chart of charts) this.#listen(chart);
  }

  #mark(chart) {
    const label = element("div", { className: "chart-cursor-label" });
    const mark = element("div", { className: "chart-cursor", hidden: true, "aria-hidden": "true" }, label);
    chart.after(mark);
    return { mark, label };
  }

  #listen(chart) {
    chart.addEventListener("mousemove", ({ clientX }) => {
      const shown = this.drawn.get(chart);
      if (!shown) return;
      const place = xPixels(shown.input).toPlace(clientX - chart.getBoundingClientRect().left);
      this.#moveTo(nearestPlace(shown.data, place), chart);
    });
    chart.addEventListener("mouseleave", () => this.#moveTo(null, null));
    chart.addEventListener("blur", ({ relatedTarget }) => {
      if (!relatedTarget?.closest("[popover]")) this.#moveTo(null, null); // who closes a marker's menu goes on from there
    });
    chart.addEventListener("keydown", (event) => this.#obey(event, chart));
  }

  #obey(event, chart) {
    const shown = this.drawn.get(chart);
    if (!shown || event.ctrlKey || event.altKey || event.metaKey) return;
    const { key } = event;
    if (key === "Escape") this.#moveTo(null, null);
    if (key in POINTS) {
      this.#moveTo(placeAlong(shown.data, this.place, POINTS[key] * (event.shiftKey ? STRIDE : 1)), chart);
      this.status.textContent = this.#story(chart);
    } else if (key in MARKERS) this.#jump(chart, shown, MARKERS[key]);
    else if (key in ZOOMS) this.#zoom(chart, shown, ZOOMS[key]);
    else if (key === "0") this.acts.reset();
    else if (key === "Enter") this.#open(chart, shown);
    else return;
    event.preventDefault();
  }

  /** To the next marker that is in view, or the one before. */
  #jump(chart, { input }, way) {
    const toPlace = stepToPlace(input);
    const [low, high] = xRange(input);
    const from = this.place ?? (way > 0 ? -Infinity : Infinity);
    const ahead = input.markers.filter(({ step }) => toPlace(step) >= low && toPlace(step) <= high && way * (toPlace(step) - from) > 0);
    const marker = ahead.at(way > 0 ? 0 : -1);
    if (!marker) {
      this.status.textContent = way > 0 ? "No later event in view." : "No earlier event in view.";
      return;
    }
    this.#moveTo(toPlace(marker.step), chart);
    this.acts.near(marker);
    this.status.textContent = this.#story(chart);
  }

  #zoom(chart, { input }, factor) {
    const range = this.acts.zoom(chart, this.place, factor);
    const { say } = X_AXES[input.xAxis];
    this.status.textContent = range ? `Shown: ${range.map(say).join(" to ")}.` : "All is shown.";
  }

  /** As a click there would. */
  #open(chart, { input }) {
    if (this.place === null) return;
    const pixel = xPixels(input).toPixel(this.place);
    const marker = markerNear(input.markers, stepToPixel(input), pixel);
    const { left, top, height } = chart.getBoundingClientRect();
    if (marker) this.acts.open(marker, new DOMRect(left + pixel, top + height / 2, 0, 0), chart.dataset.chart);
    else this.status.textContent = "No event here.";
  }

  #moveTo(place, leader) {
    if (place === this.place && leader === this.leader) return;
    [this.place, this.leader] = [place, leader];
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.show();
    });
  }

  /** Draw the cursor where it is; charts that were drawn anew may say something else there. */
  show() {
    for (const [chart, parts] of this.marks) this.#showOn(chart, parts);
  }

  #showOn(chart, { mark, label }) {
    const shown = this.drawn.get(chart);
    const pixel = shown && this.place !== null ? xPixels(shown.input).toPixel(this.place) : NaN;
    const { l: left, r: right, t: top, b: bottom } = shown?.layout.margin ?? {};
    const { width, height } = shown?.layout ?? {};
    mark.hidden = !(pixel >= left - 1 && pixel <= width - right + 1);
    if (mark.hidden) return;
    mark.classList.toggle("is-left", pixel > width / 2);
    Object.assign(mark.style, { transform: `translateX(${Math.round(pixel)}px)`, bottom: `${bottom}px`, height: `${height - top - bottom}px` });
    const lines = this.#readings(chart).map(({ text, colour }) => element(
      "div", {}, element("i", { style: colour ? `background:${colour}` : "" }), element("span", { textContent: text })));
    const head = chart === this.leader ? [element("b", { textContent: this.#where(chart) })] : [];
    label.replaceChildren(...head, ...lines);
  }

  #readings(chart) {
    const { input, data } = this.drawn.get(chart);
    const { toPixel } = xPixels(input);
    const pixel = toPixel(this.place);
    const isNear = (place) => Math.abs(toPixel(place) - pixel) <= REACH_PX;
    return [...readingsAt(data, this.place, isNear), ...(chart === this.leader ? eventsAt(data, isNear) : [])];
  }

  #where(chart) {
    return X_AXES[this.drawn.get(chart).input.xAxis].say(this.place);
  }

  #story(chart) {
    if (this.place === null) return "Nothing is drawn yet.";
    return `${this.#where(chart)}: ${this.#readings(chart).map(({ text }) => text.replaceAll("\n", ", ")).join("; ")}`;
  }
}
