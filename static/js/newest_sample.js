// The run's newest sample in the output, whoever asked for it, but never in place of what was stopped here.

/**
 * Shows samples that are news. One that this page asked for is none: it was seen coming, or stopped, even if the service
 * came to its end all the same. Nor is one that anybody had before a text of this page ended, however late its event comes,
 * nor the very text that is there, which somebody may have asked for again: its steps and what is frozen of it stay.
 */
export class NewestSample {
  /**
   * @param {object} context Store and api.
   * @param {import("./sample_view.js").SampleView} view
   */
  constructor({ store, api }, view) {
    this.store = store;
    this.api = api;
    this.view = view;
    this.runId = null;
    this.seen = 0; // the last event that is no news
    this.own = new Set(); // the names of this page's requests
    this.unended = 0; // of these
    store.subscribe((state) => this.#follow(state));
  }

  /** @returns {string} What to call the request for a text; until that has ended no other is shown. */
  begin() {
    const name = [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("-");
    this.own.add(name);
    this.unended += 1;
    return name;
  }

  /** It has: what the service has kept until now is no news, or what the page knows of where nobody answers. */
  async end() {
    const { events_cursor: last } = await this.api.status().catch(() => this.store.get().status);
    this.seen = Math.max(this.seen, last);
    this.unended -= 1;
    this.#follow(this.store.get());
  }

  #follow({ status, events }) {
    if (this.unended > 0) return;
    const runId = status?.run_id ?? null;
    if (runId !== this.runId) {
      Object.assign(this, { runId, seen: 0 });
      this.own.clear();
      this.view.clear();
    }
    const isNews = ({ event_id: id, kind, payload }) => id > this.seen && kind === "sample" && !this.own.has(payload.request_id);
    const newest = events.findLast(isNews);
    if (!newest) return;
    this.seen = newest.event_id;
    const { response } = newest.payload;
    if (response?.gate && !this.view.shows(response)) this.view.show(newest.payload);
  }
}
