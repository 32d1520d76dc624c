// What a run that trains is in the way of: pause it, then do that.

import { stateName } from "./run_state.js";

/**
 * Do what needs training paused; where that is refused, training goes on.
 * @template T
 * @param {object} store
 * @param {object} api
 * @param {function(): Promise<T>} ask
 * @returns {Promise<T>}
 */
export async function pausedFirst(store, api, ask) {
  const isTraining = stateName(store.get()) === "training";
  if (isTraining) await api.pause();
  try {
    return await ask();
  } catch (error) {
    if (isTraining) await api.start().catch(() => {}); // the refusal matters more; the header says that it is paused
    throw error;
  }
}
