// Baselines that a run has passed, on the chart of bits per byte and in words. Pure functions.

import { duration, whole } from "./format.js";
import { annotationAt, LABEL_HEIGHT_PX, plotHeight, stepToPixel, stepToPlace, xPixels, xRange } from "./plot.js";

/** @typedef {import("./milestones.js").Milestone} Milestone */

/** @param {Milestone} milestone @returns {string} Its time, step and baseline as a sentence. */
export const milestoneSentence = ({ name, step, elapsed_s: seconds }) =>
  `passed ${name} at ${duration(seconds)} (step ${whole(step)})`;

/**
 * A dot on each baseline that is shown, where it was passed; whole even at an edge.
 * @param {import("./plot.js").ChartInput} input
 * @param {[number, number]} yRange
 * @returns {object} A Plotly trace.
 */
export function milestoneTrace(input, [low, high]) {
  const { colours } = input;
  const [first, last] = xRange(input);
  const milestones = input.milestones
    .filter(({ step, baseline }) => baseline >= low && baseline <= high && stepToPlace(input)(step) >= first && stepToPlace(input)(step) <= last)
    .sort((one, other) => one.step - other.step);
  const toPlace = stepToPlace(input);
  return {
    type: "scatter",
    mode: "markers",
    name: "passed",
    x: milestones.map(({ step }) => toPlace(step)),
    y: milestones.map(({ baseline }) => baseline),
    text: milestones.map(milestoneSentence),
    line: { width: 0 },
    cliponaxis: false,
    marker: { color: colours.surface, size: 6, line: { color: colours.validation, width: 1.6 } },
    hovertemplate: "%{text}<extra></extra>",
  };
}

/** Nearly the ground's own colour, so that a label is legible on the lines behind it. */
const veil = (colour) => colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.75)");

/**
 * "gzip 1 m 12 s" beside each dot, above its line, where the course has left; of lines too near to each other the
 * highest is labelled, and the list has them all.
 * @param {import("./plot.js").ChartInput} input
 * @param {[number, number]} yRange
 * @returns {object[]} Plotly annotations.
 */
export function milestoneLabels(input, yRange) {
  const [left, right] = xRange(input).map(xPixels(input).toPixel);
  const [low, high] = yRange.map((value) => annotationAt(input, 0, value).y);
  const apart = ((high - low) * LABEL_HEIGHT_PX) / plotHeight(input.size);
  const placed = input.milestones
    .map((milestone) => ({
      ...milestone,
      ...annotationAt(input, milestone.step, milestone.baseline),
      pixel: stepToPixel(input)(milestone.step),
    }))
    .filter(({ pixel, y }) => pixel >= left && pixel <= right && y > low && y < high - apart)
    .sort((one, other) => other.y - one.y);
  let level = Infinity;
  const roomy = placed.filter(({ y }) => {
    if (level - y < apart) return false;
    level = y;
    return true;
  });
  return roomy.map(({ name, x, y, pixel, elapsed_s: seconds }) => {
    const isFarRight = pixel > left + 0.8 * (right - left);
    return {
      x,
      y,
      text: `${name} ${duration(seconds)}`,
      showarrow: false,
      xanchor: isFarRight ? "right" : "left",
      xshift: isFarRight ? -6 : 6,
      yanchor: "bottom",
      borderpad: 0,
      bgcolor: veil(input.colours.surface),
      font: { size: 10, color: input.colours.muted },
    };
  });
}
