// The small "?" beside a quantity: formula, range, typical value.

const GAP_PX = 6;

/**
 * Put a popover below a rectangle, or above it where there is no room, inside the window.
 * @param {HTMLElement} popover Shown.
 * @param {DOMRect} anchor
 */
export function placeBeside(popover, anchor) {
  const { width, height } = popover.getBoundingClientRect();
  const left = Math.max(GAP_PX, Math.min(anchor.left - 12, window.innerWidth - width - GAP_PX));
  const below = anchor.bottom + GAP_PX;
  const top = below + height < window.innerHeight ? below : Math.max(GAP_PX, anchor.top - height - GAP_PX);
  popover.style.left = `${left}px`;
  popover.style.top = `${top}px`;
}

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
      placeBeside(popover, button.getBoundingClientRect());
    });
  }
}
