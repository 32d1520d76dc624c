// The list of what happened, newest first.

import { button } from "./dom.js";
import { isChange, sentence, sourceName, weight } from "./events.js";
import { clock, whole } from "./format.js";

const MOST_ROWS = 200;

function row(event, onChange) {
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
  if (isChange(event)) {
    const open = ({ currentTarget }) => onChange(event, currentTarget.getBoundingClientRect());
    item.append(button("what if …", open, {
      className: "plain small event-menu", "aria-label": `What if not: ${sentence(event)}`, title: "Undo it, or train the twin without it",
    }));
  }
  return item;
}

/**
 * @param {HTMLOListElement} list
 * @param {HTMLElement} none Shown while there is nothing to list.
 * @param {object} store
 * @param {function(object, DOMRect): void} onChange Called with a change somebody wants to argue with.
 */
export function connectEventList(list, none, store, onChange) {
  store.subscribe(({ events }, previous) => {
    if (events === previous.events && list.childElementCount) return;
    list.replaceChildren(...events.slice(-MOST_ROWS).reverse().map((event) => row(event, onChange)));
    none.hidden = events.length > 0;
  });
}
