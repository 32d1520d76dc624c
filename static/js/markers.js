// Events on the step axis of every chart: a vertical line, a short label, a hover with the whole story.

import { sentence, shortLabel, sourceName, weight } from "./events.js";
import { whole } from "./format.js";

/**
 * @typedef {object} Marker
 * @property {number} step
 * @property {string} label Short; of the last event at that step.
 * @property {string[]} story One line for each event at that step.
 * @property {boolean} isAlert
 */

/**
 * One marker for each step at which somebody intervened or something went wrong, in order of step.
 * @param {Array<import("./events.js").RunEvent>} events Oldest first.
 * @returns {Marker[]}
 */
export function markersOf(events) {
  const byStep = new Map();
  const mark = (step, label, line, isAlert) => {
    const marker = byStep.get(step) ?? { step, story: [], isAlert: false };
    marker.label = label;
    marker.story.push(line);
    marker.isAlert ||= isAlert;
    byStep.set(step, marker);
  };
  for (const event of events) {
    if (event.kind === "run_forked") {
      const other = event.payload.change;
      if (other) mark(other.step, `not ${shortLabel(other)}`, `${sentence(event)} · ${sourceName(event.source)}`, false);
      else mark(event.step, "fork", `${sentence(event)} · ${sourceName(event.source)}`, false);
    } else if (weight(event) !== "note") {
      mark(event.step, shortLabel(event), `${sentence(event)} · ${sourceName(event.source)}`, weight(event) === "alert");
    }
  }
  return [...byStep.values()].sort((one, other) => one.step - other.step);
}

const REACH_PX = 8;

/**
 * The marker that a pointer means: the nearest, if it is near.
 * @param {Marker[]} markers
 * @param {function(number): number} toPixel From step to pixel.
 * @param {number} pixel The pointer's.
 * @returns {?Marker}
 */
export function markerNear(markers, toPixel, pixel) {
  const distance = ({ step }) => Math.abs(toPixel(step) - pixel);
  const nearest = markers.reduce((best, one) => (best && distance(best) <= distance(one) ? best : one), null);
  return nearest && distance(nearest) <= REACH_PX ? nearest : null;
}

const CHARACTER_PX = 5.4;
const LABEL_GAP_PX = 6;
const FARTHEST_PX = 36;

const labelWidth = ({ label }) => label.length * CHARACTER_PX + LABEL_GAP_PX;

/**
 * Which markers have room for their label, and where. The newest comes first; one that would end up far
 * from its line keeps the line alone.
 * @param {Marker[]} markers In order of step.
 * @param {function(number): number} toPixel From step to pixel.
 * @param {number} widthPx The plot's.
 * @returns {Array<{marker: Marker, shift: number}>} In order of step; shift is from the line, in pixels.
 */
export function placeLabels(markers, toPixel, widthPx) {
  const inside = markers.filter(({ step }) => toPixel(step) >= 0 && toPixel(step) <= widthPx);
  let placed = [];
  for (const marker of inside.reverse()) {
    const candidates = [marker, ...placed.map((one) => one.marker)];
    const centres = candidates.map(({ step }) => toPixel(step));
    const moved = spread(centres, candidates.map(labelWidth), [0, widthPx]);
    const shifts = moved.map((centre, index) => centre - centres[index]);
    if (shifts.every((shift) => Math.abs(shift) <= FARTHEST_PX)) {
      placed = candidates.map((one, index) => ({ marker: one, shift: shifts[index] }));
    }
  }
  return placed;
}

/**
 * Move labels along a line as little as possible (least squares, by pooling adjacent violators) so
 * that none overlap; if there is room for all, none leaves it.
 * @param {number[]} centres In order.
 * @param {number[]} sizes Of the same labels, gap included.
 * @param {[number, number]} room
 * @returns {number[]} New centres.
 *
 * Source: Ayer et al., "An Empirical Distribution Function for Sampling with Incomplete Information",
 * Ann. Math. Statist. 26(4), 1955.
 */
export function spread(centres, sizes, [low, high]) {
  let filled = 0;
  const offsets = sizes.map((size) => (filled += size) - size / 2);
  const pools = [];
  for (const [index, centre] of centres.entries()) {
    let pool = { sum: centre - offsets[index], count: 1 };
    while (pools.length && pools.at(-1).sum / pools.at(-1).count > pool.sum / pool.count) {
      const before = pools.pop();
      pool = { sum: before.sum + pool.sum, count: before.count + pool.count };
    }
    pools.push(pool);
  }
  const starts = pools.flatMap(({ sum, count }) => Array(count).fill(sum / count));
  return starts.map((start, index) => Math.max(low, Math.min(start, high - filled)) + offsets[index]);
}

const LINE_HEIGHTS = [0, 0.25, 0.5, 0.75, 1];

/**
 * The markers as a trace on a hidden second y axis from 0 to 1, so that hovering a line tells its story.
 * @param {Marker[]} markers
 * @param {string} colour
 * @param {"solid"|"dot"} dash
 * @returns {object} A Plotly trace.
 */
export function markerTrace(markers, colour, dash) {
  const points = markers.flatMap((marker) => [
    ...LINE_HEIGHTS.map((y) => ({ x: marker.step, y, text: story(marker) })),
    { x: null, y: null, text: "" },
  ]);
  return {
    type: "scatter",
    mode: "lines",
    name: "event",
    x: points.map(({ x }) => x),
    y: points.map(({ y }) => y),
    text: points.map(({ text }) => text),
    yaxis: "y2",
    line: { color: colour, width: 1, dash },
    hovertemplate: "%{text}<extra></extra>",
    showlegend: false,
  };
}

const story = (marker) => [`step ${whole(marker.step)}`, ...marker.story.map(escapeMarkup)].join("<br>");

const escapeMarkup = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
