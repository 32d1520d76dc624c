// The page's address says how its charts are shown, so that it can be shared; habits are kept for the next visit.

import { formatView, habitsOf, parseView } from "./view.js";

const STORAGE_KEY = "bitlm-view";
const TITLE = "A part of the address was ignored";

/**
 * What the address asks for, or, where it asks for nothing, the habits of the last visit.
 * @returns {{view: import("./view.js").View, complaints: string[]}}
 */
export function readAddress() {
  const { hash } = window.location;
  return parseView(hash.length > 1 ? hash : localStorage.getItem(STORAGE_KEY) ?? "");
}

/**
 * Keep the address and the view the same from now on.
 * @param {object} store
 * @param {import("./toasts.js").Toasts} toasts
 * @param {string[]} complaints About the address that the page was opened with.
 */
export function keepAddress(store, toasts, complaints) {
  const complain = (sentences) => {
    if (sentences.length) toasts.problem({ title: TITLE, detail: sentences.join(" ") });
  };
  const write = (view) => {
    const text = formatView(view);
    const { pathname, search } = window.location;
    window.history.replaceState(null, "", `${pathname}${search}${text && `#${text}`}`);
    localStorage.setItem(STORAGE_KEY, formatView(habitsOf(view)));
  };
  window.addEventListener("hashchange", () => {
    const edited = parseView(window.location.hash);
    store.update({ view: edited.view });
    complain(edited.complaints);
  });
  store.subscribe(({ view }, { view: before }) => {
    if (view !== before) write(view);
  });
  write(store.get().view);
  complain(complaints);
}
