// The dialogs that ask before something happens: the fork's settings, and "are you sure?".

import { whole } from "./format.js";

const TELEMETRY = ["lambda_K", "lambda_C", "lambda_S", "c_floor", "s_floor"];
const SETTINGS = ["learning_rate", "matrix_learning_rate", "batch_size", "dropout", "seed"];

/**
 * @param {HTMLDialogElement} dialog
 * @returns {function(string, string): Promise<boolean>} Asks a question and returns whether the answer was yes.
 */
export function connectConfirmation(dialog) {
  return (question, consequence) => {
    dialog.querySelector("[data-question]").textContent = question;
    dialog.querySelector("[data-consequence]").textContent = consequence;
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  };
}

/**
 * The body of POST /runs/<id>/fork: only what was filled in.
 * @param {FormData} filled
 * @returns {{step: number, settings: object, telemetry: ?object, grow: ?string}}
 */
export function forkRequest(filled) {
  const chosen = (names) => {
    const given = names.filter((name) => filled.get(name)).map((name) => [name, Number(filled.get(name))]);
    return Object.fromEntries(given);
  };
  const telemetry = chosen(TELEMETRY);
  return {
    step: Number(filled.get("step")),
    settings: chosen(SETTINGS),
    ...(Object.keys(telemetry).length && { telemetry }),
    ...(filled.get("grow") && { grow: filled.get("grow") }),
  };
}

/**
 * Why another checkpoint is proposed than that of the step which was pointed at.
 * @param {?number} step
 * @param {number} proposed
 * @returns {string} Empty where there is nothing to explain.
 */
export function whyNotAt(step, proposed) {
  if (step === null || step === proposed) return "";
  const instead = proposed < step ? `the newest before it is of step ${whole(proposed)}` : `there is none before it, the first is of step ${whole(proposed)}`;
  return `Step ${whole(step)} has no checkpoint: ${instead}. A fork begins at one.`;
}

/** The form of a fork. */
export class ForkDialog {
  /**
   * @param {HTMLDialogElement} dialog
   * @param {object} context Store, api and feed.
   * @param {function(): Array<object>} checkpoints The undamaged ones, the newest first.
   */
  constructor(dialog, { store, api, feed }, checkpoints) {
    this.dialog = dialog;
    this.form = dialog.querySelector("form");
    this.store = store;
    this.api = api;
    this.feed = feed;
    this.checkpoints = checkpoints;
    this.growNote = dialog.querySelector("[data-grow-note]");
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    this.form.elements.grow.addEventListener("change", ({ target }) => (this.growNote.hidden = target.value === ""));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(event.submitter?.value === "train");
    });
  }

  /** @param {?number} [step] The newest checkpoint up to it is proposed. */
  open(step = null) {
    const checkpoints = this.checkpoints();
    const proposed = checkpoints.find((one) => step === null || one.step <= step) ?? checkpoints.at(-1);
    const select = this.form.elements.step;
    select.replaceChildren(...checkpoints.map(({ step: at, name }) =>
      new Option(name ? `${whole(at)} · ${name}` : whole(at), at, false, at === proposed?.step)));
    const { config } = this.store.get().status;
    for (const name of SETTINGS) this.form.elements[name].placeholder = config[name];
    for (const name of TELEMETRY) this.form.elements[name].placeholder = "as at that step";
    for (const name of [...SETTINGS, ...TELEMETRY, "grow"]) this.form.elements[name].value = "";
    this.growNote.hidden = true;
    const note = this.form.querySelector("[data-fork-note]");
    note.textContent = proposed ? whyNotAt(step, proposed.step) : "";
    note.hidden = note.textContent === "";
    this.#show(null);
    this.dialog.showModal();
  }

  #show(error) {
    const place = this.form.querySelector("[data-problem]");
    place.hidden = !error;
    place.querySelector("strong").textContent = error?.title ?? "";
    place.querySelector("p").textContent = error?.detail ?? (error ? String(error) : "");
  }

  async #submit(isTraining) {
    const buttons = this.form.querySelectorAll("[type=submit]");
    for (const one of buttons) one.disabled = true;
    this.#show(null);
    try {
      await this.api.fork(this.store.get().status.run_id, forkRequest(new FormData(this.form)));
      if (isTraining) await this.api.start();
      this.dialog.close();
    } catch (error) {
      this.#show(error);
    } finally {
      for (const one of buttons) one.disabled = false;
      this.feed.refresh();
    }
  }
}
