// Other runs beside the live one: fetched, and kept up to date while somebody trains them.

import { lastStep, mergeColumns } from "./metrics.js";
import { freeSlot } from "./overlay_figures.js";
import { MOST_BESIDE } from "./view.js";

const POLL_MS = 2000;
const REST_SHARE = 10; // the service spends at most a tenth of its time on answering for a comparison

/**
 * @typedef {object} Overlay
 * @property {string} run_id
 * @property {string} label What people call it.
 * @property {number} slot Which colour and dash it has; it keeps them while it is shown.
 * @property {import("./metrics.js").Columns} metrics
 */

/** Those without a slot get the first that is free. @param {Array<object>} overlays @returns {Overlay[]} */
function seated(overlays) {
  const taken = overlays.map(({ slot }) => slot);
  return overlays.map((overlay) => {
    const slot = overlay.slot ?? freeSlot(taken);
    taken.push(slot);
    return { ...overlay, slot };
  });
}

/** Fetches what is drawn beside the live run, and the difference to the first of it. */
export class Overlays {
  /**
   * @param {object} store
   * @param {object} api
   * @param {function(Error): void} onError
   */
  constructor(store, api, onError) {
    this.store = store;
    this.api = api;
    this.onError = onError;
    this.wanted = store.get().view.beside;
    this.working = Promise.resolve();
  }

  /** Follow the live run: a branch is drawn beside the run it came from, unless the view says otherwise. */
  start() {
    this.store.subscribe(({ status, view }) => {
      const runId = status?.run_id ?? null;
      if (!runId) {
        if (this.runId) this.#clear();
        return;
      }
      const isAnother = runId !== this.runId;
      if (!isAnother && view.beside === this.wanted) return;
      const wanted = isAnother && this.runId ? null : view.beside;
      this.runId = runId;
      this.#show(wanted);
    });
    this.#poll();
  }

  /** @returns {string[]} Ids of the runs that are shown beside. */
  get shown() {
    return this.store.get().overlays.map(({ run_id: runId }) => runId);
  }

  /** @param {string} runId @param {boolean} isShown @returns {Promise<void>} */
  toggle(runId, isShown) {
    const others = this.shown.filter((other) => other !== runId);
    return this.#show(isShown ? [...others, runId].slice(-MOST_BESIDE) : others);
  }

  /** A run is called otherwise now. @param {string} runId @param {?string} name */
  rename(runId, name) {
    const { overlays } = this.store.get();
    if (!this.shown.includes(runId)) return;
    this.store.update({ overlays: overlays.map((one) => (one.run_id === runId ? { ...one, label: name ?? runId } : one)) });
  }

  /** @param {string} runId Back where it was. @param {number} index @returns {Promise<void>} */
  putBack(runId, index) {
    return this.#show(this.shown.filter((other) => other !== runId).toSpliced(index, 0, runId).slice(0, MOST_BESIDE));
  }

  #show(runIds) {
    this.#want(runIds);
    this.working = this.working.then(() => this.#fetch(runIds)).catch(this.onError);
    return this.working;
  }

  /** The view says what is asked for, so that it is in the address. */
  #want(runIds) {
    this.wanted = runIds;
    const { view } = this.store.get();
    if (view.beside !== runIds) this.store.update({ view: { ...view, beside: runIds } });
  }

  /** Beside no run there is none; what was asked for is back once one is live again. */
  #clear() {
    this.runId = null;
    this.store.update({ overlays: [], difference: null });
  }

  async #fetch(wanted) {
    const { runId } = this;
    const runIds = (wanted ?? (await this.#parents(runId))).filter((other) => other !== runId);
    const known = new Map(this.store.get().overlays.map((overlay) => [overlay.run_id, overlay]));
    const overlays = [];
    for (const other of runIds) overlays.push(known.get(other) ?? (await this.#overlay(other)));
    if (runId !== this.runId) return;
    this.store.update({ overlays: seated(overlays.filter(Boolean)), difference: null });
    if (wanted && wanted === this.wanted) this.#forgetMissing(runIds);
    await this.#refreshDifference();
  }

  async #parents(runId) {
    const { origin } = await this.api.run(runId);
    return origin ? [origin.run_id] : [];
  }

  /** A run may have been deleted since somebody wrote down its name: then there is nothing to draw. */
  async #overlay(runId) {
    try {
      const { name } = await this.api.run(runId);
      const { columns } = await this.api.metrics(runId, -1);
      return { run_id: runId, label: name ?? runId, metrics: columns };
    } catch (error) {
      if (error.problem?.status === 404) return null;
      throw error;
    }
  }

  #forgetMissing(asked) {
    const missing = asked.filter((other) => !this.shown.includes(other));
    if (missing.length === 0) return;
    this.#want(this.shown);
    const detail = `There is no run ${missing.join(", ")} here; it may have been deleted. The others are drawn.`;
    this.onError({ title: "Not every run can be drawn beside", detail });
  }

  async #poll() {
    let restMs = POLL_MS;
    if (!document.hidden && this.store.get().overlays.length > 0) {
      const began = performance.now();
      this.working = this.working.then(() => this.#update()).catch(() => {}); // the header shows a lost connection
      await this.working;
      restMs = Math.max(POLL_MS, REST_SHARE * (performance.now() - began));
    }
    setTimeout(() => this.#poll(), restMs);
  }

  async #update() {
    const { overlays: before } = this.store.get();
    const news = await Promise.all(before.map(({ run_id: id, metrics }) => this.api.metrics(id, lastStep(metrics))));
    if (news.some(({ columns }) => columns.step.length > 0)) {
      const overlays = before.map((overlay, index) =>
        ({ ...overlay, metrics: mergeColumns(overlay.metrics, news[index].columns) }));
      this.store.update({ overlays });
    }
    await this.#refreshDifference();
  }

  /** Twins see the same batches, so the service subtracts them step for step. */
  async #refreshDifference() {
    const { overlays, status, difference, metrics } = this.store.get();
    if (overlays.length === 0) return;
    const steps = Math.min(lastStep(metrics), lastStep(overlays[0].metrics));
    const isKnown = difference?.other_id === overlays[0].run_id && difference.compared_steps === steps;
    if (isKnown || difference?.asked_at === status.step) return;
    const found = await this.api.difference(status.run_id, overlays[0].run_id);
    if (this.shown[0] === found.other_id && this.runId === found.run_id) {
      this.store.update({ difference: { ...found, asked_at: status.step } });
    }
  }
}
