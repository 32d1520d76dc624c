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
 * What is listed stays where it is when more happens: a row under a finger can still be pressed, and keeps the focus.
 * @param {HTMLOListElement} list
 * @param {HTMLElement} none Shown while there is nothing to list.
 * @param {object} store
 * @param {function(object, DOMRect): void} onMore Called with an event of which somebody wants to know more.
 */
export function connectEventList(list, none, store, onMore) {
  let listed = [];
  store.subscribe(({ events }) => {
    const newest = events.slice(-MOST_ROWS);
    const isLonger = listed.every(({ event_id: id }, index) => newest[index]?.event_id === id);
    if (!isLonger) list.replaceChildren();
    const more = isLonger ? newest.slice(listed.length) : newest;
    list.prepend(...more.toReversed().map((event) => row(event, onMore)));
    listed = newest;
    none.hidden = events.length > 0;
  });
}
