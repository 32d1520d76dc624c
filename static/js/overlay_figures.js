// What comparing adds to the charts: the other runs' courses, and the difference to the first of them.

import { smoothSeries, thin, within } from "./metrics.js";

const MOST_POINTS = 600;

const DASHES = ["dash", "dot", "dashdot", "longdash", "longdashdot", "4px 2px 1px 2px 1px 2px", "1px 5px"];

/**
 * How the runs beside are told apart, the same on every chart and on their label: by a colour of the theme and by a dash. A
 * run keeps its slot while it is shown.
 */
export const SLOTS = DASHES.map((dash, index) => ({ dash, colour: `beside-${index + 1}` }));

/**
 * @param {number[]} taken Slots of the runs that are shown.
 * @returns {number} The first that is free.
 */
export function freeSlot(taken) {
  const free = SLOTS.findIndex((_, slot) => !taken.includes(slot));
  return Math.max(0, free);
}

/**
 * The smoothed course of one column in every run beside.
 * @param {import("./plot.js").ChartInput} input
 * @param {string} column
 * @param {?string} colour Of what is measured, where a chart has several; null for each run's own.
 * @param {[number, number]} range Shown of the x axis.
 * @param {number} span Steps a smoothed value looks back on.
 * @returns {object[]} Plotly traces.
 */
export function besideTraces({ overlays, colours }, column, colour, range, span) {
  return overlays.map(({ label, metrics, slot }) => {
    const course = thin(within(smoothSeries(metrics, column, span), range), MOST_POINTS);
    return {
      type: "scatter",
      mode: "lines",
      name: label,
      ...course,
      line: { color: colour ?? colours[SLOTS[slot].colour], width: 1.4, dash: SLOTS[slot].dash },
      hovertemplate: `${escapeMarkup(label)} ${column === "bits_per_byte" ? "" : `${column} `}%{y:.3f}<extra></extra>`,
    };
  });
}

const escapeMarkup = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/**
 * The difference as traces: a band from its lowest to its highest, its mean, and that of held-out text.
 * @param {object} difference As the service says it.
 * @param {Object<string, string>} colours
 * @param {function(number): number} toPlace From a step to its place on the x axis.
 * @returns {object[]} Plotly traces.
 */
export function differenceTraces({ training, validation }, colours, toPlace) {
  const x = training.step.map(toPlace);
  const edge = { type: "scatter", mode: "lines", x, line: { width: 0 }, hoverinfo: "skip" };
  return [
    { ...edge, name: "lowest", y: training.low },
    { ...edge, name: "highest", y: training.high, fill: "tonexty", fillcolor: faint(colours.training) },
    {
      type: "scatter",
      mode: "lines",
      name: "training",
      x,
      y: training.mean,
      line: { color: colours.training, width: 1.6 },
      hovertemplate: "training %{y:+.4f}<extra></extra>",
    },
    {
      type: "scatter",
      mode: "lines+markers",
      name: "validation",
      x: validation.step.map(toPlace),
      y: validation.difference,
      line: { color: colours.validation, width: 1.2 },
      marker: { color: colours.validation, size: 5 },
      hovertemplate: "validation %{y:+.4f}<extra></extra>",
    },
  ];
}

/** @param {string} colour As the browser resolved it. @returns {string} The same, for a band. */
export const faint = (colour) => colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.18)");

/**
 * A range that shows the difference and the line of no difference, never so near that rounding looks like news.
 * @param {object} difference
 * @returns {[number, number]}
 */
export function differenceRange({ training, validation }) {
  const values = [0, ...training.mean, ...validation.difference];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = Math.max((high - low) * 0.12, 0.005);
  return [low - pad, high + pad];
}

/**
 * The difference in figures, for beside the chart's title.
 * @param {?object} difference
 * @returns {{mean: string, validation: string}}
 */
export function differenceReadings(difference) {
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
  if (!difference || difference.compared_steps === 0) return { mean: "–", validation: "–" };
  if (difference.first_difference === null) return { mean: "none", validation: "none" };
  const last = difference.validation.difference.at(-1);
  return { mean: signed(difference.mean), validation: last === undefined ? "–" : signed(last) };
}
