// The same prompt along training: having it drawn every so many steps, and moving through what was drawn.

import { fixed, setting, whole } from "./format.js";
import { obstacles } from "./run_state.js";

const LONGEST_BYTES = 1024; // of a sample along training
const FIELDS = ["prompt", "max_new_bytes", "temperature", "top_p", "seed"];

/**
 * The schedule that goes on from what the form asks, with seed 0 where it names none: all texts have the same.
 * @param {object} question The body of POST /infer.
 * @param {number} every Steps between two samples.
 * @returns {object} The schedule of POST /config/samples.
 */
export const scheduleOf = ({ prompt, max_new_bytes: bytes, temperature, top_p, seed = 0 }, every) => ({
  every,
  prompt,
  max_new_bytes: Math.min(bytes, LONGEST_BYTES),
  temperature,
  top_p,
  seed,
});

/**
 * Whether two schedules draw the same, however often.
 * @param {object} one
 * @param {object} other
 * @returns {boolean}
 */
export const drawsTheSame = (one, other) => FIELDS.every((field) => one[field] === other[field]);

/**
 * The characters of a kept sample, as an answer has them.
 * @param {{text: string, surprise_bits: number[]}} sample
 * @returns {Array<{text: string, surprise_bits: number}>}
 */
export const charactersOf = ({ text, surprise_bits: surprises }) =>
  [...text].map((character, index) => ({ text: character, surprise_bits: surprises[index] }));

/**
 * Which sample is looked at once there are more: the newest follows, any other stays.
 * @param {number} index Where the reader is; -1 for nowhere yet.
 * @param {number} before Samples there were.
 * @param {number} after Samples there are.
 * @returns {number} -1 where there are none.
 */
export const indexAfter = (index, before, after) =>
  index < 0 || index >= before - 1 ? after - 1 : Math.min(index, after - 1);

/**
 * A schedule in a few words.
 * @param {object} schedule
 * @returns {string}
 */
export function scheduleSummary({ prompt, max_new_bytes: bytes, temperature, seed }) {
  const from = prompt ? `“${prompt.length > 24 ? `${prompt.slice(0, 23)}…` : prompt}”` : "no prompt";
  return `${from}, ${whole(bytes)} bytes, temperature ${setting(temperature)}, seed ${seed}`;
}

/**
 * At which interval texts are drawn, where the telemetry budget made it longer than was asked for.
 * @param {Array<import("./events.js").RunEvent>} events
 * @param {?{every: number}} schedule
 * @returns {?number} Steps; null where it is as asked for.
 */
export function thinnedInterval(events, schedule) {
  const last = events.findLast(({ kind, payload }) =>
    kind === "samples_scheduled" || (kind === "telemetry_thinned" && payload.sample_interval));
  const interval = last?.payload.sample_interval;
  return schedule && interval > schedule.every ? interval : null;
}

