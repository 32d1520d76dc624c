// What the charts say at one place of the x axis, read from the traces as they are drawn. Pure functions.

import { prefixed } from "./format.js";
import { firstAtLeast } from "./x_axis.js";

/**
 * @typedef {object} Reading
 * @property {string} text A line, or several.
 * @property {?string} colour Of its line; null where there is none.
 */

const FORMAT = /^(\+)?(?:\.(\d+))?(~)?([f%sg])$/;
const WRITTEN = {
  f: (value, digits, tidy) => tidy(value.toFixed(digits)),
  "%": (value, digits, tidy) => `${tidy((100 * value).toFixed(digits))} %`,
  g: (value, digits, tidy) => tidy(value.toPrecision(digits)),
  s: (value) => (value < 999.5 ? `${prefixed(value)} ` : prefixed(value)), // a unit follows
};

/**
 * A number as d3's format specifier says, of the kinds that the charts use: f, %, g and s.
 * @param {number} value
 * @param {string} specifier For example "+.3f" or ".2~g".
 * @returns {string}
 */
export function written(value, specifier) {
  const [, sign = "", digits = "6", trims, kind] = specifier.match(FORMAT);
  const tidy = (text) => (trims ? String(Number(text)) : text);
  return `${value < 0 ? "−" : sign}${WRITTEN[kind](Math.abs(value), Number(digits), tidy)}`;
}

const ENTITIES = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

/** A point as its trace's hover template says it, in plain text. */
function sentence({ hovertemplate, text, y }, index) {
  return hovertemplate
    .replace(/<extra>.*<\/extra>/, "")
    .replace(/%\{y(?::([^}]*))?\}/g, (_, specifier) => written(y[index], specifier ?? ".3~g"))
    .replace(/%\{text\}/g, () => (Array.isArray(text) ? text[index] : text))
    .replace(/<br>/g, "\n")
    .replace(/<[^>]*>/g, "")
    .replace(/&(?:lt|gt|amp);/g, (entity) => ENTITIES[entity]);
}

const isSaid = ({ type, hovertemplate }) => type === "scatter" && Boolean(hovertemplate);
const isEvent = ({ yaxis }) => yaxis === "y2";

/** The index of the point of an ordered trace that is nearest to `place`. */
function nearest(x, place) {
  const after = firstAtLeast(x, place);
  if (after === 0) return 0;
  if (after === x.length) return after - 1;
  return x[after] - place < place - x[after - 1] ? after : after - 1;
}

/**
 * The place that a pointer means: that of the nearest point of the chart's fullest line.
 * @param {object[]} traces As drawn.
 * @param {number} place
 * @returns {number} `place` itself where nothing is drawn.
 */
export function nearestPlace(traces, place) {
  const x = fullest(traces);
  return x.length ? x[nearest(x, place)] : place;
}

/**
 * The place some points farther along the chart's fullest line, and not beyond its ends.
 * @param {object[]} traces As drawn.
 * @param {?number} place Null for none yet: the first step leads to the last point.
 * @param {number} points Negative for backwards, infinite for an end.
 * @returns {?number} Null where nothing is drawn.
 */
export function placeAlong(traces, place, points) {
  const x = fullest(traces);
  if (x.length === 0) return null;
  const isNew = place === null && Number.isFinite(points);
  const to = isNew ? x.length - 1 : nearest(x, place ?? 0) + points;
  return x[Math.max(0, Math.min(x.length - 1, to))];
}

const fullest = (traces) =>
  traces.filter((trace) => trace.x && !isEvent(trace)).reduce((best, { x }) => (x.length > best.length ? x : best), []);

/**
 * What every trace of a chart says at a place: its nearest point; single points say something only when near.
 * @param {object[]} traces As drawn.
 * @param {number} place
 * @param {function(number): boolean} isNear Whether a place is as good as under the pointer.
 * @returns {Reading[]}
 */
export function readingsAt(traces, place, isNear) {
  return traces.filter((trace) => isSaid(trace) && !isEvent(trace)).flatMap((trace) => {
    const { x, line, mode } = trace;
    if (x.length === 0) return [];
    const index = nearest(x, place);
    const isCourse = mode !== "markers" && place >= x[0] && place <= x.at(-1);
    return isCourse || isNear(x[index]) ? [{ text: sentence(trace, index), colour: line.width ? line.color : null }] : [];
  });
}

/**
 * The events that are near a place, each with its story; they are the same on every chart.
 * @param {object[]} traces As drawn.
 * @param {function(number): boolean} isNear
 * @returns {Reading[]}
 */
export function eventsAt(traces, isNear) {
  return traces.filter((trace) => isSaid(trace) && isEvent(trace)).flatMap((trace) => {
    const near = trace.x.findIndex((x) => x !== null && isNear(x));
    return near === -1 ? [] : [{ text: sentence(trace, near), colour: null }];
  });
}
