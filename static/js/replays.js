// Doing runs again beside the live one: their progress, how they ended, and what became of them when the service did.

import { isUnanswered } from "./api.js";
import { whole } from "./format.js";

const PAUSE_MS = 700;

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
    this.followed = new Set();
  }

  /** @param {string} runId @returns {?object} Its last report. */
  report(runId) {
    return this.reports.get(runId) ?? null;
  }

  /** @param {string} runId @returns {boolean} Whether it is being done again. */
  isRunning(runId) {
    return this.report(runId)?.state === "running";
  }

  /** @returns {?string} Why none can be started now, or null. */
  get obstacle() {
    return [...this.reports.values()].some(({ state }) => state === "running") ? "Another replay is under way" : null;
  }

  /** Take what the list of runs says: a replay may have been begun before this page was opened. @param {Array<object>} runs */
  adopt(runs) {
    for (const { run_id: runId, replay } of runs) {
      if (!replay || this.followed.has(runId)) continue;
      this.reports.set(runId, replay);
      if (replay.state === "running") this.#follow(runId);
    }
  }

  /** @param {string} runId @returns {Promise<void>} */
  async start(runId) {
    try {
      this.#note(await this.api.replay(runId));
    } catch (error) {
      this.toasts.problem(error);
      return;
    }
    await this.#follow(runId);
  }

  /** @param {string} runId @returns {Promise<void>} */
  async cancel(runId) {
    try {
      this.#note(await this.api.cancelReplay(runId));
    } catch (error) {
      this.toasts.problem(error);
    }
  }

  /** One follower for each run: of two, the slower would tell of a loss that was mended meanwhile. */
  async #follow(runId) {
    if (this.followed.has(runId)) return;
    this.followed.add(runId);
    try {
      while (this.isRunning(runId)) {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        const report = await this.#ask(runId);
        if (report && this.isRunning(runId)) this.#note(report);
      }
      this.#tell(this.report(runId));
    } catch (error) {
      this.reports.delete(runId);
      this.onChange();
      if (error.problem?.status === 409) this.#tellLost(runId);
      else this.toasts.problem(error);
    } finally {
      this.followed.delete(runId);
    }
  }

  /** @returns {Promise<?object>} The report; null while the service does not answer, which the header says. */
  async #ask(runId) {
    try {
      return await this.api.replayed(runId);
    } catch (error) {
      if (isUnanswered(error)) return null;
      throw error;
    }
  }

  #tell(report) {
    if (report.state === "cancelled") return;
    if (report.state === "same") this.toasts.note(`Run ${report.run_id} is ${replayWords(report)}.`);
    else this.toasts.problem({ title: `Run ${report.run_id}: ${replayWords(report)}`, detail: report.detail });
  }

  /** A service that was started anew knows of no replay. */
  #tellLost(runId) {
    const lost = { title: "The replay was lost when the service restarted", detail: `Run ${runId} itself is as it was.` };
    this.toasts.problem(lost, { label: "Replay again", act: () => this.start(runId) });
  }

  #note(report) {
    this.reports.set(report.run_id, report);
    this.onChange();
  }
}
