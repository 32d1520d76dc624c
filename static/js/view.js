// How the charts are shown, and how that is written in the page's address. Pure functions.

import { X_AXES } from "./x_axis.js";

/** Smoothing by name: the share of the run a smoothed value looks back on. */
export const SMOOTHING = { none: 0, light: 0.02, strong: 0.06 };

const SCALES = ["linear", "log"];
/** Runs drawn beside the live one: as many as there are dashes to tell them apart. */
export const MOST_BESIDE = 7;

const RUN_ID = /^[a-z0-9-]{1,64}$/;
const FOLDS = ["anatomy"];
const DIGITS = 7;

/**
 * @typedef {object} View
 * @property {"step"|"time"|"bytes"} x What the charts are drawn against.
 * @property {"linear"|"log"} xScale
 * @property {Object<string, "linear"|"log">} yScales Of the charts that have a choice.
 * @property {"none"|"light"|"strong"} smoothing
 * @property {{x: ?[number, number], y: Object<string, [number, number]>}} zoom What is shown of the axes, in their own units;
 *   all charts share x, each has its own y.
 * @property {?string[]} beside Ids of the runs drawn beside; null for the one that this run branched off.
 * @property {string[]} open Folds of the page that are open.
 */

/** @returns {View} */
export const usualView = () => ({
  x: "step",
  xScale: "linear",
  yScales: { loss: "linear", gradient: "log" },
  smoothing: "light",
  zoom: { x: null, y: {} },
  beside: null,
  open: [],
});

/** Charts whose heights can be zoomed; the heat map's rows cannot. */
const ZOOMED = ["loss", "difference", "telemetry", "depth", "attention", "throughput", "cost", "memory", "bits", "gradient", "rate", "sample"];

/** Names in the address, what each takes, and how it is read. A reader returns null for what it cannot read. */
const SETTINGS = {
  x: { read: (text) => oneOf(text, Object.keys(X_AXES)), write: ({ x }) => x, takes: "step, time or bytes" },
  xscale: { field: "xScale", read: (text) => oneOf(text, SCALES), write: ({ xScale }) => xScale, takes: SCALES.join(" or ") },
  yscale: { field: "yScales", read: readScales, write: writeScales, takes: "loss and gradient, each with linear or log, for example loss:log,gradient:linear" },
  smoothing: { read: (text) => oneOf(text, Object.keys(SMOOTHING)), write: ({ smoothing }) => smoothing, takes: "none, light or strong" },
  zoom: { read: readZoom, write: writeZoom, takes: "AXIS:FROM..TO with commas between, for example x:100..250,loss:1.5..2" },
  open: { read: (text) => listOf(text, (name) => FOLDS.includes(name)), write: ({ open }) => open.join(), takes: FOLDS.join(", ") },
  beside: { read: (text) => listOf(text, (id) => RUN_ID.test(id), MOST_BESIDE), write: ({ beside }) => beside?.join() ?? null, takes: `ids of at most ${MOST_BESIDE} runs, with commas between` },
};

const oneOf = (text, choices) => (choices.includes(text) ? text : null);

function listOf(text, isKnown, most = Infinity) {
  const parts = [...new Set(text.split(",").filter(Boolean))];
  return parts.length <= most && parts.every(isKnown) ? parts : null;
}

/** "name:value,…" as an object, or null where a name or a value is none. */
function readPairs(text, names, readValue) {
  const pairs = text.split(",").map((pair) => pair.split(":"));
  const values = pairs.map(([name, value, ...more]) => (names.includes(name) && more.length === 0 ? readValue(value ?? "") : null));
  return values.includes(null) ? null : Object.fromEntries(pairs.map(([name], index) => [name, values[index]]));
}

function readScales(text) {
  const usual = usualView().yScales;
  const scales = readPairs(text, Object.keys(usual), (value) => oneOf(value, SCALES));
  return scales && { ...usual, ...scales };
}

function writeScales({ yScales }) {
  const usual = usualView().yScales;
  return Object.keys(usual).filter((chart) => yScales[chart] !== usual[chart]).map((chart) => `${chart}:${yScales[chart]}`).join() || null;
}

function readRange(text) {
  const ends = text.split("..").map((end) => (end.trim() === "" ? NaN : Number(end)));
  return ends.length === 2 && ends.every(Number.isFinite) && ends[0] < ends[1] ? ends : null;
}

function readZoom(text) {
  const ranges = readPairs(text, ["x", ...ZOOMED], readRange);
  if (!ranges) return null;
  const { x = null, ...y } = ranges;
  return { x, y };
}

function writeZoom({ zoom: { x, y } }) {
  const figure = (value) => String(Number(value.toPrecision(DIGITS)));
  return Object.entries({ ...(x && { x }), ...y }).map(([axis, ends]) => `${axis}:${ends.map(figure).join("..")}`).join() || null;
}

/**
 * A view as the part of the address after "#": only what differs from the usual one.
 * @param {View} view
 * @returns {string} Without "#"; empty for the usual view.
 */
export function formatView(view) {
  const usual = usualView();
  return Object.entries(SETTINGS)
    .map(([name, { write }]) => [name, write(view), write(usual)])
    .filter(([, text, usualText]) => text !== null && text !== usualText)
    .map(([name, text]) => `${name}=${text}`)
    .join("&");
}

/**
 * What the address asks for. What cannot be read is left as usual and named.
 * @param {string} hash Of the address, with or without "#".
 * @returns {{view: View, complaints: string[]}} A complaint is a sentence that says what would do.
 */
export function parseView(hash) {
  const view = usualView();
  const complaints = [];
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!Object.hasOwn(SETTINGS, name)) {
      complaints.push(`${name}: there is no setting of this name; there are ${Object.keys(SETTINGS).join(", ")}.`);
      continue;
    }
    const { field = name, read, takes } = SETTINGS[name];
    const value = read(text);
    if (value === null) complaints.push(`${name}=${text}: it takes ${takes}.`);
    else view[field] = value;
  }
  if (view.xScale === "log" && view.zoom.x?.[0] <= 0) {
    complaints.push(`zoom=x:${view.zoom.x.join("..")}: on a logarithmic axis it begins above 0.`);
    view.zoom = { ...view.zoom, x: null };
  }
  return { view, complaints };
}

/**
 * What of a view is a habit, not a place: it is worth remembering for the next run.
 * @param {View} view
 * @returns {View}
 */
export const habitsOf = ({ x, xScale, yScales, smoothing }) => ({ ...usualView(), x, xScale, yScales, smoothing });
