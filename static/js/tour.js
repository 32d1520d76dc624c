// Three things to know, for who is here for the first time; out of the way, and never shown twice unasked.

import { stateName } from "./run_state.js";

const REMEMBERED = "bitlm-tour";

/**
 * @param {HTMLElement} page
 * @param {object} store
 * @returns {function(): void} Shows it again.
 */
export function connectTour(page, store) {
  const tour = page.querySelector("[data-tour]");
  const steps = [...tour.querySelectorAll("[data-tour-step]")];
  const next = tour.querySelector("[data-tour-next]");
  const shownIn = ({ dataset }) => page.querySelector(`.${dataset.tourStep}`);
  let isAsked = false;
  let at = 0;

  function show(index) {
    at = index;
    tour.hidden = false;
    for (const [place, step] of steps.entries()) {
      step.hidden = place !== at;
      shownIn(step).classList.toggle("toured", place === at);
    }
    tour.querySelector("[data-tour-place]").textContent = `${at + 1} of ${steps.length}`;
    next.textContent = at + 1 < steps.length ? "Next" : "Done";
  }

  function hide() {
    tour.hidden = true;
    isAsked = false;
    for (const step of steps) shownIn(step).classList.remove("toured");
  }

  function dismiss() {
    localStorage.setItem(REMEMBERED, "seen");
    hide();
  }

  next.addEventListener("click", () => {
    if (at + 1 < steps.length) {
      show(at + 1);
      shownIn(steps[at]).scrollIntoView({ block: "center" });
    } else dismiss();
  });
  tour.querySelector("[data-tour-skip]").addEventListener("click", dismiss);
  page.addEventListener("keydown", ({ key }) => {
    const isOnTop = !page.querySelector("dialog[open], [popover]:popover-open");
    if (key === "Escape" && !tour.hidden && isOnTop) dismiss();
  });
  store.subscribe((state) => {
    const isFirst = stateName(state) === "empty" && localStorage.getItem(REMEMBERED) === null;
    if (isFirst && tour.hidden) show(0);
    if (!isFirst && !tour.hidden && !isAsked) hide();
  });
  return () => {
    isAsked = true;
    show(0);
    tour.scrollIntoView({ block: "nearest" });
    next.focus();
  };
}
