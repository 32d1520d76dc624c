// Floors that fit the run's text: what share of real text a floor refuses, and the button that sets both.

import { fixed, setting, whole } from "./format.js";
import { permit } from "./run_controls.js";
import { obstacles } from "./run_state.js";

const MEASURES = { c_floor: "C", s_floor: "S" };

/**
 * The share of real text that a floor refuses, read between the known shares.
 * @param {number[]} shares Ascending.
 * @param {number[]} floors For each share the floor that refuses it; ascending.
 * @param {number} floor
 * @returns {number}
 */
export function refusedShare(shares, floors, floor) {
  const below = floors.findLastIndex((known) => known < floor);
  if (below < 0) return 0;
  if (below === floors.length - 1) return 1;
  const along = (floor - floors[below]) / (floors[below + 1] - floors[below]);
  return shares[below] + along * (shares[below + 1] - shares[below]);
}

/**
 * What was fitted to the length nearest by ratio; of two equally near ones the shorter.
 * @param {Array<{length_bytes: number}>} lengths The shortest first.
 * @param {number} bytes
 * @returns {object}
 */
export function nearestLength(lengths, bytes) {
  const distance = ({ length_bytes: length }) => Math.abs(Math.log(length / bytes));
  return lengths.reduce((nearest, other) => (distance(other) < distance(nearest) ? other : nearest));
}

const PROBE_BYTES = 128; // of the samples that C and S are measured on
const BAND = [0.05, 0.95];

/** The value that a share of real text lies below, read between the known shares. */
function valueAt(shares, values, share) {
  const after = Math.max(1, shares.findIndex((known) => known >= share));
  const along = (share - shares[after - 1]) / (shares[after] - shares[after - 1]);
  return values[after - 1] + along * (values[after] - values[after - 1]);
}

/**
 * Between which C and S nine tenths of real text of a probe sample's length lie.
 * @param {{shares: number[], lengths: Array<object>}} answer The service's.
 * @returns {?{C: [number, number], S: [number, number]}} Null where the text is too short to say.
 */
export function bandsOf({ shares, lengths }) {
  const fitted = lengths.find(({ length_bytes: bytes }) => bytes === PROBE_BYTES);
  if (!fitted) return null;
  const band = (values) => BAND.map((share) => valueAt(shares, values, share));
  return { C: band(fitted.C), S: band(fitted.S) };
}

/** @param {number} share @returns {string} As a percentage: 1.3 %; never 0 for a share above it. */
export function percentage(share) {
  const percent = 100 * share;
  if (percent === 0) return "0 %";
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  return `${fixed(percent, percent < 10 ? 1 : 0)} %`;
}

/** The distribution of the run's held-out text, and the floors fitted to it. */
export class Calibration {
  /**
   * @param {HTMLElement} page
   * @param {object} context
   * @param {object} context.store
   * @param {object} context.api
   * @param {import("./run_feed.js").RunFeed} context.feed
   * @param {import("./toasts.js").Toasts} context.toasts
   */
  constructor(page, { store, api, feed, toasts }) {
    Object.assign(this, { store, api, feed, toasts });
    this.form = page.querySelector("[data-calibrate]");
    this.button = this.form.querySelector("[type=submit]");
    this.said = page.querySelector("[data-calibrated]");
    this.asked = page.querySelector("[data-generate]").elements.max_new_bytes;
    this.answer = null;
    this.text = null;
    this.isFitting = false;
    this.listeners = [];
    this.asked.addEventListener("input", () => this.#tell());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.button.disabled) this.#apply();
    });
    store.subscribe((state, previous) => {
      if (state.status?.run_id !== previous.status?.run_id) this.#say(""); // the floors are another run's
      this.#follow(state);
    });
  }

  /** @param {function(): void} listener Called when other floors fit, or another length is asked for. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /**
   * @param {string} field A telemetry setting.
   * @param {number} floor
   * @returns {string} What a floor costs, as a sentence; nothing for a λ, or before it is known.
   */
  sentence(field, floor) {
    const fitted = this.#fitted();
    if (!fitted || !(field in MEASURES) || !Number.isFinite(floor)) return "";
    const share = refusedShare(this.answer.shares, fitted[MEASURES[field]], floor);
    return `refuses ${percentage(share)} of real text of ${whole(fitted.length_bytes)} bytes`;
  }

  #fitted() {
    const bytes = this.asked.valueAsNumber;
    return this.answer && bytes > 0 ? nearestLength(this.answer.lengths, bytes) : null;
  }

  #tell() {
    for (const listener of this.listeners) listener();
  }

  /** A run with another text is measured once it is live; the same text is not measured again. */
  #follow(state) {
    const text = state.status?.corpus?.fingerprint ?? null;
    const obstacle = obstacles(state).calibrate;
    this.#permit(obstacle);
    if (text === this.text || (text !== null && obstacle !== null)) return;
    this.text = text;
    this.answer = null;
    this.store.update({ bands: null });
    this.said.textContent = "";
    this.#tell();
    if (text !== null) this.#measure(text).catch((error) => this.#say(error.detail || String(error)));
  }

  #permit(obstacle) {
    permit(this.button, this.isFitting ? "Real text is being measured" : obstacle);
    this.button.querySelector("[data-label]").textContent = this.isFitting ? "Calibrating …" : "Calibrate";
    this.form.setAttribute("aria-busy", String(this.isFitting));
  }

  #say(sentence) {
    this.said.textContent = sentence;
  }

  async #measure(text) {
    const answer = await this.api.calibration(this.form.elements.rate.valueAsNumber / 100);
    if (text !== this.text) return;
    this.answer = answer;
    this.store.update({ bands: bandsOf(answer) });
    this.#tell();
  }

  async #apply() {
    this.isFitting = true;
    this.#permit(null);
    try {
      await this.#measure(this.text);
      const fitted = this.#fitted();
      const { c_floor: c, s_floor: s } = fitted;
      await this.api.setTelemetry({ c_floor: c, s_floor: s });
      await this.feed.refresh();
      this.#say(
        `For ${whole(fitted.length_bytes)} bytes: C ${setting(c)}, S ${setting(s)}. ` +
          `Of real text they were not fitted on they refuse ${percentage(fitted.refused_unseen)}.`,
      );
    } catch (error) {
      this.toasts.problem(error);
    } finally {
      this.isFitting = false;
      this.#permit(obstacles(this.store.get()).calibrate);
    }
  }
}
