// Where a popover opens: below what it belongs to, or above where there is no room; always inside the window, beside its scrollbars.

const GAP_PX = 6;

/**
 * @param {HTMLElement} popover Open already, so that it has a size.
 * @param {DOMRect} anchor
 * @param {number} [left] Where its left edge would be best.
 */
export function placeBeside(popover, anchor, left = anchor.left) {
  const { width, height } = popover.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  const below = anchor.bottom + GAP_PX;
  const top = below + height < clientHeight ? below : Math.max(GAP_PX, anchor.top - height - GAP_PX);
  const inside = Math.max(GAP_PX, Math.min(left, clientWidth - width - GAP_PX));
  Object.assign(popover.style, { left: `${inside}px`, top: `${top}px` });
}
