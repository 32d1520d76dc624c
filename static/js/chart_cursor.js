// One place of the x axis on all charts at once: a line and what each chart says there. Follows the pointer and the arrow keys.

import { element } from "./dom.js";
import { eventsAt, nearestPlace, placeAlong, readingsAt } from "./readout.js";
import { xPixels } from "./plot.js";
import { X_AXES } from "./x_axis.js";

const REACH_PX = 8;
const STRIDE = 10; // points, with shift held down
const KEYS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

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
   */
  constructor(charts, drawn, status) {
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
    chart.addEventListener("blur", () => this.#moveTo(null, null));
    chart.addEventListener("keydown", (event) => this.#obey(event, chart));
  }

  #obey(event, chart) {
    const shown = this.drawn.get(chart);
    if (!shown || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape") this.#moveTo(null, null);
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    const points = KEYS[event.key] * (event.shiftKey ? STRIDE : 1);
    this.#moveTo(placeAlong(shown.data, this.place, points), chart);
    this.status.textContent = this.#story(chart);
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
