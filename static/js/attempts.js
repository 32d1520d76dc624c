// The samples that the gate saw before it answered: what each was, why it was refused, what was tried instead.

import { element } from "./dom.js";
import { fixed, setting, whole } from "./format.js";

/**
 * What was changed for a retry, in words.
 * @param {{mode: string, seed: number, temperature: number, top_p: number}} before
 * @param {{mode: string, seed: number, temperature: number, top_p: number}} after
 * @returns {string}
 */
export function changes(before, after) {
  const told = [];
  if (after.mode !== before.mode) told.push(after.mode === "diffusion" ? "denoising" : "writing from left to right");
  if (after.seed !== before.seed) told.push("another seed");
  if (after.temperature !== before.temperature) {
    told.push(`temperature ${setting(before.temperature)} → ${setting(after.temperature)}`);
  }
  if (after.top_p !== before.top_p) told.push(`top-p ${setting(before.top_p)} → ${setting(after.top_p)}`);
  return told.join(", ");
}

/**
 * What became of an attempt, in two words or so.
 * @param {{passed: boolean, stopped_at: ?number}} report
 * @returns {string}
 */
export function outcome({ passed, stopped_at: stoppedAt }) {
  if (passed) return "passed";
  return stoppedAt === null || stoppedAt === undefined ? "refused" : `refused after ${whole(stoppedAt)} ${stoppedAt === 1 ? "byte" : "bytes"}`;
}

function attempt(report, index, log) {
  const figures = `K ${fixed(report.K)} · C ${fixed(report.C)} · S ${fixed(report.S)}`;
  const changed = index > 0 ? changes(log[index - 1], report) : `temperature ${setting(report.temperature)}`;
  return element("section", { className: "attempt", dataset: { passed: String(report.passed) } },
    element("h3", {}, element("b", { textContent: `${index + 1} · ${outcome(report)}` }), element("span", { textContent: figures })),
    changed ? element("p", { className: "quiet", textContent: index > 0 ? `With ${changed}` : `At ${changed}` }) : null,
    report.text ? element("pre", { textContent: report.text, tabIndex: 0 }) : null,
    report.reasons.length ? element("ul", {}, ...report.reasons.map((reason) => element("li", { textContent: reason }))) : null);
}

/**
 * @param {HTMLElement} place
 * @param {Array<object>} log Every attempt in order, as the service reports them.
 */
export function showAttempts(place, log) {
  place.replaceChildren(...log.map(attempt));
}
