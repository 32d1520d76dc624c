// Asking the model for text, and showing it: surprise by character, and the gate's verdict.

import { fixed, setting, whole } from "./format.js";
import { permit } from "./run_controls.js";
import { obstacles } from "./run_state.js";

/** Lower edges in bits of the colours a character can have; the legend shows the same. */
export const SURPRISE_EDGES = [0, 1, 2, 4, 6, 8, 11, 15];

/**
 * @param {number} bits
 * @returns {number} Which of the colours, from 0.
 */
export const surpriseLevel = (bits) => SURPRISE_EDGES.findLastIndex((edge) => bits >= edge);

/**
 * The question a filled-in form asks; without a seed the service draws one.
 * @param {HTMLFormElement} form
 * @returns {object} The body of POST /infer.
 */
export function question(form) {
  const { prompt, max_new_bytes: bytes, temperature, top_p: topP, seed } = form.elements;
  return {
    prompt: prompt.value,
    max_new_bytes: bytes.valueAsNumber,
    temperature: temperature.valueAsNumber,
    top_p: topP.valueAsNumber,
    strict: false,
    ...(seed.value === "" ? {} : { seed: seed.valueAsNumber }),
  };
}

function characterSpans(characters) {
  return characters.map(({ text, surprise_bits: bits }) => {
    const span = document.createElement("span");
    span.className = `surprise-${surpriseLevel(bits)}`;
    span.dataset.bits = fixed(bits, 1);
    span.textContent = text;
    return span;
  });
}

function showVerdict(place, gate) {
  place.dataset.verdict = gate.passed ? "passed" : "failed";
  place.querySelector("[data-verdict-word]").textContent = gate.passed ? "Gate passed" : "Gate failed";
  for (const name of ["K", "C", "S"]) place.querySelector(`[data-gate="${name}"]`).textContent = fixed(gate[name]);
  const floors = { C: gate.c_floor, S: gate.s_floor };
  for (const [name, floor] of Object.entries(floors)) {
    place.querySelector(`[data-floor="${name}"]`).textContent = `floor ${setting(floor)}`;
  }
  place.querySelector("[data-reasons]").replaceChildren(
    ...(gate.reasons ?? []).map((reason) => {
      const item = document.createElement("li");
      item.textContent = reason;
      return item;
    }),
  );
}

function showSample(output, { request, response }) {
  const prompt = document.createElement("span");
  prompt.className = "prompt";
  prompt.textContent = request.prompt ?? "";
  output.querySelector("[data-text]").replaceChildren(prompt, ...characterSpans(response.characters ?? []));
  const { attempts } = response.gate;
  const facts = [
    attempts === 1 ? "1 attempt" : `${whole(attempts)} attempts`,
    `step ${whole(response.step)}`,
    `seed ${response.seed}`,
    `temperature ${setting(request.temperature ?? 1)}`,
    `top-p ${setting(request.top_p ?? 1)}`,
  ];
  output.querySelector("[data-facts]").textContent = facts.join(" · ");
  showVerdict(output.querySelector("[data-verdict]"), response.gate);
  output.dataset.output = "sample";
}

function connectSurpriseHover(output) {
  const reading = output.querySelector("[data-hovered]");
  const idle = reading.textContent;
  const show = (character) => {
    const shown = { " ": "space", "\n": "line break", "\t": "tab" }[character.textContent] ?? character.textContent;
    reading.textContent = `${shown}: ${character.dataset.bits} bits`;
  };
  output.querySelector("[data-text]").addEventListener("pointerover", ({ target }) => {
    if (target.dataset.bits) show(target);
    else reading.textContent = idle;
  });
  output.querySelector("[data-text]").addEventListener("pointerleave", () => {
    reading.textContent = idle;
  });
}

/**
 * @param {HTMLElement} page
 * @param {object} context
 * @param {object} context.store
 * @param {object} context.api
 * @param {import("./run_feed.js").RunFeed} context.feed
 * @param {import("./toasts.js").Toasts} context.toasts
 */
export function connectGeneration(page, { store, api, feed, toasts }) {
  const form = page.querySelector("[data-generate]");
  const output = page.querySelector("[data-output]");
  const button = form.querySelector("[type=submit]");
  let isAsking = false;
  let shownEvent = null;

  const showPermission = () => {
    permit(button, isAsking ? "The model is writing" : obstacles(store.get()).generate);
    button.querySelector("[data-label]").textContent = isAsking ? "Generating …" : "Generate";
    output.setAttribute("aria-busy", String(isAsking));
  };

  async function ask() {
    const request = question(form);
    isAsking = true;
    showPermission();
    try {
      showSample(output, { request, response: await api.infer(request) });
      feed.refresh();
    } catch (error) {
      toasts.problem(error);
    } finally {
      isAsking = false;
      showPermission();
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!button.disabled) ask();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(button.disabled ? null : button);
  });
  connectSurpriseHover(output);

  store.subscribe((state, previous) => {
    showPermission();
    if (state.status?.run_id !== previous.status?.run_id) output.dataset.output = "none";
    const latest = state.events.findLast(({ kind }) => kind === "sample");
    if (latest && latest.event_id !== shownEvent && !isAsking) {
      shownEvent = latest.event_id;
      if (latest.payload.response?.gate) showSample(output, latest.payload);
    }
  });
}
