// What each chart draws: Plotly traces and layouts from plain data. Pure functions.

import { fixed, prefixed, setting } from "./format.js";
import { markerTrace, placeLabels, spread } from "./markers.js";
import { lastStep, quantile, series, smooth, thin, within } from "./metrics.js";
import { besideTraces, differenceRange, differenceReadings, differenceTraces } from "./overlay_figures.js";

const MOST_POINTS = 1000;
const MARGIN = { left: 46, right: 84, top: 16, bottom: 20 };
const LABEL_HEIGHT_PX = 12;

/**
 * @typedef {object} ChartInput
 * @property {import("./metrics.js").Columns} metrics
 * @property {Array<import("./overlays.js").Overlay>} overlays Runs drawn beside.
 * @property {?object} difference This run minus the first of them.
 * @property {Array<import("./markers.js").Marker>} markers
 * @property {?Object<string, number>} baselines Bits per byte by name.
 * @property {?{c_floor: number, s_floor: number}} telemetry
 * @property {Object<string, string>} colours By the name of the CSS custom property, without dashes.
 * @property {number} smoothing The share of the run a smoothed value looks back on; 0 for none.
 * @property {{x: ?[number, number], y: Object<string, ?[number, number]>, revision: number}} zoom
 * @property {{width: number, height: number}} size In pixels.
 */

/** @param {ChartInput} input @returns {[number, number]} Steps shown. */
export const stepRange = (input) => input.zoom.x ?? [0, Math.max(20, farthest(input)) * 1.01];

/** The last step of the run, or of one beside it that went further. */
const farthest = ({ metrics, overlays }) => Math.max(lastStep(metrics), ...overlays.map((other) => lastStep(other.metrics)));

const smoothingSpan = (input) => input.smoothing * Math.max(50, farthest(input));

const beside = (input, column, colour) =>
  besideTraces(input, column, colour, stepRange(input), smoothingSpan(input));

const plotWidth = (size) => Math.max(40, size.width - MARGIN.left - MARGIN.right);
/**
 * From a step to its pixel, counted from the left edge of the chart.
 * @param {ChartInput} input
 * @returns {function(number): number}
 */
export function stepToPixel(input) {
  const [low, high] = stepRange(input);
  const width = plotWidth(input.size);
  return (step) => MARGIN.left + ((step - low) / (high - low)) * width;
}

const plotHeight = (size) => Math.max(40, size.height - MARGIN.top - MARGIN.bottom);

function line(name, points, colour, extra = {}) {
  return {
    type: "scatter",
    mode: "lines",
    name,
    ...points,
    line: { color: colour, width: 1.8 },
    hovertemplate: `${name} %{y:.3f}<extra></extra>`,
    ...extra,
  };
}

/** The raw measurements, faint, and their smoothed course. */
function rawAndSmooth(input, name, column, colour, hover = "%{y:.3f}") {
  const range = stepRange(input);
  const raw = series(input.metrics, column);
  const smoothed = smooth(raw, smoothingSpan(input));
  const view = (points) => thin(within(points, range), MOST_POINTS);
  const faint = line(name, view(raw), colour, {
    opacity: input.smoothing ? 0.28 : 1,
    line: { color: colour, width: input.smoothing ? 1 : 1.4 },
    hovertemplate: input.smoothing ? undefined : `${name} ${hover}<extra></extra>`,
    hoverinfo: input.smoothing ? "skip" : undefined,
  });
  const clear = line(name, view(smoothed), colour, { hovertemplate: `${name} ${hover}<extra></extra>` });
  return input.smoothing ? [faint, clear] : [faint];
}

/** Measurements that are there at some steps only: points, joined. */
function sparse(input, name, column, colour) {
  const points = thin(within(series(input.metrics, column), stepRange(input)), MOST_POINTS);
  return line(name, points, colour, {
    mode: "lines+markers",
    line: { color: colour, width: 1.2 },
    marker: { color: colour, size: points.x.length > plotWidth(input.size) / 12 ? 3 : 5 },
  });
}

/** Labels at the right edge, level with what they name, moved apart where they would overlap. */
function edgeLabels(levels, yRange, size) {
  const height = plotHeight(size);
  const toPixel = ({ value }) => ((yRange[1] - value) / (yRange[1] - yRange[0])) * height;
  const seen = levels
    .filter(({ value }) => value >= yRange[0] && value <= yRange[1])
    .sort((one, other) => other.value - one.value);
  const pixels = seen.map(toPixel);
  const placed = spread(pixels, seen.map(() => LABEL_HEIGHT_PX), [-4, height + 4]);
  return seen.map(({ value, label, colour }, index) => ({
    xref: "paper",
    x: 1,
    y: value,
    text: label,
    showarrow: true,
    arrowhead: 0,
    arrowwidth: 0.7,
    arrowcolor: colour,
    ax: 12,
    ay: placed[index] - pixels[index],
    xanchor: "left",
    yanchor: "middle",
    font: { color: colour, size: 10 },
  }));
}

