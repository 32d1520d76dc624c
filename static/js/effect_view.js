// Before and after as a table, for the menu of what happened.

import { element } from "./dom.js";
import { columnsOf, estimated, figureName, verdict } from "./effect_words.js";
import { whole } from "./format.js";

const HONESTLY = "Means of up to 200 steps on either side with 95 % intervals, no farther than the next change. "
  + "An observation, not a proof: learning goes on meanwhile.";

const cell = (text) => element("td", { textContent: text });

function row(column, effect) {
  const [before, after] = [effect.before, effect.after].map((side) => cell(estimated(column, side?.estimate)));
  const said = verdict(effect);
  const difference = effect.verdict === "unknown" ? "" : estimated(column, effect.difference, { isChange: true });
  return element(
    "tr",
    { dataset: { verdict: effect.verdict } },
    element("th", { scope: "row", textContent: figureName(column) }),
    before,
    after,
    element("td", {}, difference, said ? element("small", { textContent: said }) : null),
  );
}

/**
 * @param {?import("./effects.js").Known} known
 * @param {?string} chart The chart it was asked from.
 * @returns {HTMLElement}
 */
export function effectTable(known, chart) {
  if (!known?.report) return element("p", { className: "quiet", textContent: known?.problem ?? "Before and after: being worked out …" });
  const { report } = known;
  const columns = columnsOf(report, chart);
  if (columns.length === 0) return element("p", { className: "quiet", textContent: "Nothing has been measured before or after it yet." });
  const heads = ["", "before", "after", "difference"].map((textContent) => element("th", { scope: "col", textContent }));
  return element(
    "div",
    {},
    element(
      "table",
      { className: "effect" },
      element("caption", { textContent: `Before and after step ${whole(report.step)}` }),
      element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...columns.map((column) => row(column, report.quantities[column]))),
    ),
    element("p", { className: "quiet effect-note", textContent: HONESTLY }),
  );
}
