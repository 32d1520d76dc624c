// Whether the run grows by itself when it stalls, and word of it when it has.

import { sentence } from "./events.js";
import { obstacles } from "./run_state.js";

/**
 * Why a run cannot be let grow, or null when it can; what grows can always be told not to.
 * @param {import("./store.js").PageState} state
 * @returns {?string}
 */
export function growthObstacle(state) {
  const { status } = state;
  const blocked = obstacles(state).steer;
  if (blocked !== null || status.growth_rule) return blocked;
  if (status.config.qat) return "A model that learns for few bits cannot grow: grow it first, then fork it with qat";
  return status.annealed_at === null ? null : "The learning rate falls: a run that settles does not grow any more";
}

/**
 * What has just become of growing, while the page was there: a larger run that took this one's place, or its end.
 * @param {import("./store.js").PageState} state
 * @param {import("./store.js").PageState} previous
 * @returns {Array<import("./events.js").RunEvent>}
 */
export function growthNews({ events }, { events: known, status }) {
  const last = known.at(-1)?.event_id ?? Infinity;
  const isNews = ({ kind, payload }) =>
    kind === "run_forked" ? payload.growth && payload.run_id === status?.run_id : kind === "growth_rule_changed" && payload.reason;
  return events.filter((event) => event.event_id > last && isNews(event));
}

/**
 * @param {HTMLFormElement} form
 * @param {object} context Store, api, feed and toasts.
 */
export function connectGrowthControls(form, { store, api, feed, toasts }) {
  const { on, improve_thresh: least, most_memory_mb: most } = form.elements;
  const controls = [on, least, most];
  let isTelling = false; // until the answer is there, the switch stays as the reader has set it

  function show(state) {
    const blocked = growthObstacle(state);
    const rule = state.status?.growth_rule ?? null;
    for (const control of controls) {
      control.disabled = blocked !== null;
      control.title = blocked ?? "";
    }
    if (!isTelling) on.checked = rule !== null;
    for (const input of [least, most]) {
      if (rule && document.activeElement !== input) input.value = rule[input.name];
    }
  }

  async function tell() {
    if (!form.reportValidity()) return show(store.get());
    const rule = { improve_thresh: least.valueAsNumber, most_memory_mb: most.valueAsNumber };
    isTelling = true;
    try {
      await api.setGrowthRule(on.checked ? rule : null);
    } catch (error) {
      toasts.problem(error);
    }
    await feed.refresh();
    isTelling = false;
    return show(store.get());
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  on.addEventListener("change", tell);
  for (const input of [least, most]) input.addEventListener("change", () => on.checked && tell());
  store.subscribe((state, previous) => {
    show(state);
    for (const event of growthNews(state, previous)) toasts.note(sentence(event));
  });
}