/** The tab "Along training". */
export class SampleHistory {
  /**
   * @param {HTMLElement} place
   * @param {object} context Store, api, feed and toasts.
   * @param {import("./surprise_text.js").SurpriseText} text Shows a sample.
   * @param {function(): object} question What the form asks now.
   * @param {HTMLElement} count Where the number of samples is said.
   */
  constructor(place, { store, api, feed, toasts }, text, question, count) {
    this.place = place;
    this.store = store;
    this.api = api;
    this.feed = feed;
    this.toasts = toasts;
    this.text = text;
    this.question = question;
    this.count = count;
    this.form = place.querySelector("[data-schedule]");
    this.slider = place.querySelector("[type=range]");
    this.reschedule = place.querySelector("[data-reschedule]");
    this.thinned = place.querySelector("[data-thinned]");
    this.samples = [];
    this.index = -1;
    this.loading = Promise.resolve();
    this.unanswered = 0; // wishes for a schedule
    const { on, every } = this.form.elements;
    this.form.addEventListener("submit", (event) => event.preventDefault());
    on.addEventListener("change", () => this.#schedule());
    every.addEventListener("change", () => on.checked && this.#schedule());
    this.reschedule.addEventListener("click", () => this.#schedule());
    this.slider.addEventListener("input", () => this.#look(this.slider.valueAsNumber));
    for (const [name, way] of [["older", -1], ["newer", 1]]) {
      place.querySelector(`[data-${name}]`).addEventListener("click", () => this.#look(this.index + way));
    }
    store.subscribe((state, previous) => this.#follow(state, previous));
  }

  /** The form above has changed: say whether what it asks is what is drawn. */
  compare() {
    const { status } = this.store.get();
    const schedule = status?.sample_schedule ?? null;
    this.reschedule.hidden = schedule === null || drawsTheSame(schedule, scheduleOf(this.question(), schedule.every));
  }

  async #schedule() {
    const { on, every } = this.form.elements;
    if (!every.reportValidity()) return;
    this.unanswered += 1;
    try {
      await this.api.scheduleSamples(on.checked ? scheduleOf(this.question(), every.valueAsNumber) : null);
    } catch (error) {
      this.toasts.problem(error);
    }
    await this.feed.refresh();
    this.unanswered -= 1;
    this.#showSchedule(this.store.get());
  }

  #follow(state, previous) {
    this.#showSchedule(state);
    const runId = state.status?.run_id ?? null;
    if (runId !== (previous.status?.run_id ?? null)) {
      this.samples = [];
      this.index = -1;
      this.#show();
    }
    const cursor = state.status?.samples_cursor ?? -1;
    if (runId && cursor !== (this.samples.at(-1)?.step ?? -1)) this.#load(runId);
  }

  /** Fetch what is missing; one fetch at a time, and none where an earlier one has brought it already. */
  #load(runId) {
    this.loading = this.loading.then(async () => {
      const { status } = this.store.get();
      const last = this.samples.at(-1)?.step ?? -1;
      if (status?.run_id !== runId || status.samples_cursor === last) return;
      const known = status.samples_cursor > last ? this.samples : []; // it went back: steps came out otherwise
      const found = await this.#since(runId, known.at(-1)?.step ?? -1);
      if (this.store.get().status?.run_id !== runId) return;
      const samples = [...known, ...found];
      this.index = indexAfter(this.index, this.samples.length, samples.length);
      this.samples = samples;
      this.#show();
    }).catch(this.toasts.problem);
  }

  async #since(runId, since) {
    const { samples } = await this.api.samples(runId, since);
    if (samples.length === 0) return samples;
    return [...samples, ...(await this.#since(runId, samples.at(-1).step))];
  }

  #showSchedule({ status, ...state }) {
    const blocked = obstacles({ status, ...state }).steer;
    const { on, every } = this.form.elements;
    const schedule = status?.sample_schedule ?? null;
    for (const control of [on, every, this.reschedule]) {
      control.disabled = blocked !== null;
      control.title = blocked ?? "";
    }
    if (this.unanswered === 0) { // until then the wish is shown, not what was so before it
      on.checked = schedule !== null;
      if (schedule && document.activeElement !== every) every.value = schedule.every;
    }
    if (schedule && !blocked) this.reschedule.title = on.title = `Now drawn: ${scheduleSummary(schedule)}`;
    const thinned = thinnedInterval(state.events, schedule);
    this.thinned.hidden = thinned === null;
    this.thinned.textContent = thinned === null ? "" : `now ${whole(thinned)}: budget`;
    this.thinned.title = thinned === null ? "" : `Every ${whole(schedule.every)} steps would take more than the telemetry budget allows`;
    this.compare();
  }

  #look(index) {
    this.index = Math.max(0, Math.min(index, this.samples.length - 1));
    this.#show();
  }

  #show() {
    const sample = this.samples[this.index];
    this.count.textContent = this.samples.length ? whole(this.samples.length) : "";
    this.place.dataset.along = sample ? "samples" : "none";
    this.slider.max = Math.max(0, this.samples.length - 1);
    this.slider.value = this.index;
    this.slider.disabled = this.samples.length < 2;
    this.place.querySelector("[data-older]").disabled = this.index <= 0;
    this.place.querySelector("[data-newer]").disabled = this.index >= this.samples.length - 1;
    if (!sample) {
      this.shown = null;
      return;
    }
    const step = `step ${whole(sample.step)}`;
    this.slider.setAttribute("aria-valuetext", `${step}, ${this.index + 1} of ${this.samples.length}`);
    this.place.querySelector("[data-sample-step]").textContent = step;
    const figures = [`${fixed(sample.bits_per_byte)} bits per byte`, ...["K", "C", "S"].map((name) => `${name} ${fixed(sample[name])}`)];
    this.place.querySelector("[data-figures]").textContent = figures.join(" · ");
    if (this.shown === sample) return;
    this.shown = sample;
    this.place.querySelector(".prompt").textContent = sample.schedule.prompt;
    this.text.show(charactersOf(sample));
  }
}
