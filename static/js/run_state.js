// The state of the service as the page names it, and what one can do in it.

const NAMES = {
  loading: "loading",
  empty: "empty",
  initializing: "initializing",
  ready: "ready",
  training: "training",
  paused: "paused",
  stopped: "stopped",
  halted: "halted",
  failed: "failed",
  disconnected: "disconnected",
};

const ANNOUNCEMENTS = {
  empty: () => "There is no run yet.",
  initializing: () => "A run is being made.",
  ready: () => "The run is ready to train.",
  training: () => "Training.",
  paused: ({ step }) => `Paused at step ${step}.`,
  stopped: ({ step }) => `Stopped at step ${step}.`,
  halted: ({ error }) => `Halted: ${error ?? ""}`,
  failed: ({ error }) => `Failed: ${error ?? ""}`,
  disconnected: () => "The connection to BitLM is lost; trying again.",
};

/**
 * @param {import("./store.js").PageState} state
 * @returns {string} One of the names above.
 */
export function stateName({ connection, status }) {
  if (connection === "disconnected") return NAMES.disconnected;
  return NAMES[status?.state] ?? NAMES.loading;
}

/** @param {string} name @param {?object} status @returns {string} The state as a sentence to be read out. */
export const announcement = (name, status) => ANNOUNCEMENTS[name]?.(status ?? {}) ?? "";

const RESUMABLE = new Set(["ready", "paused", "stopped"]);

const WHY_NOT = {
  loading: "The page is still loading",
  empty: "There is no run yet: start one first",
  initializing: "The run is being made; this takes a few seconds",
  ready: "Training has not started",
  training: "Training is running: pause it first",
  paused: "Training is already paused",
  stopped: "Training has stopped",
  halted: "The run halted itself: start a new run",
  failed: "Training failed",
  disconnected: "There is no connection to BitLM",
};

/**
 * For each action, why it cannot be done now, or null when it can.
 * @param {import("./store.js").PageState} state
 * @returns {Object<string, ?string>}
 */
export function obstacles(state) {
  const name = stateName(state);
  const reason = state.busy ? `${state.busy.title} first` : WHY_NOT[name];
  const unless = (possible) => (possible && !state.busy ? null : reason);
  const canResume = RESUMABLE.has(name) || (name === "failed" && Boolean(state.status.run_id));
  const hasModel = canResume || name === "training";
  return {
    train: unless(name === "empty" || canResume),
    pause: unless(name === "training"),
    stop: unless(name === "training" || name === "paused"),
    anneal: unless(hasModel),
    setup: unless(name !== "training" && name !== "initializing" && name !== "loading" && name !== "disconnected"),
    steer: unless(hasModel),
    generate: hasModel || name === "halted" ? null : WHY_NOT[name],
  };
}
