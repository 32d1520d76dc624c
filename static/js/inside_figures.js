// What the charts of the model itself and of its costs draw. Pure functions.

import { fixed, prefixed } from "./format.js";
import { quantile, series, within } from "./metrics.js";
import { faint } from "./overlay_figures.js";
import { beside, layout, markerTraces, rawAndSmooth, sparse, xRange } from "./plot.js";

/** @typedef {import("./plot.js").ChartInput} ChartInput */

const MOST_LAYERS_LISTED = 12;

/** What a chart says instead of drawing, where there are steps and none of them has measured it. */
export const nothingMeasured = ({ metrics }, column) =>
  metrics.step?.length && series(metrics, column).y.length === 0 ? "not measured in this run so far" : "";

/**
 * The least and the greatest of the layers at each step that looked.
 * @param {import("./metrics.js").Columns} metrics
 * @returns {{x: number[], layers: number[][], low: number[], high: number[]}}
 */
export function layerBand(metrics) {
  const { x, y: layers } = series(metrics, "attention_entropy_layers");
  return { x, layers, low: layers.map((one) => Math.min(...one)), high: layers.map((one) => Math.max(...one)) };
}

/** "layer 1: 4.12, layer 2: 3.90, …", or the range of many. */
function layerStory(layers) {
  if (layers.length > MOST_LAYERS_LISTED) {
    return `${layers.length} layers, ${fixed(Math.min(...layers))} to ${fixed(Math.max(...layers))} bits`;
  }
  return layers.map((value, index) => `layer ${index + 1}: ${fixed(value)}`).join("<br>");
}

function bandTraces({ x, layers, low, high }, range, colour) {
  const edge = { type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
  return [
    { ...edge, name: "lowest layer", ...within({ x, y: low }, range) },
    { ...edge, name: "highest layer", ...within({ x, y: high }, range), fill: "tonexty", fillcolor: faint(colour) },
    {
      ...edge,
      name: "layers",
      ...within({ x, y: high }, range),
      text: within({ x, y: layers.map(layerStory) }, range).y,
      hoverinfo: undefined,
      hovertemplate: "%{text}<extra></extra>",
    },
  ];
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} How widely heads look: mean, and all layers. */
export function attentionFigure(input) {
  const { colours, metrics } = input;
  const band = layerBand(metrics);
  const highest = Math.max(1, ...band.high);
  return {
    data: [
      ...bandTraces(band, xRange(input), colours.attention),
      ...beside(input, "attention_entropy"),
      sparse(input, "mean", "attention_entropy", colours.attention),
      ...markerTraces(input),
    ],
    layout: layout(input, {
      levels: [],
      note: nothingMeasured(input, "attention_entropy"),
      yRange: input.zoom.y.attention ?? [0, Math.ceil(highest * 2.1) / 2],
      yAxis: { nticks: 4, tickformat: ".2~f" },
    }),
  };
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} How many layers a position runs, on average. */
export function depthFigure(input) {
  const { colours, layers, metrics } = input;
  const all = { value: layers, label: `all ${layers}`, colour: colours.order, dash: "dash" };
  return {
    data: [
      ...beside(input, "depth_mean"),
      ...rawAndSmooth(input, "depth", "depth_mean", colours.depth, "%{y:.2f} layers"),
      ...markerTraces(input),
    ],
    layout: layout(input, {
      levels: series(metrics, "depth_mean").y.length ? [all] : [],
      note: nothingMeasured(input, "depth_mean"),
      yRange: input.zoom.y.depth ?? [0, layers * 1.15],
      yAxis: { nticks: 4, tickformat: ".2~f" },
    }),
  };
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} Bytes of the process that are in memory. */
export function memoryFigure(input) {
  const { colours } = input;
  const resident = rawAndSmooth({ ...input, smoothing: 0 }, "resident", "resident_bytes", colours.throughput, "%{y:.3s}B");
  const top = resident[0].y.length ? Math.max(...resident[0].y) : 1e9;
  return {
    data: [...resident, ...markerTraces(input)],
    layout: layout(input, {
      levels: [],
      note: nothingMeasured(input, "resident_bytes"),
      yRange: input.zoom.y.memory ?? [0, top * 1.15],
      yAxis: { nticks: 4, tickformat: "~s", ticksuffix: "B" },
    }),
  };
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} The share of the time that telemetry takes. */
export function costFigure(input) {
  const { colours, budget } = input;
  const share = rawAndSmooth({ ...input, smoothing: 0 }, "telemetry", "telemetry_share", colours.throughput, "%{y:.2%}");
  const levels = budget < 1 ? [{ value: budget, label: `budget ${percent(budget)}`, colour: colours.order, dash: "dash" }] : [];
  const usual = share[0].y.length ? quantile(share[0].y, 0.5) : 0;
  return {
    data: [...share, ...markerTraces(input)],
    layout: layout(input, {
      levels,
      note: nothingMeasured(input, "telemetry_share"),
      yRange: input.zoom.y.cost ?? [0, Math.min(1, Math.max(budget < 1 ? 2 * budget : 0, 1.5 * usual, 0.02))],
      yAxis: { nticks: 4, tickformat: ".1~%" },
    }),
  };
}

const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;

/** Whether the inverse is exact, in a word; what it is off by where it is not. */
function inverse(error, agreement) {
  if (error === null || agreement === null) return "–";
  return error === 0 && agreement === 0 ? "exact" : `off by ${Math.max(error, agreement).toExponential(1)}`;
}

/**
 * The latest figures, for beside the charts' titles.
 * @param {import("./metrics.js").Columns} metrics
 * @returns {Object<string, string>}
 */
export function insideReadings(metrics) {
  const latest = (name) => metrics[name]?.findLast((value) => value !== null) ?? null;
  const [entropy, depth, share] = ["attention_entropy", "depth_mean", "telemetry_share"].map(latest);
  return {
    attention: entropy === null ? "–" : `${fixed(entropy)} bits`,
    depth: depth === null ? "–" : `${fixed(depth)} layers`,
    inverse: inverse(latest("inversion_error"), latest("gradient_agreement")),
    memory: prefixed(latest("resident_bytes"), "B"),
    cost: share === null ? "–" : `${fixed(100 * share, 1)} %`,
  };
}
