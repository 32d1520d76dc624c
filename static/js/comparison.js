// What differs between runs, as tables: figures, settings, commands.

import { element } from "./dom.js";
import { sentence } from "./events.js";
import { fixed, whole } from "./format.js";

const cell = (tag, text) => element(tag, { textContent: text });

function table(caption, heads, rows) {
  return element(
    "table",
    { className: "comparison" },
    element("caption", { textContent: caption }),
    element("thead", {}, element("tr", {}, ...heads.map((head) => cell("th", head)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((text, index) => cell(index ? "td" : "th", text))))),
  );
}

/**
 * Where the losses part, in a sentence.
 * @param {{first_difference: ?number, compared_steps: number}} found
 * @returns {string}
 */
export function parting({ first_difference: first, compared_steps: steps }) {
  if (steps === 0) return "There is no step that all of them did.";
  if (first === null) return `The losses of all ${whole(steps)} shared steps are the same to the last bit.`;
  const before = first > 1 ? `, and are the same to the last bit before it` : "";
  return `Of ${whole(steps)} shared steps, the losses differ from step ${whole(first)} on${before}.`;
}

/**
 * @param {object} found As the service compares.
 * @returns {HTMLElement[]}
 */
export function comparisonTables(found) {
  const names = found.runs.map(({ run_id: id, name }) => name ?? id);
  const figures = [
    ["step", ...found.runs.map(({ step }) => whole(step))],
    ["training bpb", ...found.runs.map(({ bits_per_byte: bpb }) => fixed(bpb, 3))],
    ["held-out bpb", ...found.runs.map(({ validation_bits_per_byte: bpb }) => fixed(bpb, 3))],
    ...(isSameText(found.runs) ? [] : baselineRows(found.runs)),
    ...found.config.map(({ field, values }) => [field, ...values.map((value) => String(value ?? "–"))]),
  ];
  const told = found.journal.map(({ step, kind, values }) => {
    const payload = values.find((value) => value !== null);
    return [`${whole(step)} · ${sentence({ kind, payload, step })}`, ...values.map((value) => (value ? "yes" : "–"))];
  });
  return [
    element("p", { className: "parting", textContent: parting(found) }),
    ...(isSameText(found.runs) ? [element("p", { className: "quiet", textContent: baselineSentence(found.runs[0]) })] : []),
    table("Figures, and settings that differ", ["", ...names], figures),
    ...(told.length ? [table("Commands that not all were given", ["step", ...names], told)] : []),
  ];
}

const isSameText = (runs) => new Set(runs.map(({ baselines: known }) => JSON.stringify(known))).size === 1;

function baselineSentence({ baselines: known }) {
  if (!known) return "What compressors reach on their text is not known yet.";
  const figures = Object.entries(known).map(([name, bpb]) => `${name} ${fixed(bpb, 3)}`);
  return `On the same held-out text: ${figures.join(" · ")}`;
}

/** What compressors reach on each run's own held-out text, where it is known. */
function baselineRows(runs) {
  const baselines = [...new Set(runs.flatMap(({ baselines: known }) => Object.keys(known ?? {})))];
  return baselines.map((name) => [name, ...runs.map(({ baselines: known }) => fixed(known?.[name], 3))]);
}