const levelLine = ({ value, colour, dash }) => ({
  type: "line",
  xref: "paper",
  x0: 0,
  x1: 1,
  y0: value,
  y1: value,
  line: { color: colour, width: 1.25, dash },
  layer: "above",
});

function markerLabels(input) {
  const range = stepRange(input);
  const width = plotWidth(input.size);
  const toPixel = (step) => ((step - range[0]) / (range[1] - range[0])) * width;
  return placeLabels(input.markers, toPixel, width).map(({ marker: { step, label, isAlert }, shift }) => ({
    x: step,
    xshift: shift,
    yref: "paper",
    y: 1,
    text: label,
    showarrow: false,
    xanchor: "center",
    yanchor: "bottom",
    borderpad: 0,
    font: { size: 10, color: isAlert ? input.colours.alert : input.colours.muted },
  }));
}

function axis(colours, extra) {
  return {
    gridcolor: colours.grid,
    linecolor: colours.grid,
    zeroline: false,
    tickfont: { size: 10.5, color: colours.muted },
    ...extra,
  };
}

function layout(input, { levels, yRange, yAxis }) {
  const { colours, size, zoom } = input;
  return {
    width: size.width,
    height: size.height,
    margin: { l: MARGIN.left, r: MARGIN.right, t: MARGIN.top, b: MARGIN.bottom, pad: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colours.font, size: 11, color: colours.ink },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: colours.surface, bordercolor: colours.line, font: { size: 11, color: colours.ink } },
    dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
    uirevision: zoom.revision,
    xaxis: axis(colours, {
      range: stepRange(input),
      tickformat: ",d",
      nticks: Math.max(3, Math.min(9, Math.floor(plotWidth(size) / 60))),
      tickangle: 0,
      showgrid: false,
      showline: true,
      ticks: "outside",
      ticklen: 3,
      tickcolor: colours.grid,
      spikethickness: 1,
      spikedash: "solid",
      spikecolor: colours.order,
    }),
    yaxis: axis(colours, { range: yRange, nticks: 6, ...yAxis }),
    yaxis2: { overlaying: "y", range: [0, 1], fixedrange: true, visible: false },
    shapes: levels.map(levelLine),
    annotations: [...edgeLabels(levels, yRange, size), ...markerLabels(input)],
  };
}

function markerTraces({ markers, colours }) {
  const alerts = markers.filter(({ isAlert }) => isAlert);
  const changes = markers.filter(({ isAlert }) => !isAlert);
  return [markerTrace(changes, colours.marker, "solid"), markerTrace(alerts, colours.alert, "solid")];
}

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

/** @param {ChartInput} input @returns {{data: object[], layout: object}} Bits per byte with its baselines. */
export function lossFigure(input) {
  const { colours, baselines } = input;
  const training = rawAndSmooth(input, "training", "bits_per_byte", colours.training);
  const validation = sparse(input, "validation", "validation_bits_per_byte", colours.validation);
  const others = beside(input, "bits_per_byte", colours.beside);
  const values = [...training.at(-1).y, ...validation.y, ...others.flatMap(({ y }) => y)];
  const levels = Object.entries(baselines ?? {}).map(([name, value]) => ({
    value,
    label: `${name} ${fixed(value)}`,
    colour: name.startsWith("order") ? colours.order : colours.compressor,
    dash: name.startsWith("order") ? "dot" : "solid",
  }));
  const yRange = input.zoom.y.loss ?? bitsPerByteRange(values, levels.map(({ value }) => value));
  return {
    data: [...training, ...others, validation, ...markerTraces(input)],
    layout: layout(input, { levels, yRange, yAxis: { tickformat: ".2~f" } }),
  };
}

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
    layout: layout(input, {
      levels,
      yRange: input.zoom.y.telemetry ?? telemetryRange(input.metrics),
      yAxis: { tickformat: ".2~f", dtick: 0.25 },
    }),
  };
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} This run minus the one beside it. */
export function differenceFigure(input) {
  const { colours, difference } = input;
  const shown = difference ?? { training: { step: [], mean: [], low: [], high: [] }, validation: { step: [], difference: [] } };
  return {
    data: [...differenceTraces(shown, colours), ...markerTraces(input)],
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
