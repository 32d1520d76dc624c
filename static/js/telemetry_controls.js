// The λ and floor sliders: exact entry, default reset, and what became of each change.

import { element } from "./dom.js";
import { fieldName, sourceName } from "./events.js";
import { clock, setting, whole } from "./format.js";
import { obstacles } from "./run_state.js";

const KEYBOARD_PAUSE_MS = 200;
const ONE_LINE = 32; // characters of a refusal that have room in one

/** One setting's row: a slider and a number that show the same value. */
class TelemetryRow {
  constructor(row, onChange, describe) {
    this.element = row;
    this.field = row.dataset.setting;
    this.initial = Number(row.dataset.default);
    this.absent = row.hidden ? null : this.initial; // what is not of every run is hidden without one
    this.slider = row.querySelector("[type=range]");
    this.number = row.querySelector("[type=number]");
    this.reset = row.querySelector("[data-reset]");
    this.said = row.querySelector("[data-row-state]");
    this.refusal = row.querySelector("[data-refusal]");
    this.note = row.querySelector("[data-note]");
    this.onChange = onChange;
    this.describe = describe;
    this.applied = this.initial;
    this.isBusy = false;
    this.edits = 0;
    this.slider.addEventListener("input", () => this.#edit(this.slider));
    this.number.addEventListener("input", () => this.#edit(this.number));
    this.slider.addEventListener("change", () => this.#submitSoon());
    this.number.addEventListener("change", () => this.#submitSoon());
    this.reset.addEventListener("click", () => {
      this.#edit(this.reset);
      this.#show(this.initial);
      this.#submitSoon();
    });
  }

  /** The value in force, as the service says; a value being edited is left alone. */
  accept(value) {
    this.applied = value;
    if (!this.isBusy) this.#show(value);
  }

  permit(obstacle) {
    for (const control of [this.slider, this.number]) {
      control.disabled = obstacle !== null;
      control.title = obstacle ?? "";
    }
    this.reset.disabled = obstacle !== null || this.applied === this.initial;
    this.reset.title = obstacle ?? `Back to ${setting(this.initial)}`;
  }

  /** Say which change put the value in force; null: it is the first one. A refusal stays until the next edit. */
  showChange(change) {
    if (this.isBusy || this.element.dataset.state === "refused") return;
    if (change === null) {
      this.#say("", "");
      return;
    }
    const { step, source, at } = change;
    this.#say("applied", `step ${whole(step)}`, "applied at ");
    this.said.title = `Applied at step ${whole(step)} · ${sourceName(source)} · ${clock(at)}`;
  }

  /** Say what the value that is shown would do. */
  showNote() {
    if (this.note) this.note.textContent = this.describe(this.field, this.number.valueAsNumber);
  }

  /** There is room for a few words; what comes `before` them is for who listens. */
  #say(state, words, before = "") {
    if (this.element.dataset.state === state && this.said.textContent === before + words) return;
    this.element.dataset.state = state;
    this.said.title = "";
    this.said.replaceChildren(element("span", { className: "visually-hidden", textContent: before }), words);
  }

  #refuse(sentence) {
    this.isBusy = false;
    this.#show(this.applied);
    this.#say("refused", "not changed");
    this.refusal.textContent = sentence;
    this.refusal.classList.toggle("is-long", sentence.length > ONE_LINE);
    this.refusal.hidden = false;
  }

  #show(value) {
    this.slider.value = value;
    this.number.value = setting(value);
    this.slider.setAttribute("aria-valuetext", setting(value));
    this.showNote();
  }

  #isNumber() {
    return this.number.validity.valid && this.number.value !== "";
  }

  #edit(control) {
    this.isBusy = true;
    this.edits += 1;
    this.refusal.hidden = true;
    if (control === this.slider) this.number.value = setting(this.slider.valueAsNumber);
    if (control === this.number && this.#isNumber()) this.slider.value = this.number.value;
    this.#say("pending", "");
    this.showNote();
  }

  /** Keys move a slider step by step; only where they come to rest is sent. */
  #submitSoon() {
    clearTimeout(this.submission);
    this.submission = setTimeout(() => this.#submit(), KEYBOARD_PAUSE_MS);
  }

  async #submit() {
    if (!this.#isNumber()) {
      this.#refuse(`${fieldName(this.field)} is a number from 0 to 1.`);
      return;
    }
    const { edits } = this;
    this.#say("pending", "pending …");
    try {
      const { value, change } = await this.onChange(this.field, this.number.valueAsNumber);
      if (edits !== this.edits) return;
      this.isBusy = false;
      this.accept(value);
      this.showChange(change);
    } catch (error) {
      if (edits === this.edits) this.#refuse(error.detail || String(error));
    }
  }
}

/**
 * The event that last changed a setting.
 * @param {Array<import("./events.js").RunEvent>} events
 * @param {string} field
 * @returns {?import("./events.js").RunEvent}
 */
export function lastChange(events, field) {
  const touches = ({ changes }) => changes.some((change) => change.field === field);
  return events.findLast(({ kind, payload }) => kind === "telemetry_changed" && touches(payload)) ?? null;
}

/**
 * @param {HTMLElement} page
 * @param {object} context
 * @param {object} context.store
 * @param {object} context.api
 * @param {import("./run_feed.js").RunFeed} context.feed
 * @param {import("./calibration.js").Calibration} calibration
 */
export function connectTelemetryControls(page, { store, api, feed }, calibration) {
  async function change(field, wanted) {
    const telemetry = await api.setTelemetry({ [field]: wanted });
    await feed.refresh();
    return { value: telemetry[field], change: lastChange(store.get().events, field) };
  }

  const describe = (field, value) => calibration.sentence(field, value);
  const rows = [...page.querySelectorAll("[data-setting]")].map((row) => new TelemetryRow(row, change, describe));
  calibration.onChange(() => rows.forEach((row) => row.showNote()));
  store.subscribe((state) => {
    const obstacle = obstacles({ ...state, busy: null }).steer;
    for (const row of rows) {
      const value = state.status?.run_id ? state.status.telemetry[row.field] ?? null : row.absent;
      row.element.hidden = value === null;
      if (value === null) continue;
      row.accept(value);
      row.permit(obstacle);
      row.showChange(lastChange(state.events, row.field));
    }
  });
}
