// Before and after what happened, as the service works it out from every step: asked for when somebody looks.

/**
 * @typedef {object} Known
 * @property {object} [report] As the service says it.
 * @property {string} [problem] Why there is none.
 * @property {number} askedAt The step the run was at.
 */

const WORTH_ASKING = 0.1; // of the steps since the event: so much more must have been done since it was last asked

/**
 * Whether the steps done since would change the answer: until the next change ends its window, now and then.
 * @param {?Known} known
 * @param {number} step The run's.
 * @returns {boolean}
 */
export function isStale(known, step) {
  if (!known) return true;
  if (known.problem || known.report.until !== null) return false;
  const since = Math.max(1, known.askedAt - known.report.step);
  return step - known.askedAt >= WORTH_ASKING * since && step > known.askedAt;
}

/** Fetches before and after, and keeps it in the store by the event's id. */
export class Effects {
  /**
   * @param {object} store
   * @param {object} api
   */
  constructor(store, api) {
    this.store = store;
    this.api = api;
    this.asking = new Set();
    store.subscribe(({ status, effects }, previous) => {
      const isOther = status?.run_id !== previous.status?.run_id;
      if (isOther && Object.keys(effects).length > 0) store.update({ effects: {} });
    });
  }

  /** Ask for what is not known yet, or not well any more. @param {?number} eventId @returns {Promise<void>} */
  async want(eventId) {
    const { status, effects } = this.store.get();
    if (!eventId || !status?.run_id || this.asking.has(eventId) || !isStale(effects[eventId], status.step)) return;
    this.asking.add(eventId);
    const known = { askedAt: status.step };
    try {
      known.report = await this.api.effect(status.run_id, eventId);
    } catch (error) {
      known.problem = `before and after: ${error.detail || error.message}`;
    }
    this.asking.delete(eventId);
    if (this.store.get().status?.run_id === status.run_id) {
      this.store.update({ effects: { ...this.store.get().effects, [eventId]: known } });
    }
  }
}
