// The small "?" beside a quantity: formula, range, typical value.

import { placeBeside } from "./popover.js";

const INDENT_PX = 12;

/**
 * Place each popover beside the button that opens it, inside the window.
 * @param {HTMLElement} page
 */
export function connectHelp(page) {
  const openers = new Map();
  for (const button of page.querySelectorAll("[popovertarget]")) {
    button.addEventListener("click", () => openers.set(button.getAttribute("popovertarget"), button));
  }
  for (const popover of page.querySelectorAll(".help[popover][id]")) {
    popover.addEventListener("toggle", (event) => {
      const button = openers.get(popover.id);
      button.setAttribute("aria-expanded", String(event.newState === "open"));
      if (event.newState !== "open") return;
      const anchor = button.getBoundingClientRect();
      placeBeside(popover, anchor, anchor.left - INDENT_PX);
    });
  }
}
