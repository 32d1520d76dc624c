// Making elements in one expression.

/**
 * @param {string} tag
 * @param {object} [properties] Set on the element; `dataset` and `aria-…` too, and listeners under `on`.
 * @param {...(Node|string|null)} children Null is left out.
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  const { dataset = {}, on = {}, ...others } = properties;
  for (const [name, value] of Object.entries(others)) {
    if (name.startsWith("aria-") || name === "role" || name === "popovertarget") made.setAttribute(name, value);
    else made[name] = value;
  }
  Object.assign(made.dataset, dataset);
  for (const [event, listener] of Object.entries(on)) made.addEventListener(event, listener);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** @param {string} text @param {function(): void} onClick @param {object} [extra] @returns {HTMLButtonElement} */
export const button = (text, onClick, extra = {}) =>
  element("button", { type: "button", textContent: text, on: { click: onClick }, ...extra });
