// What goes on beside the live run in a process of its own: its progress, how it ended, and what became of it when the service did.

import { isUnanswered } from "./api.js";

const PAUSE_MS = 700;

/**
 * A kind of job.
 * @typedef {object} Kind
 * @property {string} noun What doing it is called.
 * @property {string} field Where a run of the list has its last report.
 * @property {?string} again What beginning it anew is called; null where only its own form knows how it was to be.
 * @property {function(string, object): Promise<object>} begin
 * @property {function(string): Promise<object>} look
 * @property {function(string): Promise<object>} cancel
 * @property {function(object): string} words A few, on a report, for the run's row.
 * @property {function(object): boolean} isWell Whether it ended as one hopes.
 */

/** Jobs of one kind: one at a time, as the service has them. */
export class Jobs {
  /**
   * @param {Kind} kind
   * @param {import("./toasts.js").Toasts} toasts
   * @param {function(): void} onChange Called whenever there is something new to show.
   * @param {function(): void} [onEnd] Called when one has come to its own end.
   */
  constructor(kind, toasts, onChange, onEnd = () => {}) {
    Object.assign(this, { kind, toasts, onChange, onEnd });
    this.reports = new Map();
    this.followed = new Set();
  }

  /** @param {string} runId @returns {?object} Its last report. */
  report(runId) {
    return this.reports.get(runId) ?? null;
  }

  /** @param {string} runId @returns {boolean} Whether it is under way. */
  isRunning(runId) {
    return this.report(runId)?.state === "running";
  }

  /** @returns {?string} Why none can be started now, or null. */
  get obstacle() {
    return [...this.reports.values()].some(({ state }) => state === "running") ? `Another ${this.kind.noun} is under way` : null;
  }

  /** Take what the list of runs says: a job may have been begun before this page was opened. @param {Array<object>} runs */
  adopt(runs) {
    for (const { run_id: runId, [this.kind.field]: report } of runs) {
      if (!report || this.followed.has(runId)) continue;
      this.reports.set(runId, report);
      if (report.state === "running") this.#follow(runId);
    }
  }

  /**
   * @param {string} runId
   * @param {object} [wish] How it is to be.
   * @param {function(Error): void} [onRefused]
   * @returns {Promise<void>}
   */
  async start(runId, wish = {}, onRefused = this.toasts.problem) {
    try {
      this.#note(await this.kind.begin(runId, wish));
    } catch (error) {
      onRefused(error);
      return;
    }
    await this.#follow(runId);
  }

  /** @param {string} runId @returns {Promise<void>} */
  async cancel(runId) {
    try {
      this.#note(await this.kind.cancel(runId));
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
        const known = this.report(runId);
        const report = await this.#ask(runId);
        if (report && this.report(runId) === known) this.#note(report); // else it was cancelled, or begun anew, meanwhile
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
      return await this.kind.look(runId);
    } catch (error) {
      if (isUnanswered(error)) return null;
      throw error;
    }
  }

  #tell(report) {
    if (report.state === "cancelled") return;
    const { run_id: runId, detail } = report;
    if (this.kind.isWell(report)) this.toasts.note(`Run ${runId}: ${this.kind.words(report)}.`);
    else this.toasts.problem({ title: `Run ${runId}: ${this.kind.words(report)}`, detail });
    this.onEnd();
  }

  /** A service that was started anew knows of no job. */
  #tellLost(runId) {
    const { noun, again } = this.kind;
    const lost = { title: `The ${noun} was lost when the service restarted`, detail: `Run ${runId} itself is as it was.` };
    this.toasts.problem(lost, again ? { label: again, act: () => this.start(runId) } : undefined);
  }

  #note(report) {
    this.reports.set(report.run_id, report);
    this.onChange();
  }
}
