// What all charts have in common: the axes, lines, labels at the edge, markers. Pure functions.

import { effectLines } from "./effect_words.js";
import { LOOKS, markerTrace, placeLabels, spread } from "./markers.js";
import { lastStep, places, series, smoothSeries, thin, within } from "./metrics.js";
import { besideTraces } from "./overlay_figures.js";
import { evenTicks, logarithmicTicks, placeOf, X_AXES } from "./x_axis.js";

const MOST_POINTS = 1000;
/** Around every plot, in pixels. */
export const MARGIN = { left: 46, right: 84, top: 16, bottom: 20 };
export const LABEL_HEIGHT_PX = 12;
const LATE = 0.05; // of the time so far

/**
 * @typedef {object} ChartInput
 * @property {import("./metrics.js").Columns} metrics
 * @property {Array<import("./overlays.js").Overlay>} overlays Runs drawn beside.
 * @property {?object} difference This run minus the first of them.
 * @property {Array<import("./markers.js").Marker>} markers
 * @property {string} chart Which one it is.
 * @property {Object<number, import("./effects.js").Known>} effects Before and after, by the event's id.
 * @property {?Object<string, number>} baselines Bits per byte by name.
 * @property {Array<import("./milestones.js").Milestone>} milestones Baselines passed.
 * @property {?{C: [number, number], S: [number, number]}} bands Between which nine tenths of real text lie.
 * @property {?{c_floor: number, s_floor: number}} telemetry
 * @property {number} layers Of the model.
 * @property {number} budget Share of the time that telemetry may take.
 * @property {Object<string, string>} colours By the name of the CSS custom property, without dashes.
 * @property {number} smoothing The share of the run a smoothed value looks back on; 0 for none.
 * @property {{x: ?[number, number], y: Object<string, ?[number, number]>}} zoom In the axes' own units.
 * @property {"step"|"time"|"bytes"} [xAxis] What the columns' `x` is; steps unless it says so.
 * @property {"linear"|"log"} [xScale]
 * @property {Object<string, "linear"|"log">} [yScales] Of the charts that have a choice.
 * @property {{width: number, height: number}} size In pixels.
 */

const runsOf = ({ metrics, overlays }) => [metrics, ...overlays.map((other) => other.metrics)];

/** The last step of the run, or of one beside it that went further. */
const farthest = (input) => Math.max(...runsOf(input).map(lastStep));

const isXLog = ({ xScale }) => xScale === "log";

/** @param {ChartInput} input @param {string} chart @returns {boolean} Whether its y axis is logarithmic. */
export const isYLog = ({ yScales }, chart) => yScales?.[chart] === "log";

const axisOf = ({ xAxis = "step" }) => X_AXES[xAxis];

/**
 * What is shown of the x axis, in its units. It begins at 0, or where the first step ended if that was long in
 * coming: the first one compiles.
 * @param {ChartInput} input
 * @returns {[number, number]}
 */
export function xRange(input) {
  const { zoom } = input;
  const isLog = isXLog(input);
  if (zoom.x && !(isLog && zoom.x[0] <= 0)) return zoom.x;
  const { least } = axisOf(input);
  const runs = runsOf(input).map(places);
  const first = Math.min(...runs.map((x) => x.find((place) => place > 0) ?? Infinity));
  const last = Math.max(...runs.map((x) => x.at(-1) ?? 0));
  if (isLog) return [Math.min(first, least / 2), 1.01 * Math.max(least, last)];
  const isLate = input.xAxis === "time" && first !== Infinity && first > LATE * last;
  return isLate ? [first, first + 1.01 * Math.max(least, last - first)] : [0, 1.01 * Math.max(least, last)];
}

/** What is shown of a chart's y axis: where somebody zoomed in, if that can be drawn; else `usual`. */
export function yRange({ zoom, yScales }, chart, usual) {
  const zoomed = zoom.y[chart];
  return zoomed && !(isYLog({ yScales }, chart) && zoomed[0] <= 0) ? zoomed : usual;
}

const smoothingSpan = (input) => input.smoothing * Math.max(50, farthest(input));

