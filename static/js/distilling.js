// Making a smaller run of another one's model: what is asked for, how far it is, and the receipt.

import { button, element } from "./dom.js";
import { fixed, prefixed, whole } from "./format.js";
import { placeBeside } from "./popover.js";

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/**
 * @param {object} report The answer of GET /runs/<id>/distil.
 * @returns {string} A few words for the row.
 */
export function distillationWords({ state, steps, until, receipt }) {
  if (state === "running") return until ? `distilling: ${whole(steps)} of at most ${whole(until)} updates` : "distilling …";
  if (state === "cancelled") return until ? `cancelled after ${whole(steps)} updates` : "cancelled";
  if (state !== "done") return "distillation failed";
  const [many, few] = receipt.parameters;
  const verdict = receipt.met ? "meets its floors" : "misses a floor";
  return `a student with ${percent(few / many)} of the parameters ${verdict}`;
}

/** @param {object} api @returns {import("./jobs.js").Kind} */
export const distilling = (api) => ({
  noun: "distillation",
  field: "distillation",
  again: null,
  begin: api.distil,
  look: api.distilled,
  cancel: api.cancelDistillation,
  words: distillationWords,
  isWell: ({ state, receipt }) => state === "done" && receipt.met,
});

/**
 * The rows of a receipt: what, the teacher's, the student's, what was asked, and whether it was missed.
 * @param {object} receipt
 * @returns {Array<{name: string, teacher: string, student: string, asked: string, isMissed: boolean}>}
 */
export function receiptRows({ parameters, heads, bits_per_byte: bits, ms_per_byte: ms, C, S, c_floor: cFloor, s_floor: sFloor, most_worse: worse }) {
  const [[many, few], [before, after], [slow, quick]] = [parameters, bits, ms];
  const row = (name, teacher, student, asked = "", isMissed = false) => ({ name, teacher, student, asked, isMissed });
  return [
    row("parameters", prefixed(many), `${prefixed(few)}, ${percent(few / many)}`),
    ...(heads ? [row("heads a layer", ...heads.map(whole))] : []), // a student of an earlier version does not say
    row("held-out bpb", fixed(before, 3), fixed(after, 3), `at most ${fixed(before + worse, 3)}`, after - before > worse),
    row("C of its texts", "", fixed(C), `at least ${fixed(cFloor)}`, C < cFloor),
    row("S of its texts", "", fixed(S), `at least ${fixed(sFloor)}`, S < sFloor),
    row("ms a byte", fixed(slow, 3), fixed(quick, 3)),
  ];
}

function receiptTable(receipt) {
  const heads = ["", "teacher", "student", "asked"].map((text) => element("th", { textContent: text }));
  const rows = receiptRows(receipt).map(({ name, teacher, student, asked, isMissed }) => element(
    "tr",
    { dataset: { missed: String(isMissed) } },
    element("th", { textContent: name }),
    ...[teacher, student, isMissed ? `${asked}: missed` : asked].map((textContent) => element("td", { textContent })),
  ));
  const tried = `${whole(receipt.steps)} updates, ${receipt.rounds === 1 ? "one round" : `${whole(receipt.rounds)} rounds`}`;
  return element("table", { className: "receipt" }, element("caption", { textContent: tried }),
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}

/** The popover of a run's distillation: a form, progress with a way out, or the receipt above the form. */
export class DistillationPanel {
  /**
   * @param {HTMLElement} popover
   * @param {import("./jobs.js").Jobs} jobs
   * @param {function(string): void} onOpen Takes a student live.
   */
  constructor(popover, jobs, onOpen) {
    Object.assign(this, { popover, jobs, onOpen });
    this.form = popover.querySelector("form");
    this.outcome = popover.querySelector("[data-outcome]");
    this.bar = popover.querySelector("progress");
    this.cancelButton = popover.querySelector("[data-cancel]");
    this.run = null; // while it is open
    this.shown = null; // the report that is drawn already
    this.cancelButton.addEventListener("click", () => jobs.cancel(this.run.run_id));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    popover.addEventListener("toggle", ({ newState }) => {
      if (newState === "closed") this.run = null;
    });
  }

  /** @param {object} run As the list has it. @param {HTMLElement} opener */
  open(run, opener) {
    this.run = run;
    this.shown = undefined;
    this.anchor = opener.getBoundingClientRect();
    this.popover.querySelector("[data-teacher]").textContent = run.name ?? run.run_id;
    this.#complain(null);
    this.popover.showPopover();
    this.show();
    this.#focus();
  }

  #focus() {
    (this.jobs.isRunning(this.run.run_id) ? this.cancelButton : this.form.elements.share).focus();
  }

  /** Show what is known now, if it is open. */
  show() {
    if (!this.run) return;
    const { jobs, run } = this;
    const report = jobs.report(run.run_id);
    const isRunning = report?.state === "running";
    const wasInside = this.popover.contains(document.activeElement);
    this.bar.hidden = this.cancelButton.hidden = !isRunning;
    this.form.hidden = isRunning;
    if (report?.until) this.bar.value = report.steps / report.until;
    else this.bar.removeAttribute("value");
    const submit = this.form.querySelector("[type=submit]");
    submit.disabled = jobs.obstacle !== null;
    submit.title = jobs.obstacle ?? "";
    if (report !== this.shown) this.outcome.replaceChildren(...this.#outcome(report));
    this.shown = report;
    const { activeElement } = document; // what is hidden loses the focus, now or later
    if (wasInside && (!this.popover.contains(activeElement) || activeElement.closest("[hidden]"))) this.#focus();
    placeBeside(this.popover, this.anchor);
  }

  #outcome(report) {
    const own = this.run.origin?.distillation;
    if (!report) return own ? [element("p", { textContent: `It is itself a student of ${this.run.origin.run_id}:` }), receiptTable(own)] : [];
    const { state, round, rounds, steps, until, bits_per_byte: bits, detail, receipt, student, step } = report;
    const said = (text, className = "") => element("p", { textContent: text, className });
    const words = distillationWords(report);
    if (state === "running") {
      const standing = `student ${round + 1} of at most ${rounds}, at ${fixed(bits, 3)} bpb in training`;
      return [said(bits === null ? "Looking at the teacher …" : `${whole(steps)} of at most ${whole(until)} updates: ${standing}.`)];
    }
    if (state !== "done") return [said(`${words}${detail && state === "failed" ? `: ${detail}` : "."}`, state === "failed" ? "missed" : "")];
    const open = button("Open the student", () => this.onOpen(student), { className: "small" });
    return [said(`${student} is a student of step ${whole(step)}; it ${receipt.met ? "meets its floors" : "misses a floor"}.`), receiptTable(receipt), open];
  }

  #complain(error) {
    const place = this.form.querySelector("[data-problem]");
    place.hidden = !error;
    place.querySelector("strong").textContent = error?.title ?? "";
    place.querySelector("p").textContent = error?.detail ?? "";
    placeBeside(this.popover, this.anchor);
  }

  async #submit() {
    this.#complain(null);
    const filled = [...new FormData(this.form)].filter(([, value]) => value !== ""); // heads may be left out
    const wish = Object.fromEntries(filled.map(([name, value]) => [name, Number(value)]));
    await this.jobs.start(this.run.run_id, wish, (error) => this.#complain(error));
  }
}
