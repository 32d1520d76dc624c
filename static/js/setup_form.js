// The form that makes a run: size, text, seed, and every setting for those who want it.

import { Foresight } from "./foresight.js";
import { pausedFirst } from "./pausing.js";
import { stateName } from "./run_state.js";
import { Upload } from "./upload.js";

const LABELS = { init: "Make the run", train: "Make it and train" };
const LABELS_WHILE_TRAINING = { init: "Pause and make it", train: "Pause, make it and train" };

/** What a field of "Every setting" says: true or false, a number, or a word. */
function typed(value) {
  if (value === "true" || value === "false") return value === "true";
  const number = Number(value);
  return Number.isNaN(number) ? value : number;
}

/**
 * The body of POST /init: what was chosen, and of the settings those that were filled in.
 * @param {FormData} filled
 * @param {?{name: string, text: string}} uploaded The file, if one was chosen.
 * @returns {object}
 */
export function initSettings(filled, uploaded = null) {
  const { size, seed, text_kind: kind, path, pasted, uploaded: _file, ...advanced } = Object.fromEntries(filled);
  const settings = { size, seed: Number(seed) };
  if (kind === "path") settings.corpus = path;
  if (kind === "embedded") settings.corpus = "embedded";
  if (kind === "pasted") settings.text = pasted;
  if (kind === "uploaded" && uploaded) Object.assign(settings, { text: uploaded.text, text_name: uploaded.name });
  for (const [field, value] of Object.entries(advanced)) if (value) settings[field] = typed(value);
  return settings;
}

/**
 * The body of POST /estimate: the same, but of a text its length alone, and nothing where there is none yet.
 * @param {object} settings Of POST /init.
 * @returns {object}
 */
export function estimateSettings({ text, corpus, ...settings }) {
  if (text) return { ...settings, text_bytes: new Blob([text]).size };
  return corpus ? { ...settings, corpus } : settings;
}

/** Which part of the form belongs to the chosen kind of text. */
function showTextField(form) {
  const kind = form.elements.text_kind.value;
  for (const part of form.querySelectorAll("[data-text-kind]")) {
    part.hidden = part.dataset.textKind !== kind;
    const control = part.querySelector("input, textarea");
    if (!control) continue;
    control.required = !part.hidden;
    control.disabled = part.hidden;
  }
}

/** A setting that is left empty means the size's own value: show which that is. */
function showPresetValues(form, presets) {
  const values = presets[form.elements.size.value];
  for (const control of form.querySelectorAll(".advanced input")) control.placeholder = values[control.name];
  for (const { name, options: [open, ...choices] } of form.querySelectorAll(".advanced select")) {
    const own = choices.find(({ value }) => value === String(values[name]));
    open.textContent = `the size's own: ${own.textContent.split(":")[0]}`;
  }
}

/** @param {boolean} isAnswer Whether the reader asked for it, and is taken to the field. */
function showProblem(form, error, isAnswer = true) {
  const place = form.querySelector("[data-problem]");
  place.hidden = !error;
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  if (!error) return;
  place.querySelector("strong").textContent = error.title ?? "The page met an error";
  place.querySelector("p").textContent = error.detail ?? String(error);
  const named = (error.problem?.errors ?? []).map(({ field }) => field).concat(error.problem?.field ?? []);
  for (const field of named) {
    const control = form.elements[field];
    if (!(control instanceof HTMLElement)) continue;
    control.setAttribute("aria-invalid", "true");
    if (!isAnswer) continue;
    control.closest("details")?.setAttribute("open", "");
    control.focus();
  }
}

/** What the buttons do: while a run trains, the new one has to wait for it to be paused. */
function labelButtons(form, state) {
  if (form.hasAttribute("aria-busy")) return;
  const labels = stateName(state) === "training" ? LABELS_WHILE_TRAINING : LABELS;
  for (const button of form.querySelectorAll("[type=submit]")) button.textContent = labels[button.value];
}

/**
 * @param {HTMLElement} page
 * @param {object} pageData
 * @param {object} pageData.presets Settings by size.
 * @param {number} pageData.max_body_bytes Of a request.
 * @param {object} context
 * @param {object} context.store
 * @param {object} context.api
 * @param {import("./run_feed.js").RunFeed} context.feed
 */
export function connectSetupForm(page, { presets, max_body_bytes: maxBytes }, { store, api, feed }) {
  const dialog = page.querySelector("[data-setup]");
  const form = dialog.querySelector("form");
  const foresight = new Foresight(form.querySelector("[data-estimate]"), api, (error) => showProblem(form, error, false));
  const upload = new Upload(dialog, maxBytes, () => follow());
  const settings = () => initSettings(new FormData(form), upload.chosen);

  function follow() {
    showTextField(form);
    showPresetValues(form, presets);
    foresight.ask(() => estimateSettings(settings()));
  }

  for (const opener of page.querySelectorAll('[data-action="setup"]')) {
    opener.addEventListener("click", () => {
      showProblem(form, null);
      dialog.showModal();
      follow();
    });
  }
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => foresight.stop());
  form.addEventListener("input", follow);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const isTraining = event.submitter?.value === "train";
    const asked = settings(); // now: the form may be filled in otherwise while the run is being paused
    const buttons = form.querySelectorAll("[type=submit]");
    for (const button of buttons) button.disabled = true;
    form.setAttribute("aria-busy", "true");
    foresight.stop();
    showProblem(form, null);
    try {
      await pausedFirst(store, api, () => api.init(asked));
      if (isTraining) await api.start();
      dialog.close();
    } catch (error) {
      showProblem(form, error);
    } finally {
      for (const button of buttons) button.disabled = false;
      form.removeAttribute("aria-busy");
      labelButtons(form, store.get());
      feed.refresh();
    }
  });
  store.subscribe((state) => labelButtons(form, state));
  const showHidden = ({ target }) => target.closest("details")?.setAttribute("open", "");
  form.addEventListener("invalid", showHidden, { capture: true });
  showTextField(form);
  showPresetValues(form, presets);
}
