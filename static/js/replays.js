// Doing a run again beside the live one: its progress, and how it ended.

import { whole } from "./format.js";

const PAUSE_MS = 700;

/**
 * @param {object} report The answer of GET /runs/<id>/replay.
 * @returns {string} A few words for the row.
 */
export function replayWords({ state, step, until, checkpoints, first_difference: first }) {
  if (state === "running") return until ? `replaying: ${whole(step)} of ${whole(until)}` : "replaying …";
  if (state === "same") return `same to the last bit (${whole(checkpoints)} checkpoints)`;
  return state === "different" ? `differs from step ${whole(first)} on` : "replay failed";
}

/** One replay at a time, as the service has it. */
export class Replays {
  /**
   * @param {object} api
   * @param {import("./toasts.js").Toasts} toasts
   * @param {function(): void} onChange Called whenever there is something new to show.
   */
  constructor(api, toasts, onChange) {
    this.api = api;
    this.toasts = toasts;
    this.onChange = onChange;
    this.reports = new Map();
  }

  /** @param {string} runId @returns {?object} Its last report, if it was replayed from this page. */
  report(runId) {
    return this.reports.get(runId) ?? null;
  }

  /** @returns {?string} Why none can be started now, or null. */
  get obstacle() {
    return [...this.reports.values()].some(({ state }) => state === "running") ? "Another replay is under way" : null;
  }

  /** @param {string} runId @returns {Promise<void>} */
  async start(runId) {
    try {
      this.#note(await this.api.replay(runId));
      while (this.report(runId).state === "running") {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        this.#note(await this.api.replayed(runId));
      }
      const report = this.report(runId);
      if (report.state === "same") this.toasts.note(`Run ${runId} is ${replayWords(report)}.`);
      else this.toasts.problem({ title: `Run ${runId}: ${replayWords(report)}`, detail: report.detail });
    } catch (error) {
      this.reports.delete(runId);
      this.onChange();
      this.toasts.problem(error);
    }
  }

  #note(report) {
    this.reports.set(report.run_id, report);
    this.onChange();
  }
}
