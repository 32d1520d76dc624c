// Before and after, in words: what a figure is called, how it is written, what a verdict says. Pure functions.

import { fixed, prefixed } from "./format.js";

/** @typedef {{mean: number, low: ?number, high: ?number}} Estimate */

const three = (value) => fixed(value, 3);
const significant = (value, spread = null) => (spread > 0 ? value.toFixed(Math.max(0, 1 - Math.floor(Math.log10(spread)))) : String(Number(value.toPrecision(3))));
const percent = (value) => `${fixed(100 * value, 1)} %`;
const signed = (write) => (value, spread) => (value < 0 ? `−${write(-value, spread)}` : write(value, spread));

/** Each figure by its column: its name and how it is written. The order is that of a table. */
const FIGURES = {
  bits_per_byte: ["bits per byte", three],
  validation_bits_per_byte: ["held out", three],
  bound_bits_per_byte: ["bound", three],
  validation_bound_bits_per_byte: ["bound, held out", three],
  compressed_bits_per_byte: ["run lengths", three],
  K: ["K", three],
  C: ["C", three],
  S: ["S", three],
  gradient_norm: ["gradient norm", significant],
  learning_rate: ["learning rate", significant],
  symbiosis_kl: ["KL", three],
  utf8_validity: ["UTF-8", percent],
  attention_entropy: ["attention", three],
  depth_mean: ["depth", three],
  bytes_per_s: ["throughput", (value) => prefixed(value, "B/s")],
  resident_bytes: ["memory", (value) => prefixed(value, "B")],
  telemetry_share: ["telemetry’s cost", percent],
};

/** What each chart draws of them. */
const OF_CHART = {
  loss: ["bits_per_byte", "validation_bits_per_byte", "bound_bits_per_byte", "validation_bound_bits_per_byte", "compressed_bits_per_byte"],
  difference: ["bits_per_byte", "validation_bits_per_byte"],
  telemetry: ["K", "C", "S"],
  throughput: ["bytes_per_s"],
  attention: ["attention_entropy"],
  depth: ["depth_mean"],
  memory: ["resident_bytes"],
  cost: ["telemetry_share"],
  bits: ["validation_bits_per_byte"],
  heads: ["attention_entropy"],
  gradient: ["gradient_norm"],
  rate: ["learning_rate"],
  sample: ["symbiosis_kl", "utf8_validity"],
};

const ALWAYS = ["bits_per_byte", "validation_bits_per_byte", "K", "C", "S", "gradient_norm"];

const VERDICTS = {
  unknown: "too few values to say",
  none: "no effect seen",
  course: "its course before may explain it",
  seen: "",
};

/** @param {string} column @returns {string} */
export const figureName = (column) => FIGURES[column][0];

/** @param {string} column @param {?Estimate} estimate @returns {string} 0.311 ± 0.065, a change with its sign. */
export function estimated(column, estimate, { isChange = false } = {}) {
  if (!estimate) return "–";
  const write = signed(FIGURES[column][1]);
  const sign = isChange && estimate.mean > 0 ? "+" : "";
  if (estimate.high === null) return `${sign}${write(estimate.mean)}`;
  const half = estimate.high - estimate.mean;
  return `${sign}${write(estimate.mean, half)} ± ${write(half, half)}`;
}

/** @param {{verdict: string}} effect @returns {string} What the difference is worth; nothing where it speaks for itself. */
export const verdict = (effect) => VERDICTS[effect.verdict];

/**
 * Which figures a table shows: those of the chart it was asked from, then those that matter always, where measured.
 * @param {object} report As the service says it.
 * @param {?string} chart
 * @returns {string[]} Columns.
 */
export function columnsOf({ quantities }, chart = null) {
  const wanted = new Set([...(OF_CHART[chart] ?? []), ...ALWAYS]);
  return Object.keys(FIGURES).filter((column) => wanted.has(column) && (quantities[column].before || quantities[column].after));
}

function line(column, effect) {
  const write = signed(FIGURES[column][1]);
  const [before, after] = [effect.before, effect.after].map((side) => (side ? write(side.estimate.mean) : "–"));
  const said = [effect.verdict === "unknown" ? "" : estimated(column, effect.difference, { isChange: true }), verdict(effect)];
  return `${figureName(column)} ${before} → ${after} (${said.filter(Boolean).join(", ")})`;
}

/**
 * The lines of a marker's hover: what a chart's figures were before and after.
 * @param {?import("./effects.js").Known} known
 * @param {?string} chart
 * @returns {string[]} None before the service has answered.
 */
export function effectLines(known, chart) {
  if (!known?.report) return known?.problem ? [known.problem] : [];
  const { quantities } = known.report;
  return (OF_CHART[chart] ?? [])
    .filter((column) => quantities[column].before || quantities[column].after)
    .map((column) => line(column, quantities[column]));
}
