// One key for what is done most, and the list of them.

import { element } from "./dom.js";

/** What a key presses; of several buttons the first that can be pressed now. */
const KEYS = [
  { key: "t", words: "train or pause", presses: ['.run [data-action="train"]', '.run [data-action="pause"]'] },
  { key: "s", words: "do the steps that stand beside Step", presses: ['[data-action="step"]'] },
  { key: "g", words: "generate", presses: ["[data-generate] [type=submit]"] },
  { key: "n", words: "new run", presses: ['.run [data-action="setup"]'] },
  { key: "r", words: "runs", presses: ['.masthead [data-action="runs"]'] },
  { key: "/", words: "search the runs", presses: ['.masthead [data-action="runs"]'], focuses: "[data-search]" },
  { key: "?", words: "these keys", presses: ["[data-open-keys]"] },
];

const OTHERS = [
  ["Ctrl + Enter", "in the prompt: generate"],
  ["Esc", "close what is open"],
  ["← →", "on a chart: to the point before or after"],
  ["Page ↑ ↓", "on a chart: to the event after or before"],
  ["Enter", "on a chart: what the event there did, and what to do from it"],
  ["+ −", "on a chart: show half or twice as much about the cursor"],
  ["0", "on a chart: show all"],
];

const QUIET_INPUTS = new Set(["range", "checkbox", "radio", "button", "submit"]);

/**
 * Whether a key pressed there is meant for the element: it takes text, or chooses by letters.
 * @param {Element} target
 * @returns {boolean}
 */
export function takesText(target) {
  if (target.tagName === "INPUT") return !QUIET_INPUTS.has(target.type);
  return ["TEXTAREA", "SELECT"].includes(target.tagName) || target.isContentEditable;
}

/**
 * @param {HTMLElement} page
 * @param {import("./toasts.js").Toasts} toasts
 * @param {function(): void} showTour
 */
export function connectKeys(page, toasts, showTour) {
  const dialog = page.querySelector("[data-keys]");
  const listed = [...KEYS.map(({ key, words }) => [key.toUpperCase(), words]), ...OTHERS];
  dialog.querySelector("[data-key-list]").append(...listed.flatMap(([key, words]) =>
    [element("dt", {}, element("kbd", { textContent: key })), element("dd", { textContent: words })]));
  page.querySelector("[data-open-keys]").addEventListener("click", () => dialog.showModal());
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.querySelector("[data-show-tour]").addEventListener("click", () => {
    dialog.close();
    showTour();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || takesText(event.target)) return;
    const chosen = KEYS.find(({ key }) => key === event.key.toLowerCase());
    if (!chosen || document.querySelector("dialog:modal")) return;
    event.preventDefault();
    const buttons = chosen.presses.map((selector) => page.querySelector(selector));
    const button = buttons.find(({ disabled }) => !disabled);
    if (button) button.click();
    else toasts.note(`Not now: ${buttons[0].title || chosen.words}.`);
    if (button && chosen.focuses) page.querySelector(chosen.focuses).focus();
  });
}
