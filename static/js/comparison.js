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

const LONGEST_HEX = 12; // of a hash, as people compare them
const isHash = (value) => /^[0-9a-f]{40,}$/.test(value);

/**
 * A setting as it stands in the table.
 * @param {*} value
 * @returns {string}
 */
export function settingText(value) {
  const text = String(value ?? "–");
  return isHash(text) ? text.slice(0, LONGEST_HEX) : text;
}

const isSameText = ({ config }) => !config.some(({ field }) => field === "corpus_fingerprint");

function figureRows({ runs, config }, areComparable) {
  return [
    ["step", ...runs.map(({ step }) => whole(step))],
    ["training bpb", ...runs.map(({ bits_per_byte: bpb }) => fixed(bpb, 3))],
    [areComparable ? "held-out bpb" : "held-out bpb, each of its own text", ...runs.map(({ validation_bits_per_byte: bpb }) => fixed(bpb, 3))],
    ...(areComparable ? [] : baselineRows(runs)),
    ...config.map(({ field, values }) => [field, ...values.map(settingText)]),
  ];
}

/** Commands that acted on steps which all did; one at the last of them acts on the next. */
function commandTable({ runs, journal }, names) {
  const last = Math.min(...runs.map(({ step }) => step));
  const shared = journal.filter(({ step }) => step < last);
  if (shared.length === 0) return null;
  const rows = shared.map(({ step, kind, values }) => {
    const payload = values.find((value) => value !== null);
    return [`${whole(step)} · ${sentence({ kind, payload, step })}`, ...values.map((value) => (value ? "yes" : "–"))];
  });
  return table(`Commands that not all were given, before step ${whole(last)}`, ["step", ...names], rows);
}

/**
 * @param {object} found As the service compares.
 * @returns {HTMLElement[]}
 */
export function comparisonTables(found) {
  const names = found.runs.map(({ run_id: id, name }) => name ?? id);
  const areComparable = isSameText(found);
  const commands = commandTable(found, names);
  return [
    element("p", { className: "parting", textContent: parting(found) }),
    areComparable
      ? element("p", { className: "quiet", textContent: baselineSentence(found.runs[0]) })
      : element("p", { className: "comparison-warning", textContent:
        "Their texts differ: bits per byte on one text say nothing of those on another. Compare each with what compressors reach on its own." }),
    table("Figures, and settings that differ", ["", ...names], figureRows(found, areComparable)),
    ...(commands ? [commands] : []),
  ];
}

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
