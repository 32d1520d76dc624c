// What the charts are drawn against: steps, time trained, or bytes of text trained on. Pure functions.

import { duration, prefixed, whole } from "./format.js";

const SECOND_STEPS = [1, 2, 5, 10, 15, 30];
const [MINUTE, HOUR, DAY] = [60, 3600, 86400];
const TIME_STEPS = [
  ...SECOND_STEPS,
  ...SECOND_STEPS.map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((days) => days * DAY),
];

/**
 * @typedef {object} XAxis
 * @property {string} column Of the metrics: where a row lies on the axis.
 * @property {string} title For a picture.
 * @property {number} least Shown of a run that has hardly begun.
 * @property {function(number): string} say A place on the axis, in words.
 */

/** @type {Object<"step"|"time"|"bytes", XAxis>} */
export const X_AXES = {
  step: { column: "step", title: "step", least: 20, say: (step) => `step ${whole(Math.round(step))}` },
  time: { column: "elapsed_s", title: "time trained", least: 5, say: duration },
  bytes: { column: "bytes_seen", title: "text trained on", least: 10_000, say: (bytes) => prefixed(bytes, "B") },
};

/**
 * The same columns and `x`, where each row lies on the axis.
 * @param {import("./metrics.js").Columns} columns
 * @param {"step"|"time"|"bytes"} axis
 * @returns {import("./metrics.js").Columns}
 */
export const placed = (columns, axis) => ({ ...columns, x: columns[X_AXES[axis].column] ?? [] });

/**
 * Where steps lie on the axis: between two rows in proportion, before the first from 0 on, after the last with it.
 * @param {import("./metrics.js").Columns} columns As `placed` has them.
 * @returns {function(number): number} From a step to its place.
 */
export function placeOf({ step: steps = [], x = steps }) {
  if (x === steps) return (step) => step;
  return (step) => {
    const after = firstAtLeast(steps, step);
    if (after === steps.length) return x.at(-1) ?? 0;
    const [stepBefore, xBefore] = after === 0 ? [0, 0] : [steps[after - 1], x[after - 1]];
    if (steps[after] === stepBefore) return x[after];
    return xBefore + ((step - stepBefore) / (steps[after] - stepBefore)) * (x[after] - xBefore);
  };
}

/**
 * @param {number[]} values In order.
 * @param {number} value
 * @returns {number} The index of the first that is not below `value`; their count if all are.
 */
export function firstAtLeast(values, value) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The round number at or above `least`: 1, 2 or 5 times a power of ten. */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((factor) => factor * power >= least * (1 - 1e-9)) ?? 10);
}

const timeStep = (least) => (least < 1 ? roundStep(least) : TIME_STEPS.find((step) => step >= least) ?? roundStep(least / DAY) * DAY);

/** Decimals that tell multiples of `step` apart. */
const decimalsOf = (step) => Math.max(0, -Math.floor(Math.log10(step) + 1e-9));

/** A moment as short as the distance to the next one lets it be: 30 s, 1:30, 12 min, 1 h 30, 2 d. */
function timeText(seconds, step) {
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (seconds === 0) return "0";
  if (seconds < MINUTE) return `${seconds.toFixed(decimalsOf(step))} s`;
  if (step < 1) return `${Math.floor(seconds / MINUTE)}:${seconds % MINUTE < 10 ? "0" : ""}${(seconds % MINUTE).toFixed(decimalsOf(step))}`;
  if (seconds % MINUTE !== 0 && seconds < HOUR) return `${Math.floor(seconds / MINUTE)}:${two(seconds % MINUTE)}`;
  if (seconds % MINUTE !== 0) return `${Math.floor(seconds / HOUR)}:${two((seconds % HOUR) / MINUTE)}:${two(seconds % MINUTE)}`;
  if (seconds < HOUR) return step < MINUTE ? `${seconds / MINUTE}:00` : `${seconds / MINUTE} min`;
  if (seconds >= DAY && seconds % DAY === 0) return `${seconds / DAY} d`;
  return seconds % HOUR === 0 ? `${seconds / HOUR} h` : `${Math.floor(seconds / HOUR)} h ${two((seconds % HOUR) / MINUTE)}`;
}

/** Bytes with an SI prefix and no more decimals than tell the ticks apart: 800 kB, 1 MB, 1.2 MB. */
function bytesText(bytes, step) {
  if (bytes === 0) return "0";
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.abs(bytes)) / 3 + 1e-9)));
  const unit = 1000 ** power;
  return `${Number((bytes / unit).toFixed(decimalsOf(step / unit)))} ${["", "k", "M", "G", "T"][power]}B`;
}

const TEXTS = { step: (step, distance) => (decimalsOf(distance) ? "" : whole(step)), time: timeText, bytes: bytesText };

/**
 * The ticks of an axis with even distances.
 * @param {[number, number]} range
 * @param {"step"|"time"|"bytes"} axis
 * @param {number} most How many there is room for, at least 1.
 * @returns {{values: number[], texts: string[]}}
 */
export function evenTicks([low, high], axis, most) {
  const least = Math.max((high - low) / most, axis === "time" ? 1e-3 : 1);
  const step = axis === "time" ? timeStep(least) : roundStep(least);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.max(0, Math.floor(high / step + 1e-9) - first + 1);
  const values = Array.from({ length: count }, (_, index) => Number(((first + index) * step).toPrecision(12)));
  return { values, texts: values.map((value) => TEXTS[axis](value, step)) };
}

/** Round places from `low` to `high`, each a few times the one before. */
function roundPlaces(low, high, axis) {
  const found = [];
  for (let value = roundStep(low); value <= high; value = roundStep(value * 1.01)) found.push(value);
  if (axis !== "time") return found;
  return [...found.filter((value) => value < 1), ...TIME_STEPS.filter((value) => value >= low && value <= high)];
}

/**
 * The ticks of a logarithmic axis: round places, evenly thinned out; even ones where too few are round.
 * @param {[number, number]} range Above 0.
 * @param {"step"|"time"|"bytes"} axis
 * @param {number} most
 * @returns {{values: number[], texts: string[]}}
 */
export function logarithmicTicks([low, high], axis, most) {
  const places = roundPlaces(low, high, axis);
  if (places.length < 3) return evenTicks([low, high], axis, Math.min(most, 4));
  const gap = Math.log(high / low) / most;
  const values = places.reduce((kept, value) => (kept.length && Math.log(value / kept.at(-1)) < gap ? kept : [...kept, value]), []);
  return { values, texts: values.map((value) => TEXTS[axis](value, value)) };
}
