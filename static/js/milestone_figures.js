// Baselines that a run has passed, on the chart of bits per byte and in words. Pure functions.

import { duration, whole } from "./format.js";
import { LABEL_HEIGHT_PX, plotHeight, stepRange } from "./plot.js";

/** @typedef {import("./milestones.js").Milestone} Milestone */

/** @param {Milestone} milestone @returns {string} Its time, step and baseline as a sentence. */
export const milestoneSentence = ({ name, step, elapsed_s: seconds }) =>
  `passed ${name} at ${duration(seconds)} (step ${whole(step)})`;

/**
 * A dot on each baseline where it was passed.
 * @param {import("./plot.js").ChartInput} input
 * @returns {object} A Plotly trace.
 */
export function milestoneTrace({ milestones, colours }) {
  return {
    type: "scatter",
    mode: "markers",
    name: "passed",
    x: milestones.map(({ step }) => step),
    y: milestones.map(({ baseline }) => baseline),
    text: milestones.map(milestoneSentence),
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
export function milestoneLabels(input, [low, high]) {
  const [first, last] = stepRange(input);
  const apart = ((high - low) * LABEL_HEIGHT_PX) / plotHeight(input.size);
  const isInView = ({ step, baseline }) => step >= first && step <= last && baseline > low && baseline < high - apart;
  let level = Infinity;
  const roomy = input.milestones
    .filter(isInView)
    .sort((one, other) => other.baseline - one.baseline)
    .filter(({ baseline }) => {
      if (level - baseline < apart) return false;
      level = baseline;
      return true;
    });
  return roomy.map(({ name, step, baseline, elapsed_s: seconds }) => ({
    x: step,
    y: baseline,
    text: `${name} ${duration(seconds)}`,
    showarrow: false,
    xanchor: step > first + 0.8 * (last - first) ? "right" : "left",
    xshift: step > first + 0.8 * (last - first) ? -6 : 6,
    yanchor: "bottom",
    borderpad: 0,
    bgcolor: veil(input.colours.surface),
    font: { size: 10, color: input.colours.muted },
  }));
}
