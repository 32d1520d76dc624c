// Keeps the page's state equal to the service's: a snapshot and cursors over REST, then what the socket pushes.

import { isLocked, isUnanswered } from "./api.js";
import { dropAfter, lastStep, mergeColumns, rowCount, rowsAfter } from "./metrics.js";

const MOST_ROWS = 6000;
const PAUSE_MS = 1000;
const NOTHING = { metrics: {}, events: [] };

/** The last step and the last event of what is known. */
const cursorsOf = ({ metrics, events }) => ({ step: lastStep(metrics), event: events.at(-1)?.event_id ?? 0 });

const ofBoth = (choose, one, other) => ({ step: choose(one.step, other.step), event: choose(one.event, other.event) });

/**
 * Events of both lists, each once, oldest first.
 * @param {Array<{event_id: number}>} known
 * @param {Array<{event_id: number}>} incoming
 * @returns {Array<{event_id: number}>}
 */
export function mergeEvents(known, incoming) {
  if (incoming.length === 0) return known;
  const byId = new Map([...known, ...incoming].map((event) => [event.event_id, event]));
  return [...byId.values()].sort((one, other) => one.event_id - other.event_id);
}

/**
 * Of two Statuses, the one that knows more; answers and pushes may overtake each other.
 * @param {?object} known
 * @param {object} incoming
 * @returns {object}
 */
export function newerStatus(known, incoming) {
  if (known?.run_id !== incoming.run_id || !incoming.run_id) return incoming;
  const started = [known, incoming].map(({ service_started_at: at }) => at ?? 0);
  if (started[0] !== started[1]) return started[1] > started[0] ? incoming : known;
  const age = ({ events_cursor: event, metrics_cursor: step }) => [event ?? 0, step ?? 0];
  const [[knownEvent, knownStep], [event, step]] = [age(known), age(incoming)];
  return event > knownEvent || (event === knownEvent && step >= knownStep) ? incoming : known;
}

/** Fetches, listens, and puts what it learns into the store. */
export class RunFeed {
  /**
   * @param {object} store
   * @param {object} api
   * @param {import("./socket_client.js").SocketClient} socket
   * @param {function(Error): void} onError
   */
  constructor(store, api, socket, onError) {
    this.store = store;
    this.api = api;
    this.socket = socket;
    this.onError = onError;
    this.runId = undefined; // whose past the store holds; the page came with a status, but without a past
    this.gap = null; // the cursors of when the socket came up, until a refresh has filled what was pushed to nobody
    this.working = Promise.resolve();
    this.isThinningOut = false;
    this.isAnswered = false; // whether the service answered since the socket was lost
  }

  /** Fetch what there is and listen from now on. */
  start() {
    this.socket
      .on("connect", () => {
        this.isAnswered = false;
        this.store.update({ connection: "connected" });
        this.gap = { ...(this.gap ?? cursorsOf(this.store.get())) };
        this.refresh();
      })
      .on("disconnect", () => {
        this.store.update({ connection: "disconnected" });
        this.#askWhetherLetIn();
      })
      .on("update", (update) => this.#accept(update));
    this.refresh();
    this.socket.open();
  }

  /** Ask for everything after the cursors; one refresh at a time. @returns {Promise<void>} */
  refresh() {
    this.working = this.working.then(() => this.#refresh()).catch((error) => this.#fail(error));
    return this.working;
  }

  /** That nobody answers is said by the header, and it is asked again: when the socket is up again, or soon where it is. */
  #fail(error) {
    if (isUnanswered(error)) setTimeout(() => this.store.get().connection === "connected" && this.refresh(), PAUSE_MS);
    else this.onError(error);
  }

  /** A socket cannot say why it was refused; a cookie that is no more is something to be told of. */
  async #askWhetherLetIn() {
    if (this.isAnswered) return;
    try {
      await this.api.status();
      this.isAnswered = true;
    } catch (error) {
      this.isAnswered = !isUnanswered(error);
      if (isLocked(error)) this.onError(error);
    }
  }

  /** Take a Status that came as the answer to a command. @param {object} status */
  adopt(status) {
    const { status: known } = this.store.get();
    if (known?.run_id === status.run_id) this.store.update({ status: newerStatus(known, status) });
    this.refresh();
  }

  async #refresh() {
    const status = await this.api.status();
    const { run_id: runId } = status;
    const { gap } = this;
    const before = this.store.get();
    const isSameRun = this.runId === runId;
    if (!runId) {
      const { runs } = await this.api.runs();
      this.runId = runId;
      this.store.update({ status, runCount: runs.length, ...NOTHING });
      return;
    }
    const known = isSameRun ? before : NOTHING;
    const kept = dropAfter(known.metrics, status.metrics_cursor ?? status.step);
    const wentBack = rowCount(kept) < rowCount(known.metrics);
    const cursors = cursorsOf({ ...known, metrics: kept });
    const since = gap ? ofBoth(Math.min, cursors, gap) : cursors;
    const metrics = await this.api.metrics(runId, since.step);
    const past = isSameRun ? [] : await this.#past(runId);
    const events = [...past, ...(await this.#eventsSince(runId, since.event))];
    const now = isSameRun ? this.store.get() : NOTHING;
    this.runId = runId;
    const isFilled = this.gap === gap; // one that opened meanwhile begins where the answers ended
    this.gap = isFilled ? null : ofBoth(Math.max, since, cursorsOf({ metrics: metrics.columns, events }));
    this.store.update({
      status: newerStatus(this.store.get().status, status),
      metrics: mergeColumns(wentBack ? kept : now.metrics, metrics.columns),
      events: mergeEvents(now.events, events),
    });
  }

  /** What a branch was told as another run, before it was one: part of its curves, so part of its story. */
  async #past(runId) {
    const { origin } = await this.api.run(runId);
    if (!origin) return [];
    try {
      const before = [...(await this.#past(origin.run_id)), ...(await this.#eventsSince(origin.run_id, 0))];
      return before.filter(({ event_id: id }) => id <= origin.after_event);
    } catch (error) {
      if (error.problem?.status === 404) return []; // that run was deleted since
      throw error;
    }
  }

  async #eventsSince(runId, since) {
    const { events } = await this.api.events(runId, since);
    if (events.length === 0) return events;
    return [...events, ...(await this.#eventsSince(runId, events.at(-1).event_id))];
  }

  #accept(update) {
    const { status, metrics, events } = this.store.get();
    if (update.run_id !== this.runId) {
      this.refresh();
      return;
    }
    const merged = mergeColumns(metrics, update.metrics ?? {});
    this.store.update({
      status: newerStatus(status, update.status ?? status),
      metrics: merged,
      events: mergeEvents(events, update.events ?? []),
    });
    if (rowCount(merged) > MOST_ROWS) this.#thinOut();
  }

  /** A long run: let the service choose the rows that matter, extremes included. */
  #thinOut() {
    if (this.isThinningOut) return;
    this.isThinningOut = true;
    this.working = this.working
      .then(async () => {
        const { columns } = await this.api.metrics(this.store.get().status.run_id, -1);
        const newer = rowsAfter(this.store.get().metrics, lastStep(columns));
        this.store.update({ metrics: mergeColumns(columns, newer) });
      })
      .catch(this.onError)
      .finally(() => {
        this.isThinningOut = false;
      });
  }
}