/** One column of the runs beside, each in its own colour unless another is given. */
export const beside = (input, column, colour = null) =>
  besideTraces(input, column, colour, xRange(input), smoothingSpan(input));

const plotWidth = (size) => Math.max(40, size.width - MARGIN.left - MARGIN.right);

/** As Plotly wants it: the exponent on a logarithmic axis. */
const onAxis = (value, isLog) => (isLog ? Math.log10(value) : value);

/**
 * Between places on the x axis and pixels, counted from the left edge of the chart.
 * @param {ChartInput} input
 * @returns {{toPixel: function(number): number, toPlace: function(number): number}}
 */
export function xPixels(input) {
  const [low, high] = xRange(input).map((end) => onAxis(end, isXLog(input)));
  const width = plotWidth(input.size);
  return {
    toPixel: (place) => MARGIN.left + ((onAxis(place, isXLog(input)) - low) / (high - low)) * width,
    toPlace: (pixel) => {
      const value = low + ((pixel - MARGIN.left) / width) * (high - low);
      return isXLog(input) ? 10 ** value : value;
    },
  };
}

/**
 * The x axis after a zoom that keeps `place` where it is; not finer than a tenth of what a short run shows.
 * @param {ChartInput} input
 * @param {?number} place Null for the middle.
 * @param {number} factor By which more is shown.
 * @returns {?[number, number]} Null where all is shown.
 */
export function zoomedAbout(input, place, factor) {
  const { toPixel, toPlace } = xPixels(input);
  const whole = xRange({ ...input, zoom: { ...input.zoom, x: null } });
  const [low, high] = xRange(input).map(toPixel);
  const fixed = place === null ? (low + high) / 2 : Math.max(low, Math.min(toPixel(place), high));
  const ends = [low, high].map((end) => fixed + factor * (end - fixed));
  const [first, last] = whole.map(toPixel);
  if (ends[0] < first + 1 && ends[1] > last - 1) return null;
  const range = [Math.max(whole[0], toPlace(ends[0])), Math.min(whole[1], toPlace(ends[1]))];
  return factor < 1 && range[1] - range[0] < axisOf(input).least / 10 ? input.zoom.x : range;
}

/** From a step to its place; a logarithmic axis has none for the beginning, so it is at its edge there. */
export function stepToPlace(input) {
  const toPlace = placeOf(input.metrics);
  const [low] = xRange(input);
  return (step) => (isXLog(input) && toPlace(step) <= 0 ? low : toPlace(step));
}

/**
 * From a step to its pixel, counted from the left edge of the chart.
 * @param {ChartInput} input
 * @returns {function(number): number}
 */
export function stepToPixel(input) {
  const toPlace = stepToPlace(input);
  const { toPixel } = xPixels(input);
  return (step) => toPixel(toPlace(step));
}

