// "Passed gzip at 1 m 12 s": asked for when the run has been measured again, and listed beside the chart's title.

import { element } from "./dom.js";
import { duration, fixed, whole } from "./format.js";

/** @typedef {{name: string, baseline: number, step: number, elapsed_s: number, validation_bits_per_byte: number}} Milestone */

const REST_MS = 2000;

/** What the answer depends on: the run, its newest estimate, and whether there are baselines at all. */
function occasionOf({ status, metrics }) {
  if (!status?.run_id || !status.baselines) return null;
  const estimates = metrics.validation_bits_per_byte ?? [];
  const newest = estimates.findLastIndex((value) => value !== null);
  return newest < 0 ? null : `${status.run_id} ${metrics.step[newest]}`;
}

const row = ({ name, baseline, step, elapsed_s: seconds }) => element(
  "tr",
  {},
  element("th", { scope: "row", textContent: name }),
  ...[fixed(baseline), duration(seconds), whole(step)].map((textContent) => element("td", { textContent })),
);

/** Keeps the milestones in the store, and their list. */
class Milestones {
  constructor(figure, popover, { store, api }) {
    this.store = store;
    this.api = api;
    this.reading = figure.querySelector("[data-milestones-reading]");
    this.newest = figure.querySelector("[data-milestone]");
    this.rows = popover.querySelector("tbody");
    this.asked = null;
    this.isResting = false;
    store.subscribe((state, previous) => {
      if (state.status?.run_id !== previous.status?.run_id && state.milestones.length > 0) store.update({ milestones: [] });
      if (state.milestones !== previous.milestones) this.#show(state.milestones);
      this.#ask();
    });
  }

  /** Once for each estimate, and no more often than every other second. */
  async #ask() {
    const occasion = occasionOf(this.store.get());
    if (occasion === null || occasion === this.asked || this.isResting) return;
    this.asked = occasion;
    this.isResting = true;
    const runId = this.store.get().status.run_id;
    const answer = await this.api.milestones(runId).catch(() => null); // the header shows a lost connection; it is asked again
    const { status, milestones: known } = this.store.get();
    const isNews = answer && status?.run_id === runId && answer.milestones.length !== known.length;
    if (isNews) this.store.update({ milestones: answer.milestones });
    setTimeout(() => {
      this.isResting = false;
      this.#ask();
    }, REST_MS);
  }

  #show(milestones) {
    const newest = milestones.at(-1);
    this.reading.hidden = !newest;
    this.newest.textContent = newest ? `${newest.name} ${duration(newest.elapsed_s)}` : "–";
    this.rows.replaceChildren(...milestones.map(row));
  }
}

/**
 * @param {HTMLElement} figure The chart of bits per byte.
 * @param {HTMLElement} popover The list.
 * @param {{store: object, api: object}} context
 */
export const connectMilestones = (figure, popover, context) => new Milestones(figure, popover, context);
