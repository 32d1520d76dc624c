// The runs drawn beside the live one, each with its colour and dash: open it, or take it off the charts.

import { button, element } from "./dom.js";
import { SLOTS } from "./overlay_figures.js";

const PATTERNS = { dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 4", longdashdot: "11 3 2 3" };

function swatch({ colour, dash }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 28 4");
  svg.setAttribute("aria-hidden", "true");
  svg.style.stroke = `var(--${colour})`;
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const ends = { x1: 0, y1: 2, x2: 28, y2: 2, "stroke-dasharray": PATTERNS[dash] ?? dash.replaceAll("px", "") };
  for (const [name, value] of Object.entries(ends)) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}

/**
 * @param {HTMLElement} place
 * @param {HTMLElement} figure The chart of the difference, which is there while there is something beside.
 * @param {object} store
 * @param {import("./branching.js").Branching} branching
 * @param {import("./overlays.js").Overlays} overlays
 */
export function connectOverlayChips(place, figure, store, branching, overlays) {
  store.subscribe((state, previous) => {
    const isSame = state.overlays === previous.overlays && state.status?.state === previous.status?.state;
    if (isSame && place.childElementCount) return;
    place.hidden = state.overlays.length === 0;
    figure.hidden = state.overlays.length === 0;
    const first = state.overlays[0];
    figure.querySelector("[data-other]").textContent = first ? first.label : "";
    const { obstacle } = state.overlays.length ? branching : { obstacle: null };
    place.replaceChildren(
      element("span", { textContent: "beside" }),
      ...state.overlays.map(({ run_id: runId, label, slot }) => element(
        "span",
        { className: "chip", title: runId },
        swatch(SLOTS[slot]),
        button(label, () => branching.open(runId), {
          className: "plain small", "aria-label": `Open run ${label}`, disabled: obstacle !== null, title: obstacle ?? "Take this run live",
        }),
        button("×", () => overlays.toggle(runId, false), { className: "plain small", "aria-label": `Take run ${label} off the charts` }),
      )),
    );
  });
}