export const plotHeight = (size) => Math.max(40, size.height - MARGIN.top - MARGIN.bottom);

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
export function rawAndSmooth(input, name, column, colour, hover = "%{y:.3f}") {
  const range = xRange(input);
  const raw = series(input.metrics, column);
  const smoothed = smoothSeries(input.metrics, column, smoothingSpan(input));
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
export const sparse = (input, name, column, colour) => sparseSeries(input, name, series(input.metrics, column), colour);

/** The same of a series that is a part of a column. */
export function sparseSeries(input, name, measured, colour) {
  const points = thin(within(measured, xRange(input)), MOST_POINTS);
  return line(name, points, colour, {
    mode: "lines+markers",
    line: { color: colour, width: 1.2 },
    marker: { color: colour, size: points.x.length > plotWidth(input.size) / 12 ? 3 : 5 },
  });
}

/** Labels at the right edge, level with what they name, moved apart where they would overlap. */
function edgeLabels(levels, [low, high], isLog, size) {
  const height = plotHeight(size);
  const toPixel = ({ value }) => ((high - value) / (high - low)) * height;
  const seen = levels
    .map((level) => ({ ...level, value: onAxis(level.value, isLog) }))
    .filter(({ value }) => value >= low && value <= high)
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
  const toPlace = stepToPlace(input);
  const toPixel = stepToPixel(input);
  const inPlot = (step) => toPixel(step) - MARGIN.left;
  return placeLabels(input.markers, inPlot, plotWidth(input.size)).map(({ marker: { step, label, look }, shift }) => ({
    x: onAxis(toPlace(step), isXLog(input)),
    xshift: shift,
    yref: "paper",
    y: 1,
    text: label,
    showarrow: false,
    xanchor: "center",
    yanchor: "bottom",
    borderpad: 0,
    font: { size: 10, color: input.colours[LOOKS[look].text] },
  }));
}

/**
 * Where an annotation of a chart is to be, as Plotly wants it.
 * @param {ChartInput} input
 * @param {number} step
 * @param {number} value
 * @returns {{x: number, y: number}}
 */
export const annotationAt = (input, step, value) => ({
  x: onAxis(stepToPlace(input)(step), isXLog(input)),
  y: onAxis(value, isYLog(input, input.chart)),
});

/** What there is to say in the middle of a chart that has nothing to draw. */
const emptyNote = (text, { muted }) => (text
  ? [{ text, xref: "paper", yref: "paper", x: 0.5, y: 0.5, showarrow: false, font: { size: 11, color: muted } }]
  : []);

function axis(colours, extra) {
  return {
    gridcolor: colours.grid,
    linecolor: colours.grid,
    zeroline: false,
    tickfont: { size: 10.5, color: colours.muted },
    ...extra,
  };
}

function xAxisLayout(input) {
  const { colours, size, xAxis = "step" } = input;
  const range = xRange(input);
  const most = Math.max(3, Math.min(9, Math.floor(plotWidth(size) / 60)));
  const { values, texts } = (isXLog(input) ? logarithmicTicks : evenTicks)(range, xAxis, most);
  return axis(colours, {
    type: isXLog(input) ? "log" : "linear",
    range: range.map((end) => onAxis(end, isXLog(input))),
    tickvals: values,
    ticktext: texts,
    tickangle: 0,
    showgrid: false,
    showline: true,
    ticks: "outside",
    ticklen: 3,
    tickcolor: colours.grid,
  });
}

const TICK_HEIGHT_PX = 18;

/** Of at most so many ticks as there is room for labels; Plotly may draw one more. */
const tickLimit = (most, size) => Math.max(2, Math.min(most, Math.floor(plotHeight(size) / TICK_HEIGHT_PX)));

/** A chart's axes, level lines, labels of these and of other places at its edge, and size; all in the axes' units. */
export function layout(input, { levels, labels = [], yRange: [low, high], yAxis, note = "" }) {
  const { colours, size, zoom, xAxis, xScale } = input;
  const isLog = yAxis.type === "log";
  const range = [onAxis(low, isLog), onAxis(high, isLog)];
  return {
    width: size.width,
    height: size.height,
    margin: { l: MARGIN.left, r: MARGIN.right, t: MARGIN.top, b: MARGIN.bottom, pad: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colours.font, size: 11, color: colours.ink },
    showlegend: false,
    hovermode: "x",
    hoverlabel: { bgcolor: colours.surface, bordercolor: colours.line, font: { size: 11, color: colours.ink } },
    dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
    uirevision: JSON.stringify([zoom, xAxis, xScale, isLog]),
    xaxis: xAxisLayout(input),
    yaxis: axis(colours, { type: "linear", range, ...yAxis, nticks: tickLimit(yAxis.nticks ?? 6, size) }),
    yaxis2: { overlaying: "y", range: [0, 1], fixedrange: true, visible: false },
    shapes: levels.map(levelLine),
    annotations: [...edgeLabels([...levels, ...labels], range, isLog, size), ...markerLabels(input), ...emptyNote(note, colours)],
  };
}

/** The lines of what happened, on every chart alike; each tells what the chart's figures were before and after it. */
export function markerTraces(input) {
  const { markers, colours, effects = {}, chart } = input;
  const toPlace = stepToPlace(input);
  const more = ({ events }) => effectLines(effects[events.at(-1)?.event_id], chart);
  return Object.keys(LOOKS).map((look) => {
    const { x, ...others } = markerTrace(markers, look, colours, more);
    return { ...others, x: x.map((step) => (step === null ? null : toPlace(step))) };
  });
}
