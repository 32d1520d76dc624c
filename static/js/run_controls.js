// Train, Step, Pause, Stop, Anneal and the one click that starts everything.

import { obstacles, stateName } from "./run_state.js";

const TRAIN_LABELS = { paused: "Resume", stopped: "Resume" };

/**
 * Make buttons tell why they cannot be pressed.
 * @param {HTMLButtonElement} button
 * @param {?string} obstacle
 */
export function permit(button, obstacle) {
  button.disabled = obstacle !== null;
  button.title = obstacle ?? button.dataset.hint ?? "";
}

/**
 * @param {HTMLElement} page
 * @param {object} context
 * @param {object} context.store
 * @param {object} context.api
 * @param {import("./run_feed.js").RunFeed} context.feed
 * @param {import("./toasts.js").Toasts} context.toasts
 */
export function connectRunControls(page, { store, api, feed, toasts }) {
  const buttons = (action) => [...page.querySelectorAll(`[data-action="${action}"]`)];
  const trainLabel = page.querySelector("[data-train-label]");
  const annealForm = page.querySelector("[data-anneal]");
  const annealSteps = annealForm.elements.steps;
  const stepForm = page.querySelector("[data-step]");
  const stepCount = stepForm.elements.steps;

  async function command(title, ask) {
    store.update({ busy: { title } });
    try {
      feed.adopt(await ask());
    } catch (error) {
      toasts.problem(error);
      feed.refresh();
    } finally {
      store.update({ busy: null });
    }
  }

  async function train() {
    if (store.get().status?.run_id) return api.start();
    await api.init({});
    return api.start();
  }

  /** Nobody is kept from pausing meanwhile: steps under way are training. */
  async function step() {
    try {
      await api.step(stepCount.valueAsNumber);
    } catch (error) {
      toasts.problem(error);
    }
    await feed.refresh();
  }

  const asks = {
    train: () => command("Starting", train),
    pause: () => command("Pausing", api.pause),
    stop: () => command("Stopping", api.stop),
  };
  for (const [action, ask] of Object.entries(asks)) {
    for (const button of buttons(action)) button.addEventListener("click", ask);
  }
  annealForm.addEventListener("submit", (event) => {
    event.preventDefault();
    command("Annealing", () => api.anneal(annealSteps.valueAsNumber));
  });

  stepForm.addEventListener("submit", (event) => {
    event.preventDefault();
    if (obstacles(store.get()).step === null) step();
  });

  store.subscribe((state) => {
    const blocked = obstacles(state);
    for (const action of ["train", "step", "pause", "stop", "anneal", "setup"]) {
      for (const button of buttons(action)) permit(button, blocked[action]);
    }
    annealSteps.disabled = blocked.anneal !== null;
    stepCount.disabled = blocked.step !== null;
    stepCount.title = blocked.step ?? "";
    const label = TRAIN_LABELS[stateName(state)] ?? "Train";
    trainLabel.textContent = label;
  });
}
