// The list of what happened, newest first.

import { sentence, sourceName, weight } from "./events.js";
import { clock, whole } from "./format.js";

const MOST_ROWS = 200;

function row(event) {
  const item = document.createElement("li");
  item.dataset.weight = weight(event);
  const cells = {
    step: whole(event.step),
    time: clock(event.at),
    what: sentence(event),
    source: sourceName(event.source),
  };
  for (const [name, text] of Object.entries(cells)) {
    const cell = document.createElement("span");
    cell.className = `event-${name}`;
    cell.textContent = text;
    item.append(cell);
  }
  return item;
}

/**
 * @param {HTMLOListElement} list
 * @param {HTMLElement} none Shown while there is nothing to list.
 * @param {object} store
 */
export function connectEventList(list, none, store) {
  store.subscribe(({ events }, previous) => {
    if (events === previous.events && list.childElementCount) return;
    list.replaceChildren(...events.slice(-MOST_ROWS).reverse().map(row));
    none.hidden = events.length > 0;
  });
}
