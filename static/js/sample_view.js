// What the model wrote and what the gate said of it, while it comes and once it is there.

import { outcome, showAttempts } from "./attempts.js";
import { element } from "./dom.js";
import { fixed, setting, whole } from "./format.js";
import { Frames } from "./frames.js";
import { Freezing } from "./freezing.js";
import { edgesOf, partsOf, refinement, wholeCharacters } from "./template.js";

const SAID_BY_A_TEMPLATE = new Set(["prompt", "suffix", "max_new_bytes"]);

/**
 * A command for a shell that asks the same again.
 * @param {string} origin Of the service.
 * @param {object} request The body of POST /infer.
 * @param {number} seed The one that was drawn with.
 * @returns {string}
 */
export function curlCommand(origin, { stream: _stream, details: _details, denoise, ...request }, seed) {
  const asked = denoise ? { ...request, mode: "diffusion", ...denoise } : request;
  const isSaid = ([name, value]) => value !== null && !(asked.template && SAID_BY_A_TEMPLATE.has(name));
  const given = Object.fromEntries(Object.entries(asked).filter(isSaid));
  const body = JSON.stringify({ ...given, seed }).replaceAll("'", "'\\''");
  return `curl -sS -X POST ${origin}/infer -H 'Content-Type: application/json' -d '${body}'`;
}

/**
 * A reason as far as its colon; what follows explains it.
 * @param {string} reason A sentence of the gate.
 * @returns {string}
 */
export const shortReason = (reason) => reason.split(": ")[0];

/**
 * All of a text, with what was given around it.
 * @param {{request: object, response: object}} sample
 * @returns {string} Of one that is written from left to right, with its prompt.
 */
export function wholeText({ request, response }) {
  const parts = partsOf(request);
  if (!parts) return `${request.prompt ?? ""}${response.text}`;
  return [parts.prompt, middleText(parts, response.text), parts.suffix].join("");
}

function middleText(parts, text) {
  const [before, after] = parts ? edgesOf(parts) : ["", ""];
  return `${before}${text ?? ""}${after}`;
}

/** The output below the form. */
export class SampleView {
  /**
   * @param {HTMLElement} output
   * @param {import("./surprise_text.js").SurpriseText} text
   * @param {HTMLElement} attempts Where every attempt is listed.
   */
  constructor(output, text, attempts) {
    this.output = output;
    this.text = text;
    this.attempts = attempts;
    this.freezing = new Freezing(output.querySelector("[data-freezing]"), text);
    this.frames = new Frames(output.querySelector("[data-frames]"), (characters, isLast) => {
      text.show(characters);
      this.freezing.show(isLast);
    });
    this.past = output.querySelector("[data-past]");
    this.verdict = output.querySelector("[data-verdict]");
    this.seen = new Map(); // by attempt, its characters
    this.attempt = 0;
    this.shown = null;
    this.parts = null;
  }

  /** @param {?number} seed Null for one that is drawn. @returns {object} The request that denoises again what is not frozen. */
  refined(seed) {
    return refinement(this.shown.request, this.freezing.template, seed);
  }

  /** Of another run nothing is left. */
  clear() {
    this.output.dataset.output = "none";
  }

  /** @param {object} response Of a sample. @returns {boolean} Whether it is the text that is there. */
  shows(response) {
    const isSame = (name) => this.shown?.response[name] === response[name];
    return this.output.dataset.output === "sample" && ["seed", "step", "text"].every(isSame);
  }

  /** @param {object} request The text that is asked for now. */
  begin(request) {
    this.shown = null;
    this.seen.clear();
    this.past.replaceChildren();
    this.parts = partsOf(request);
    this.isRefining = Boolean(request.template);
    this.freezing.end(this.parts !== null);
    this.frames.begin(this.parts);
    this.#showPrompt(request);
    this.text.show([]);
    this.#say("writing", "Writing …", []);
    this.#show(`[data-facts]`, "");
    this.#permit(false);
    this.output.dataset.output = "writing";
  }

  /** @param {object} line Of any kind that a stream has before its answer. */
  accept(line) {
    const kinds = {
      attempt: (one) => this.#turn(one),
      frame: (one) => this.frames.add(one),
      text: (one) => this.#append(one),
      verdict: (one) => this.#judge(one),
    };
    kinds[line.kind]?.(line);
  }

