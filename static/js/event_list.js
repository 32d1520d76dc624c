// The list of what happened, newest first.

import { button } from "./dom.js";
import { isChange, isExplained, sentence, sourceName, weight } from "./events.js";
import { clock, whole } from "./format.js";

const MOST_ROWS = 200;

function row(event, onMore) {
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
  if (isExplained(event)) {
    const open = ({ currentTarget }) => onMore(event, currentTarget.getBoundingClientRect());
    const words = isChange(event)
      ? { textContent: "what if …", "aria-label": `What if not: ${sentence(event)}`, title: "Before and after; undo it, or train the twin without it" }
      : { textContent: "effect …", "aria-label": `Before and after: ${sentence(event)}`, title: "What the figures were before and after" };
    item.append(button("", open, { className: "plain small event-menu", ...words }));
  }
  return item;
}

/**
 * @param {HTMLOListElement} list
 * @param {HTMLElement} none Shown while there is nothing to list.
 * @param {object} store
 * @param {function(object, DOMRect): void} onMore Called with an event of which somebody wants to know more.
 */
export function connectEventList(list, none, store, onMore) {
  store.subscribe(({ events }, previous) => {
    if (events === previous.events && list.childElementCount) return;
    list.replaceChildren(...events.slice(-MOST_ROWS).reverse().map((event) => row(event, onMore)));
    none.hidden = events.length > 0;
  });
}
