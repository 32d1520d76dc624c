// What each chart draws: Plotly traces and layouts from plain data. Pure functions.

import { fixed, prefixed, setting } from "./format.js";
import { quantile } from "./metrics.js";
import { milestoneLabels, milestoneTrace } from "./milestone_figures.js";
import { differenceRange, differenceReadings, differenceTraces } from "./overlay_figures.js";
import { beside, isYLog, layout, markerTraces, rawAndSmooth, sparse, stepToPlace, yRange } from "./plot.js";

/** @typedef {import("./plot.js").ChartInput} ChartInput */

const NICE = 0.25;
const WORTH_SEEING = 12; // a coin needs 8 bits for a byte; a run far above is simply lost

/**
 * The range of bits per byte that shows how far a run has come and what it can reach next: nearly all
 * smoothed values in view, the lines it has passed in that stretch, the next one below and those within reach.
 * @param {number[]} values Smoothed, in view.
 * @param {number[]} baselines
 * @returns {[number, number]} Rounded outwards to quarters, so that it does not tremble.
 */
export function bitsPerByteRange(values, baselines) {
  if (values.length === 0) return [Math.min(1.5, ...baselines) - NICE, Math.max(8, ...baselines) + NICE];
  const lowest = quantile(values, 0);
  const highest = Math.max(Math.min(quantile(values, 0.97), WORTH_SEEING), lowest + 0.5);
  const reach = Math.max(1, highest - lowest);
  const below = baselines.filter((value) => value < lowest);
  const next = below.length ? Math.max(...below) : lowest;
  const bottom = Math.min(lowest, next, ...below.filter((value) => value > lowest - reach));
  const pad = (highest - bottom) * 0.06;
  return [Math.floor((bottom - pad) / NICE) * NICE, Math.ceil((highest + pad) / NICE) * NICE];
}

/** What held-out text costs at most when it is denoised, where the run learns that: as validation is drawn, but open. */
function denoised(input, colour) {
  const bound = sparse(input, "denoised, at most", "validation_bound_bits_per_byte", colour);
  return { ...bound, line: { ...bound.line, dash: "dot" }, marker: { ...bound.marker, symbol: "circle-open" } };
}

/** What windows of run lengths cost, where a run learns those too: as training is drawn, but dotted. */
function compressed(input, colour) {
  const lengths = sparse(input, "run lengths", "compressed_bits_per_byte", colour);
  return { ...lengths, mode: "lines", line: { ...lengths.line, width: 1, dash: "dot" } };
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} Bits per byte with its baselines. */
export function lossFigure(input) {
  const { colours, baselines } = input;
  const training = rawAndSmooth(input, "training", "bits_per_byte", colours.training);
  const validation = sparse(input, "validation", "validation_bits_per_byte", colours.validation);
  const bound = denoised(input, colours.validation);
  const others = beside(input, "bits_per_byte");
  const values = [...training.at(-1).y, ...validation.y, ...others.flatMap(({ y }) => y)];
  const passed = new Set(input.milestones.map(({ name }) => name));
  const levels = Object.entries(baselines ?? {}).map(([name, value]) => ({
    value,
    label: `${name} ${fixed(value)}${passed.has(name) ? " ✓" : ""}`,
    colour: name.startsWith("order") ? colours.order : colours.compressor,
    dash: name.startsWith("order") ? "dot" : "solid",
  }));
  const [low, usual] = bitsPerByteRange(values, levels.map(({ value }) => value));
  const high = Math.max(usual, Math.ceil(((bound.y.at(-1) ?? 0) + 0.1) / NICE) * NICE); // its newest value is to be seen
  const isLog = isYLog(input, "loss");
  const shown = yRange(input, "loss", [isLog ? Math.max(low, NICE) : low, high]);
  const drawn = layout(input, { levels, yRange: shown, yAxis: { type: isLog ? "log" : "linear", tickformat: ".2~f" } });
  return {
    data: [...training, ...others, validation, bound, compressed(input, colours.training), milestoneTrace(input, shown), ...markerTraces(input)],
    layout: { ...drawn, annotations: [...drawn.annotations, ...milestoneLabels(input, shown)] },
  };
}

