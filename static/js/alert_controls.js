// What an alert leads to, and the way back from a run that halted.

import { permit } from "./run_controls.js";
import { obstacles, stateName } from "./run_state.js";

/**
 * @param {HTMLElement} controls
 * @param {object} context Store, api, feed and toasts.
 * @param {import("./branching.js").Branching} branching
 */
export function connectAlertControls(controls, { store, api, feed, toasts }, branching) {
  const action = controls.querySelector("select");
  const rollBack = controls.querySelector('[data-action="rollback"]');

  action.addEventListener("change", async () => {
    try {
      await api.setAlertAction(action.value);
    } catch (error) {
      toasts.problem(error);
    }
    await feed.refresh();
  });
  rollBack.addEventListener("click", () => branching.rollBack());

  store.subscribe((state) => {
    const blocked = obstacles(state);
    action.disabled = blocked.steer !== null;
    action.title = blocked.steer ?? "";
    if (document.activeElement !== action) action.value = state.status?.alert_action ?? "notify";
    rollBack.hidden = stateName(state) !== "halted";
    permit(rollBack, blocked.branch);
  });
}
