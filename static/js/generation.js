// Asking the model for text: the form, the stream, and what can be done with the answer.

import { connectTabs } from "./checkpoints.js";
import { placeBeside } from "./popover.js";
import { CharacterPanel } from "./inside_character.js";
import { NewestSample } from "./newest_sample.js";
import { permit } from "./run_controls.js";
import { obstacles } from "./run_state.js";
import { SampleHistory } from "./sample_history.js";
import { curlCommand, SampleView, wholeText } from "./sample_view.js";
import { SurpriseText } from "./surprise_text.js";

/**
 * The question a filled-in form asks; without a seed the service draws one.
 * @param {HTMLFormElement} form
 * @returns {object} The body of POST /infer.
 */
export function question(form) {
  const { prompt, max_new_bytes: bytes, temperature, top_p: topP, seed, mode, suffix, steps, noise_schedule: schedule, sampler } = form.elements;
  const { checked: isSwitching } = form.elements.switch_modes;
  const denoising = { mode: "diffusion", suffix: suffix.value, steps: steps.valueAsNumber, noise_schedule: schedule.value, sampler: sampler.value };
  return {
    prompt: prompt.value,
    max_new_bytes: bytes.valueAsNumber,
    temperature: temperature.valueAsNumber,
    top_p: topP.valueAsNumber,
    strict: false,
    ...(seed.value === "" ? {} : { seed: seed.valueAsNumber }),
    ...(isSwitching ? { switch_modes: true } : {}),
    ...(mode.value === "diffusion" ? denoising : {}),
  };
}

function connectCopying(output, view, toasts) {
  const copied = {
    text: wholeText,
    curl: ({ request, response }) => curlCommand(window.location.origin, request, response.seed),
  };
  for (const button of output.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(copied[button.dataset.copy](view.shown));
        toasts.note(button.dataset.copy === "text" ? "The text is copied, with its prompt" : "The command is copied");
      } catch {
        toasts.problem({ title: "Nothing was copied", detail: "The browser does not let this page write to the clipboard; allow it, or mark the text and copy it." });
      }
    });
  }
}

/** Denoising is for runs that learn it; its fields are there while it is chosen. Who learns both can retry the other way. */
function connectMode(form, store) {
  const [causal, diffusion] = form.querySelectorAll("[name=mode]");
  const switching = form.querySelector("[data-switching]");
  const fields = form.querySelector("[data-denoising]");
  const show = () => (fields.hidden = !diffusion.checked);
  form.addEventListener("change", show);
  store.subscribe(({ status }) => {
    const objective = status?.config?.objective ?? "causal";
    const learned = objective !== "causal";
    diffusion.disabled = !learned;
    diffusion.parentElement.title = learned
      ? "Fill in all of the text at once, in steps"
      : "This run learns from left to right only: make one with the objective mixed to denoise";
    if (!learned) causal.checked = true;
    switching.hidden = objective !== "mixed";
    if (switching.hidden) switching.control.checked = false;
    show();
  });
}

function connectHistory(page, context, form) {
  const place = page.querySelector("[data-along]");
  const panel = new CharacterPanel(page.querySelector("[data-inside]"), placeBeside,
    "Of samples along training the surprise of each character is kept, not its bits.");
  const text = new SurpriseText(place.querySelector(".sample"), page.querySelector("[data-hovered]"), panel);
  return new SampleHistory(place, context, text, () => question(form), page.querySelector("[data-along-count]"));
}

/** A text as the form asks for it, or what is not frozen of the one that is there. */
function connectAsking(form, button, view, ask) {
  const { seed } = form.elements;
  const { again } = view.freezing;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!button.disabled) ask(question(form), button);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(button.disabled ? null : button);
  });
  again.addEventListener("click", () => {
    if (seed.reportValidity()) ask(view.refined(seed.value === "" ? null : seed.valueAsNumber), again);
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
export function connectGeneration(page, context) {
  const { store, api, feed, toasts } = context;
  const form = page.querySelector("[data-generate]");
  const output = page.querySelector("[data-output]");
  const button = form.querySelector("[type=submit]");
  const stop = form.querySelector("[data-stop]");
  const panel = new CharacterPanel(page.querySelector("[data-inside]"), placeBeside,
    "Its bits are told of texts that this page has seen come: generate again.");
  const text = new SurpriseText(output.querySelector("[data-text]"), page.querySelector("[data-hovered]"), panel);
  const view = new SampleView(output, text, page.querySelector("#attempts"));
  const newest = new NewestSample(context, view);
  let asking = null;

  const showPermission = () => {
    const obstacle = asking ? "The model is writing" : obstacles(store.get()).generate;
    permit(button, obstacle);
    view.freezing.permit(obstacle);
    button.hidden = asking !== null;
    stop.hidden = asking === null;
    output.setAttribute("aria-busy", String(asking !== null));
  };

  async function ask(request, opener) {
    const hadFocus = document.activeElement === opener;
    asking = new AbortController();
    showPermission();
    if (hadFocus) stop.focus();
    const before = output.dataset.output === "sample" ? view.shown : null;
    const name = newest.begin();
    view.begin(request);
    try {
      for await (const line of api.infer({ ...request, details: true }, name, asking.signal)) {
        if (line.kind === "answer") view.show({ request, response: line.answer });
        view.accept(line);
      }
      feed.refresh();
    } catch (error) {
      view.stop(error.name === "AbortError" ? null : error, before);
      if (error.name !== "AbortError") toasts.problem(error);
    } finally {
      const wasStop = document.activeElement === stop;
      asking = null;
      newest.end();
      showPermission();
      if (wasStop) (opener.disabled ? button : opener).focus();
    }
  }

  connectMode(form, store);
  connectAsking(form, button, view, ask);
  stop.addEventListener("click", () => asking?.abort());
  connectCopying(output, view, toasts);
  connectTabs(page.querySelector(".generation"));
  const history = connectHistory(page, context, form);
  form.addEventListener("input", () => history.compare());

  store.subscribe(showPermission);
}
