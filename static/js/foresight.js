// What a run would take, and what is wrong with its settings, while one types them.

import { prefixed } from "./format.js";

const PAUSE_MS = 300;

const UNITS = { parameters: "", training_bytes: "B", bytes_per_s: "B/s", checkpoint_bytes: "B" };

/**
 * The figures as people read them; a tried one is about right, and says so.
 * @param {?object} estimate The answer of POST /estimate.
 * @returns {Object<string, string>}
 */
export function figuresOf(estimate) {
  const shown = Object.entries(UNITS).map(([name, unit]) => {
    const value = estimate?.[name] ?? null;
    const isExact = name === "parameters" || value === null;
    return [name, `${isExact ? "" : "≈ "}${prefixed(value, unit)}`];
  });
  return Object.fromEntries(shown);
}

/** Asks for one estimate at a time; of what is typed meanwhile the last counts. */
export class Foresight {
  /**
   * @param {HTMLElement} place
   * @param {object} api
   * @param {function(?Error): void} onVerdict Told what is wrong, or null when nothing is.
   */
  constructor(place, api, onVerdict) {
    this.place = place;
    this.api = api;
    this.onVerdict = onVerdict;
    this.isAsking = false;
    this.waiting = null;
    this.asked = null;
  }

  /** @param {function(): object} settings Called once the reader pauses. */
  ask(settings) {
    this.waiting = settings;
    this.place.setAttribute("aria-busy", "true");
    this.place.querySelector("[data-basis]").textContent = "being tried …";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  /** Ask nothing more, and say nothing of what is still being answered. */
  stop() {
    clearTimeout(this.timer);
    this.waiting = null;
    this.asked = null;
    if (this.place.getAttribute("aria-busy") === "true") this.#show(null);
  }

  async #ask() {
    if (this.isAsking || !this.waiting) return;
    const settings = this.waiting;
    this.waiting = null;
    this.asked = settings;
    this.isAsking = true;
    let estimate = null;
    let problem = null;
    try {
      estimate = await this.api.estimate(settings());
    } catch (error) {
      problem = error;
    }
    this.isAsking = false;
    if (this.waiting) {
      this.#ask();
      return;
    }
    if (this.asked !== settings) return;
    this.#show(estimate);
    this.onVerdict(problem);
  }

  #show(estimate) {
    for (const [name, figure] of Object.entries(figuresOf(estimate))) {
      this.place.querySelector(`[data-foresight="${name}"]`).textContent = figure;
    }
    const { memory, explanation = "" } = estimate ?? {};
    const mode = estimate?.training_bytes ? `, memory ${memory}` : "";
    this.place.querySelector("[data-basis]").textContent = `${explanation}${mode}`;
    this.place.setAttribute("aria-busy", "false");
  }
}