  /**
   * No more comes: what there is stays, without a verdict. Where an error let nothing come, the sample before is back, and so
   * is one that was to be denoised again, with what is frozen of it.
   * @param {?Error} error Null where the text was not waited for.
   * @param {?{request: object, response: object}} before What was shown when the text was asked for.
   */
  stop(error, before) {
    if (this.shown) return;
    this.freezing.end();
    if (before && this.isRefining) this.show(before);
    else if (error === null) this.#say("stopped", "Stopped", ["The text was not waited for: it has no verdict and is not kept."]);
    else if (this.seen.size > 0) this.#say("stopped", "Broken off", ["The text did not come to its end: it has no verdict and is not kept."]);
    else if (before) this.show(before);
    else this.output.dataset.output = "none";
  }

  /** @param {{request: object, response: object, frozen: ?boolean[]}} sample As an answer has it, or an event, or as it was shown. */
  show({ request, response, frozen }) {
    this.parts = partsOf(request);
    const characters = this.#whole(response.characters ?? []);
    this.shown = { request, response, frozen: frozen ?? characters.map(({ isFrozen }) => isFrozen === true) };
    if (this.output.dataset.output !== "writing" || frozen) this.frames.begin(this.parts);
    this.frames.end(characters);
    this.past.replaceChildren();
    this.#showPrompt(request);
    this.freezing.end();
    this.text.show(characters);
    if (this.parts) this.freezing.begin(this.parts, characters, this.shown.frozen);
    this.output.querySelector("[data-whole]").textContent = middleText(this.parts, response.text);
    const { gate } = response;
    this.#say(gate.passed ? "passed" : "failed", gate.passed ? "Gate passed" : "Gate failed", gate.reasons ?? []);
    for (const name of ["K", "C", "S"]) this.#show(`[data-gate="${name}"]`, fixed(gate[name]));
    for (const [name, floor] of [["C", gate.c_floor], ["S", gate.s_floor]]) this.#show(`[data-floor="${name}"]`, `floor ${setting(floor)}`);
    this.#show("[data-facts]", `step ${whole(response.step)} · seed ${response.seed}`);
    this.#show("[data-attempts]", gate.attempts === 1 ? "1 attempt" : `${whole(gate.attempts)} attempts`);
    showAttempts(this.attempts, gate.log ?? []);
    this.#permit(true);
    this.output.dataset.output = "sample";
  }

  #turn({ attempt, resumed, mode }) {
    this.attempt = attempt;
    if (mode === "causal") this.frames.begin(this.parts);
    if (resumed) {
      this.past.replaceChildren();
      this.text.show(this.seen.get(attempt) ?? []);
    }
    const refused = this.past.querySelector(".refusal:last-child")?.textContent;
    const which = resumed ? `Attempt ${attempt} again, to its end` : attempt === 1 ? "Writing …" : `Attempt ${attempt}`;
    this.#say("writing", which, refused ? [refused] : []);
  }

  #append({ characters }) {
    const sofar = this.seen.get(this.attempt) ?? [];
    this.seen.set(this.attempt, [...sofar, ...characters]);
    if (this.parts) this.text.show(this.#whole(this.seen.get(this.attempt)));
    else this.text.append(characters);
  }

  /** @returns {object[]} With what is kept before the first gap and after the last. */
  #whole(characters) {
    return this.parts ? wholeCharacters(this.parts, characters) : characters;
  }

  /** A refused attempt stays where it is, struck through, until the answer is there. */
  #judge({ attempt, report }) {
    if (report.passed) return;
    const characters = this.#whole(this.seen.get(attempt) ?? []);
    this.past.append(
      element("span", { className: "refused", textContent: characters.map(({ text }) => text).join("") }),
      element("span", { className: "refusal", textContent: `Attempt ${attempt} ${outcome(report)}: ${shortReason(report.reasons[0])}` }),
    );
    this.text.show([]);
    this.text.box.scrollTop = this.text.box.scrollHeight;
  }

  #showPrompt(request) {
    this.#show(".prompt", this.parts?.prompt ?? request.prompt ?? "");
    this.#show("[data-suffix]", this.parts?.suffix ?? "");
  }

  #say(verdict, word, reasons) {
    this.verdict.dataset.verdict = verdict;
    this.#show("[data-verdict-word]", word);
    this.output.querySelector("[data-reasons]").replaceChildren(
      ...reasons.map((reason) => element("li", { textContent: verdict === "failed" ? shortReason(reason) : reason, title: reason })));
  }

  #show(selector, text) {
    this.output.querySelector(selector).textContent = text;
  }

  #permit(isThere) {
    for (const one of this.output.querySelectorAll(".sample-end button")) one.hidden = !isThere;
  }
}
