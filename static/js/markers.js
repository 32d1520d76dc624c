// Events on the step axis of every chart: a vertical line, a short label, a hover with the whole story.

import { isExplained, sentence, shortLabel, sourceName, weight } from "./events.js";
import { fixed, whole } from "./format.js";

/**
 * @typedef {object} Marker
 * @property {number} step
 * @property {string} label Short; of the last of what happened at that step.
 * @property {string} look A key of LOOKS.
 * @property {string[]} story One line for each of them.
 * @property {Array<import("./events.js").RunEvent>} events Those that something can be asked about.
 * @property {?object} checkpoint That of this step, if it is marked.
 */

/**
 * How lines are told apart, the loudest first: of several at one step that one gives the look. What is to be marked
 * in another way gets a line here and a condition in `lookOf`.
 */
export const LOOKS = {
  alert: { colour: "alert", dash: "solid", text: "alert" },
  change: { colour: "marker", dash: "solid", text: "muted" },
  branch: { colour: "marker", dash: "dash", text: "muted" },
  checkpoint: { colour: "order", dash: "dot", text: "order" },
};
const LOUDNESS = Object.keys(LOOKS);

/** The look of an event's line; null for what is not marked. */
function lookOf(event) {
  if (event.kind === "run_forked") return "branch";
  return { alert: "alert", intervention: "change", note: null }[weight(event)];
}

/** A branch that differs by a change is marked where the change was. */
const placeOf = ({ kind, step, payload }) => (kind === "run_forked" && payload.change ? payload.change.step : step);

/** Of the checkpoints those that somebody asked for or named, and the best; those that come by themselves are not marked. */
function markedCheckpoints(events, checkpoints) {
  const isAskedFor = ({ kind, source }) => kind === "checkpoint_saved" && source !== "session";
  const asked = new Set(events.filter(isAskedFor).map(({ step }) => step));
  return checkpoints
    .filter(({ state, step, name, is_best: isBest }) => state === "good" && (name || isBest || asked.has(step)))
    .map((checkpoint) => {
      const { name, is_best: isBest, validation_bits_per_byte: bpb } = checkpoint;
      const what = name ? `Checkpoint ${name}` : isBest ? "Checkpoint, the best so far" : "Checkpoint saved by hand";
      const line = bpb === null ? what : `${what}: ${fixed(bpb, 3)} bits per byte of held-out text`;
      return { checkpoint, label: name ?? (isBest ? "best" : "saved"), line };
    });
}

/**
 * One marker for each step at which somebody intervened, something went wrong, a branch began or a checkpoint of note
 * was saved, in order of step.
 * @param {Array<import("./events.js").RunEvent>} events Oldest first.
 * @param {Array<object>} [checkpoints] Of the run, as the service lists them.
 * @returns {Marker[]}
 */
export function markersOf(events, checkpoints = []) {
  const byStep = new Map();
  const mark = (step, look, label, line) => {
    const marker = byStep.get(step) ?? { step, label, look, story: [], events: [], checkpoint: null };
    if (LOUDNESS.indexOf(look) <= LOUDNESS.indexOf(marker.look)) [marker.label, marker.look] = [label, look];
    marker.story.push(line);
    byStep.set(step, marker);
    return marker;
  };
  for (const event of events) {
    const look = lookOf(event);
    if (!look) continue;
    const marker = mark(placeOf(event), look, shortLabel(event), `${sentence(event)} · ${sourceName(event.source)}`);
    if (isExplained(event)) marker.events.push(event);
  }
  for (const { checkpoint, label, line } of markedCheckpoints(events, checkpoints)) {
    mark(checkpoint.step, "checkpoint", label, line).checkpoint = checkpoint;
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
 * Which markers have room for their label, and where. Checkpoints come last, and of the others the newest first; one
 * that would end up far from its line keeps the line alone.
 * @param {Marker[]} markers In order of step.
 * @param {function(number): number} toPixel From step to pixel.
 * @param {number} widthPx The plot's.
 * @returns {Array<{marker: Marker, shift: number}>} In order of step; shift is from the line, in pixels.
 */
export function placeLabels(markers, toPixel, widthPx) {
  const inside = markers.filter(({ step }) => toPixel(step) >= 0 && toPixel(step) <= widthPx);
  let placed = [];
  const isQuiet = ({ look }) => look === "checkpoint";
  for (const marker of inside.reverse().sort((one, other) => isQuiet(one) - isQuiet(other))) {
    const candidates = [marker, ...placed.map((one) => one.marker)].sort((one, other) => one.step - other.step);
    const centres = candidates.map(({ step }) => toPixel(step));
    const moved = spread(centres, candidates.map(labelWidth), [0, widthPx]);
    const shifts = moved.map((centre, index) => centre - centres[index]);
    if (shifts.every((shift, index) => Math.abs(shift) <= Math.max(FARTHEST_PX, labelWidth(candidates[index]) / 2))) {
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
 * The markers of one look as a trace on a hidden second y axis from 0 to 1, so that hovering a line tells its story.
 * @param {Marker[]} markers
 * @param {string} look
 * @param {Object<string, string>} colours
 * @param {function(Marker): string[]} [more] Further lines of its story.
 * @returns {object} A Plotly trace.
 */
export function markerTrace(markers, look, colours, more = () => []) {
  const { colour, dash } = LOOKS[look];
  const points = markers
    .filter((marker) => marker.look === look)
    .flatMap((marker) => {
      const text = story(marker, more(marker));
      return [...LINE_HEIGHTS.map((y) => ({ x: marker.step, y, text })), { x: null, y: null, text: "" }];
    });
  return {
    type: "scatter",
    mode: "lines",
    name: "event",
    x: points.map(({ x }) => x),
    y: points.map(({ y }) => y),
    text: points.map(({ text }) => text),
    yaxis: "y2",
    line: { color: colours[colour], width: 1, dash },
    hovertemplate: "%{text}<extra></extra>",
    showlegend: false,
  };
}

const story = (marker, more) => [`step ${whole(marker.step)}`, ...[...marker.story, ...more].map(escapeMarkup)].join("<br>");

const escapeMarkup = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
