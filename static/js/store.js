// The page's one state. Parts of the page subscribe; nothing else is shared between them.

/**
 * @typedef {object} PageState
 * @property {"connecting"|"connected"|"disconnected"} connection
 * @property {object} status The service's Status; at first that of the moment the page was made.
 * @property {?number} runCount Runs there are, those in the trash apart; null before that is known.
 * @property {Object<string, Array<?number>>} metrics Columns of equal length, ordered by step.
 * @property {Array<object>} events Oldest first, each once.
 * @property {?{id: string, title: string}} busy A command that waits for its answer.
 * @property {Array<import("./overlays.js").Overlay>} overlays Other runs that are drawn beside this one.
 * @property {Array<object>} checkpoints Of the run, as the service lists them.
 * @property {Object<number, import("./effects.js").Known>} effects Before and after what happened, by the event's id.
 * @property {Array<import("./milestones.js").Milestone>} milestones The baselines that the run has passed.
 * @property {?{C: [number, number], S: [number, number]}} bands Between which nine tenths of real text lie.
 * @property {?object} difference This run minus the first of them, as the service says.
 * @property {import("./view.js").View} view How the charts are shown; the address says the same.
 */

/**
 * @param {import("./view.js").View} view
 * @param {object} status
 * @param {?number} [runCount]
 * @returns {PageState}
 */
export const firstState = (view, status, runCount = null) => ({
  connection: "connecting",
  status,
  runCount,
  metrics: {},
  events: [],
  busy: null,
  overlays: [],
  difference: null,
  view,
  checkpoints: [],
  effects: {},
  milestones: [],
  bands: null,
});

/**
 * @param {PageState} initial
 * @returns {{get: function(): PageState, update: function(object): void,
 *   subscribe: function(function(PageState, PageState): void): void}}
 */
export function createStore(initial) {
  let state = initial;
  let told = initial;
  let isScheduled = false;
  const listeners = [];

  function tell() {
    isScheduled = false;
    const previous = told;
    told = state;
    for (const listener of listeners) listener(told, previous);
  }

  return {
    get: () => state,
    update(change) {
      state = { ...state, ...change };
      if (!isScheduled) {
        isScheduled = true;
        queueMicrotask(tell);
      }
    },
    subscribe(listener) {
      listeners.push(listener);
      listener(state, state);
    },
  };
}