const withShapes = (drawn, shapes) => ({ ...drawn, shapes: [...shapes, ...drawn.shapes] });

/** Where the C and the S of real text lie, softly behind the lines. */
const bandShapes = ({ bands, colours }) => Object.entries(bands ?? {}).map(([name, [y0, y1]]) => ({
  type: "rect",
  xref: "paper",
  x0: 0,
  x1: 1,
  y0,
  y1,
  fillcolor: colours[name],
  opacity: 0.09,
  line: { width: 0 },
  layer: "below",
}));

/** @param {ChartInput} input @returns {{data: object[], layout: object}} K, C and S with the gate's floors. */
export function telemetryFigure(input) {
  const { colours, telemetry } = input;
  const levels = telemetry
    ? [
        { value: telemetry.c_floor, label: `C floor ${setting(telemetry.c_floor)}`, colour: colours.C, dash: "dash" },
        { value: telemetry.s_floor, label: `S floor ${setting(telemetry.s_floor)}`, colour: colours.S, dash: "dash" },
      ]
    : [];
  return {
    data: [
      ...rawAndSmooth(input, "K", "K", colours.K),
      ...["K", "C", "S"].flatMap((name) => beside(input, name, colours[name])),
      sparse(input, "C", "C", colours.C),
      sparse(input, "S", "S", colours.S),
      ...markerTraces(input),
    ],
    layout: withShapes(
      layout(input, {
      levels,
      yRange: input.zoom.y.telemetry ?? telemetryRange(input.metrics),
      yAxis: { tickformat: ".2~f", dtick: 0.25 },
    }),
      bandShapes(input),
    ),
  };
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} This run minus the one beside it. */
export function differenceFigure(input) {
  const { colours, difference } = input;
  const shown = difference ?? { training: { step: [], mean: [], low: [], high: [] }, validation: { step: [], difference: [] } };
  return {
    data: [...differenceTraces(shown, colours, stepToPlace(input)), ...markerTraces(input)],
    layout: layout(input, {
      levels: [{ value: 0, label: "the same", colour: colours.order, dash: "dash" }],
      yRange: input.zoom.y.difference ?? differenceRange(shown),
      yAxis: { nticks: 4, tickformat: ".3~f" },
    }),
  };
}

/** From 0 to 1, and higher only for short noise, whose C exceeds 1. */
function telemetryRange({ C = [] }) {
  const highest = Math.max(1, ...C.filter((value) => value !== null));
  return [0, Math.ceil(highest * 20) / 20 + 0.02];
}

/** A round figure above the rates; a few far above all others may leave the chart. */
function roundTop(rates) {
  if (rates.length === 0) return 1000;
  const top = Math.min(quantile(rates, 1), 1.5 * quantile(rates, 0.95));
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, top)));
  return Math.ceil((top * 1.05) / unit) * unit;
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} Bytes of text trained on per second. */
export function throughputFigure(input) {
  const { colours } = input;
  const rates = rawAndSmooth(input, "throughput", "bytes_per_s", colours.throughput, "%{y:.3s}B/s");
  const top = roundTop(rates[0].y);
  return {
    data: [...rates, ...markerTraces(input)],
    layout: layout(input, {
      levels: [],
      yRange: input.zoom.y.throughput ?? [0, top],
      yAxis: { nticks: 4, tickformat: "~s" },
    }),
  };
}

/**
 * The latest figures, for beside the charts' titles.
 * @param {?object} status
 * @param {import("./metrics.js").Columns} metrics
 * @param {?object} difference
 * @returns {Object<string, string>}
 */
export function readings(status, metrics, difference) {
  const apart = differenceReadings(difference);
  const latest = (name) => metrics[name]?.findLast((value) => value !== null) ?? null;
  return {
    training: fixed(latest("bits_per_byte") ?? status?.bits_per_byte),
    validation: fixed(latest("validation_bits_per_byte") ?? status?.validation_bits_per_byte),
    K: fixed(latest("K")),
    C: fixed(latest("C")),
    S: fixed(latest("S")),
    difference: apart.mean,
    difference_validation: apart.validation,
    throughput: prefixed(status?.bytes_per_s ?? latest("bytes_per_s"), "B/s"),
  };
}
