// A chart as a file: a picture of it, or the figures it is drawn from. Pure functions.

import { MARGIN } from "./plot.js";

const HEAD_PX = 58;
const FOOT_PX = 58;

/** Columns of every table: what a chart can be drawn against. */
export const PLACE_COLUMNS = ["step", "elapsed_s", "bytes_seen"];

/**
 * What a run's files are called, as the service calls those of an export.
 * @param {{run_id: string, name: ?string}} run
 * @returns {string} The words of its name, if it has one, and its id.
 */
export const fileTitle = ({ run_id: runId, name }) =>
  [...((name ?? "").match(/[\p{L}\p{N}_]+(?:\.[\p{L}\p{N}_]+)*/gu) ?? []), runId].join("-");

/**
 * @param {string} run What its files are called.
 * @param {string} title Of the chart.
 * @param {number} step The last one in it.
 * @param {string} format
 * @returns {string} run-chart-step, in characters that every file system takes.
 */
export function fileName(run, title, step, format) {
  const chart = title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return `${run}-${chart}-step-${step}.${format}`;
}

/**
 * A chart that stands by itself: with a title, a name for its x axis, a key to its lines and a background.
 * @param {{data: object[], layout: object}} figure As the page draws it.
 * @param {{title: string, subtitle: string, axis: string, colours: Object<string, string>}} words
 * @returns {{data: object[], layout: object}}
 */
export function picture({ data, layout }, { title, subtitle, axis, colours }) {
  const named = new Set();
  const keyed = data.map((trace) => {
    const isKey = trace.type === "scatter" && trace.yaxis !== "y2" && trace.hoverinfo !== "skip" && trace.mode !== "none"
      && trace.line.width > 0 && !named.has(trace.name);
    if (isKey) named.add(trace.name);
    return { ...trace, showlegend: isKey };
  });
  const small = { size: 11, color: colours.muted };
  return {
    data: keyed,
    layout: {
      ...layout,
      height: layout.height + HEAD_PX + FOOT_PX,
      margin: { ...layout.margin, t: layout.margin.t + HEAD_PX, b: layout.margin.b + FOOT_PX },
      paper_bgcolor: colours.surface,
      plot_bgcolor: colours.surface,
      title: {
        text: title, subtitle: { text: subtitle, font: small }, font: { size: 15, color: colours.ink, weight: 600 },
        x: MARGIN.left / layout.width, xref: "container", xanchor: "left", y: 1, yanchor: "top", pad: { t: 12 }, automargin: false,
      },
      xaxis: { ...layout.xaxis, title: { text: axis, font: small, standoff: 6 } },
      showlegend: named.size > 1,
      legend: { orientation: "h", x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom", font: small, bgcolor: "rgba(0,0,0,0)" },
    },
  };
}

/**
 * Tables of several runs as one, with the run in front of each line.
 * @param {Array<{runId: string, csv: string}>} tables With the same columns, those of `PLACE_COLUMNS` first.
 * @param {string} column What the chart is drawn against.
 * @param {?[number, number]} range Only lines of places in it; null for all.
 * @returns {string} CSV.
 */
export function joinTables(tables, column, range) {
  const [head] = tables[0].csv.split("\n", 1);
  const place = PLACE_COLUMNS.indexOf(column);
  const isShown = (line) => {
    if (!range) return true;
    const value = Number(line.split(",", PLACE_COLUMNS.length)[place]);
    return value >= range[0] && value <= range[1];
  };
  const lines = tables.flatMap(({ runId, csv }) =>
    csv.split("\n").slice(1).filter((line) => line && isShown(line)).map((line) => `${runId},${line}`));
  return [`run_id,${head}`, ...lines, ""].join("\n");
}

/**
 * The difference between two runs as a table: stretches of steps, and the steps that both were evaluated at.
 * @param {object} difference As the service says it.
 * @returns {string} CSV; a figure that is not there is an empty cell.
 */
export function differenceTable({ training, validation }) {
  const rows = new Map(training.step.map((step, index) => [step, [training.mean[index], training.low[index], training.high[index], ""]]));
  for (const [index, step] of validation.step.entries()) {
    const row = rows.get(step) ?? ["", "", "", ""];
    rows.set(step, [...row.slice(0, 3), validation.difference[index]]);
  }
  const lines = [...rows].sort(([one], [other]) => one - other).map((row) => row.flat().join());
  return ["step,mean,low,high,validation", ...lines, ""].join("\n");
}
