// Doing runs again beside the live one, to see whether every bit comes out.

import { whole } from "./format.js";

/**
 * @param {object} report The answer of GET /runs/<id>/replay.
 * @returns {string} A few words for the row.
 */
export function replayWords({ state, step, until, checkpoints, first_difference: first }) {
  if (state === "running") return until ? `replaying: ${whole(step)} of ${whole(until)}` : "replaying …";
  if (state === "cancelled") return until ? `cancelled at ${whole(step)} of ${whole(until)}` : "cancelled";
  if (state === "same") return `same to the last bit (${whole(checkpoints)} checkpoints)`;
  return state === "different" ? `differs from step ${whole(first)} on` : "replay failed";
}

/** @param {object} api @returns {import("./jobs.js").Kind} */
export const replaying = (api) => ({
  noun: "replay",
  field: "replay",
  again: "Replay again",
  begin: api.replay,
  look: api.replayed,
  cancel: api.cancelReplay,
  words: replayWords,
  isWell: ({ state }) => state === "same",
});
