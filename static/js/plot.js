// What all charts have in common: the axis of steps, lines, labels at the edge, markers. Pure functions.

import { effectLines } from "./effect_words.js";
import { LOOKS, markerTrace, placeLabels, spread } from "./markers.js";
import { lastStep, series, smooth, thin, within } from "./metrics.js";
import { besideTraces } from "./overlay_figures.js";

const MOST_POINTS = 1000;
const MARGIN = { left: 46, right: 84, top: 16, bottom: 20 };
export const LABEL_HEIGHT_PX = 12;

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
 * @property {{x: ?[number, number], y: Object<string, ?[number, number]>, revision: number}} zoom
 * @property {{width: number, height: number}} size In pixels.
 */

/** @param {ChartInput} input @returns {[number, number]} Steps shown. */
export const stepRange = (input) => input.zoom.x ?? [0, Math.max(20, farthest(input)) * 1.01];

/** The last step of the run, or of one beside it that went further. */
const farthest = ({ metrics, overlays }) => Math.max(lastStep(metrics), ...overlays.map((other) => lastStep(other.metrics)));

const smoothingSpan = (input) => input.smoothing * Math.max(50, farthest(input));

/** One column of the runs beside. */
export const beside = (input, column, colour) =>
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
export const sparse = (input, name, column, colour) => sparseSeries(input, name, series(input.metrics, column), colour);

/** The same of a series that is a part of a column. */
export function sparseSeries(input, name, measured, colour) {
  const points = thin(within(measured, stepRange(input)), MOST_POINTS);
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
  return placeLabels(input.markers, toPixel, width).map(({ marker: { step, label, look }, shift }) => ({
    x: step,
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

/** A chart's axes, level lines, labels of these and of other places at its edge, and size. */
export function layout(input, { levels, labels = [], yRange, yAxis, note = "" }) {
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
    annotations: [...edgeLabels([...levels, ...labels], yRange, size), ...markerLabels(input), ...emptyNote(note, colours)],
  };
}

/** The lines of what happened, on every chart alike; each tells what the chart's figures were before and after it. */
export function markerTraces({ markers, colours, effects = {}, chart }) {
  const more = ({ events }) => effectLines(effects[events.at(-1)?.event_id], chart);
  return Object.keys(LOOKS).map((look) => markerTrace(markers, look, colours, more));
}
