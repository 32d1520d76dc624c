// The state of the service as the page names it, and what one can do in it.

import { prefixed, whole } from "./format.js";

/** @param {number} count @returns {string} Runs that there are, with the verb. */
export const countOf = (count) => (count === 1 ? "1 run is" : `${whole(count)} runs are`);

const ANNOUNCEMENTS = {
  empty: () => "There is no run yet.",
  closed: ({ runCount }) => `No run is open: ${countOf(runCount)} in the list.`,
  initializing: () => "A run is being taken live …",
  resuming: ({ resuming }) =>
    resuming ? `Resuming: step ${whole(resuming.step)} of ${whole(resuming.until)} computed again.` : "Resuming.",
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
 * @returns {string} The service's own word for it, or "disconnected".
 */
export const stateName = ({ connection, status }) => (connection === "disconnected" ? connection : status.state);

/**
 * @param {import("./store.js").PageState} state
 * @returns {string} The same, but "closed" where there are runs and none of them is open.
 */
export function situation(state) {
  const name = stateName(state);
  return name === "empty" && state.runCount > 0 ? "closed" : name;
}

/** @param {import("./store.js").PageState} state @returns {string} The state in a word or two. */
export const stateLabel = (state) => (situation(state) === "closed" ? "none open" : stateName(state));

/** @param {import("./store.js").PageState} state @returns {string} The state as a sentence to be read out. */
export const announcement = (state) => ANNOUNCEMENTS[situation(state)]?.({ runCount: state.runCount, ...state.status }) ?? "";

const LOUD = new Set(["initializing", "resuming", "halted", "failed", "disconnected"]);

/** @param {?object} status @returns {boolean} Whether the learning rate has fallen to its end. */
const isAnnealed = (status) => (status?.annealed_at ?? Infinity) <= status?.step;

const watched = ({ writer, steers, owner_url: owner, cut_off: cutOff }) =>
  [
    steers
      ? `${writer} trains this run: λ, floors, alerts, samples, Anneal, Save and Stop reach it from here.`
      : writer ? `Watching only: ${writer} writes this run.` : "Watching only: nobody writes this run now.",
    owner ? `It is steered at ${owner}.` : "",
    cutOff ? `Cut off: ${cutOff}. What is shown comes from the data folder.` : "",
  ].filter(Boolean).join(" ");

/**
 * What must not be overlooked, or null.
 * @param {import("./store.js").PageState} state
 * @returns {?{kind: string, text: string}}
 */
export function banner(state) {
  const [name, { status }] = [stateName(state), state];
  if (LOUD.has(name)) return { kind: name, text: announcement(state) };
  if (status?.error) return { kind: "waiting", text: `Waiting: ${status.error}` };
  if (status?.disk?.state === "low") {
    return { kind: "low", text: `The disk is getting full: ${prefixed(status.disk.free_bytes, "B")} free. Training pauses before it is.` };
  }
  if (status?.watching) return { kind: "watching", text: watched(status.watching) };
  return isAnnealed(status) ? { kind: "annealed", text: "The learning rate has fallen: this run learns little more. Fork it from a checkpoint before that to go on." } : null;
}

/** What marks a button that changes something; a page that only watches shows none of these. */
export const CHANGES = { changes: "" };

const RESUMABLE = new Set(["ready", "paused", "stopped"]);

const OCCUPIED = new Set(["training", "initializing", "resuming", "disconnected"]);

const WHY_NOT = {
  empty: "There is no run yet: start one first",
  closed: "No run is open: open one or make another",
  initializing: "The run is being taken live; this takes a few seconds",
  resuming: "The run is being computed up to where it was",
  ready: "Training has not started",
  training: "Training is running: pause it first",
  paused: "Training is already paused",
  stopped: "Training has stopped",
  halted: "The run halted itself: roll it back or start a new run",
  failed: "Training failed",
  disconnected: "There is no connection to BitLM",
};

/**
 * For each action, why it cannot be done now, or null when it can.
 * @param {import("./store.js").PageState} state
 * @returns {Object<string, ?string>}
 */
export function obstacles(state) {
  const [name, watching] = [stateName(state), state.status?.watching ?? null];
  const reason = state.busy ? `${state.busy.title} first` : WHY_NOT[situation(state)];
  const only = watching?.steers ? "This page only watches and steers" : "This page only watches";
  const permitted = (possible) => (possible && !state.busy ? null : reason);
  const unless = watching ? () => only : permitted;
  const byLetter = watching?.steers ? permitted : unless; // what is passed on to a training in a terminal
  const canResume = RESUMABLE.has(name) || (name === "failed" && Boolean(state.status.run_id));
  const hasModel = canResume || name === "training";
  return {
    train: unless(situation(state) === "empty" || canResume),
    step: unless(canResume),
    pause: unless(name === "training"),
    stop: byLetter(name === "training" || name === "paused"),
    anneal: byLetter(hasModel) ?? (isAnnealed(state.status) ? "The learning rate has fallen already" : null),
    setup: unless(!OCCUPIED.has(name) || name === "training"), // which is paused once the form is filled in
    open: unless(!OCCUPIED.has(name) || name === "training"),
    branch: unless(!OCCUPIED.has(name) && Boolean(state.status?.run_id)),
    save: byLetter(hasModel || name === "halted"),
    steer: byLetter(hasModel),
    calibrate: unless(hasModel),
    generate: watching ? only : hasModel || name === "halted" ? null : WHY_NOT[situation(state)],
  };
}
