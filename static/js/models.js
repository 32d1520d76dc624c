// A run's model as a file: in how many bits a weight, and what those take and cost.

import { fixed, whole } from "./format.js";
import { placeBeside } from "./popover.js";

/**
 * @param {object} report The answer of GET /runs/<id>/rounding.
 * @returns {string} A few words for the row.
 */
export function roundingWords({ state, measured }) {
  if (state === "running") return `measuring what fewer bits cost: ${whole(measured)} of 2`;
  if (state === "done") return "measured what fewer bits cost";
  return state === "cancelled" ? "measuring cancelled" : "measuring what fewer bits cost failed";
}

/** @param {object} api @returns {import("./jobs.js").Kind} */
export const rounding = (api) => ({
  noun: "measurement of rounding",
  field: "rounding",
  again: "Measure again",
  begin: (runId) => api.measureRounding(runId),
  look: api.rounding,
  cancel: api.cancelRounding,
  words: roundingWords,
  isWell: ({ state }) => state === "done",
});

/**
 * What a file in fewer bits takes and costs; a model that learned for four bits loses nothing by being kept in four.
 * @param {{bytes: number, share: number, receipt: {bits_per_byte: number[], logit_difference: number}}} file
 * @returns {string}
 */
export function costOf({ bytes, share, receipt: { bits_per_byte: [before, after], logit_difference: moved } }) {
  const size = `${whole(bytes)} bytes, ${share.toFixed(2)} of float32's`;
  if (moved === 0) return `${size}; ${fixed(after, 4)} bpb held out, exact: the same to the last bit`;
  return `${size}; ${fixed(before, 4)} → ${fixed(after, 4)} bpb held out, logits move by at most ${moved.toPrecision(2)}`;
}

/** The popover with a run's model in each precision. */
export class ModelsPanel {
  /**
   * @param {HTMLElement} popover
   * @param {object} api
   * @param {import("./jobs.js").Jobs} jobs
   */
  constructor(popover, api, jobs) {
    Object.assign(this, { popover, api, jobs });
    this.links = [...popover.querySelectorAll("a")];
    this.button = popover.querySelector("[data-measure]");
    this.said = popover.querySelector("[data-measured]");
    this.runId = null; // while it is open
    this.button.addEventListener("click", () => (jobs.isRunning(this.runId) ? jobs.cancel(this.runId) : jobs.start(this.runId)));
    popover.addEventListener("click", ({ target }) => target.matches("a") && popover.hidePopover());
    popover.addEventListener("toggle", ({ newState }) => {
      if (newState === "closed") this.runId = null;
    });
  }

  /** @param {string} runId @param {HTMLElement} opener */
  open(runId, opener) {
    this.runId = runId;
    this.anchor = opener.getBoundingClientRect();
    for (const link of this.links) link.href = this.api.modelUrl(runId, link.dataset.weights);
    this.popover.showPopover();
    this.show();
    this.links[0].focus();
  }

  /** Show what is known now, if it is open. */
  show() {
    if (!this.runId) return;
    const report = this.jobs.report(this.runId);
    const isRunning = report?.state === "running";
    for (const place of this.popover.querySelectorAll("[data-cost]")) {
      const file = report?.files.find(({ precision }) => precision === place.dataset.cost);
      place.textContent = file ? costOf(file) : "";
    }
    this.button.textContent = isRunning ? "Cancel" : "Measure what fewer bits cost";
    const { obstacle } = this.jobs;
    this.button.disabled = obstacle !== null && !isRunning;
    this.button.title = isRunning ? "" : obstacle ?? "Both models on held-out text, beside the live run";
    this.said.textContent = report ? `${roundingWords(report)}${report.step === null ? "" : `, at step ${whole(report.step)}`}${report.state === "failed" ? `: ${report.detail}` : ""}` : "";
    placeBeside(this.popover, this.anchor);
  }
}
