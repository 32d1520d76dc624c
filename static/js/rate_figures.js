// What the chart of the learning rate draws. Pure functions.

import { nothingMeasured } from "./inside_figures.js";
import { beside, layout, markerTraces, rawAndSmooth } from "./plot.js";

/** @param {import("./plot.js").ChartInput} input @returns {{data: object[], layout: object}} How far a step moves the weights. */
export function rateFigure(input) {
  const { colours } = input;
  const [rate] = rawAndSmooth({ ...input, smoothing: 0 }, "AdamW", "learning_rate", colours.throughput, "%{y:.3~g}");
  return {
    data: [...beside(input, "learning_rate"), rate, ...markerTraces(input)],
    layout: layout(input, {
      levels: [],
      note: nothingMeasured(input, "learning_rate"),
      yRange: input.zoom.y.rate ?? [0, 1.08 * Math.max(1e-9, ...rate.y)],
      yAxis: { nticks: 5, tickformat: "~g" },
    }),
  };
}

const written = (rate) => String(Number(rate.toPrecision(2)));

/**
 * The latest rates, for beside the chart's title: the matrices' peak has its own height and the same course.
 * @param {import("./metrics.js").Columns} metrics
 * @param {?object} config The run's settings.
 * @returns {Object<string, string>}
 */
export function rateReadings(metrics, config) {
  const rate = metrics.learning_rate?.at(-1) ?? null;
  if (rate === null || !config) return { rate: "–", matrix_rate: "–" };
  return { rate: written(rate), matrix_rate: written((rate * config.matrix_learning_rate) / config.learning_rate) };
}
