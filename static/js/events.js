// What happened to a run, as sentences.

import { fixed, prefixed, setting, whole } from "./format.js";

/** @typedef {{event_id: number, step: number, at: number, kind: string, source: string, payload: object}} RunEvent */

const FIELD_NAMES = {
  lambda_K: "λK",
  lambda_C: "λC",
  lambda_S: "λS",
  c_floor: "C floor",
  s_floor: "S floor",
};

const SOURCES = { ui: "page", rest: "REST", cli: "command line", mcp: "MCP", session: "run" };

/** @param {string} field @returns {string} A setting's name as the page writes it. */
export const fieldName = (field) => FIELD_NAMES[field] ?? field;

/** @param {string} source @returns {string} Who asked, in words. */
export const sourceName = (source) => SOURCES[source] ?? source;

const change = ({ field, old, new: now }) => `${fieldName(field)} ${setting(old)} → ${setting(now)}`;

function sampleSentence({ response }) {
  const gate = response?.gate;
  if (!gate) return "Sample drawn";
  const figures = `C ${fixed(gate.C)}, S ${fixed(gate.S)}`;
  return gate.passed ? `Sample passed the gate (${figures})` : `Sample failed the gate (${figures})`;
}

function baselineSentence(payload) {
  const lines = Object.entries(payload.baselines ?? payload).filter(([, value]) => typeof value === "number");
  const best = lines.sort(([, one], [, other]) => one - other)[0];
  return best ? `Baselines computed; the best is ${best[0]} at ${fixed(best[1])} bits per byte` : "Baselines computed";
}

const SENTENCES = {
  run_created: ({ parameters, corpus }) => `Run created: ${prefixed(parameters)} parameters on ${corpus ?? "its text"}`,
  run_reopened: ({ steps_lost: lost }) =>
    lost ? `Run reopened at its last checkpoint; ${whole(lost)} steps to be done again` : "Run reopened",
  training_started: () => "Training started",
  training_paused: () => "Training paused",
  training_stopped: () => "Training stopped",
  telemetry_changed: ({ changes }) =>
    changes?.length ? changes.map(change).join(", ") : "Telemetry settings confirmed, none changed",
  anneal_started: ({ steps }) => `Annealing over ${whole(steps)} steps`,
  anneal_finished: () => "Annealing finished",
  data_supplied: ({ bytes }) => `Trained on a text handed in (${prefixed(bytes, "B")})`,
  drift_alert: ({ metric, before, after }) => `Drift: mean ${metric} went from ${fixed(before)} to ${fixed(after)}`,
  nonfinite_alert: ({ detail }) => `Halted: ${detail}`,
  checkpoint_saved: () => "Checkpoint saved",
  evaluated: ({ bits_per_byte: bpb }) => `Held-out text evaluated: ${fixed(bpb, 3)} bits per byte`,
  baselines_computed: baselineSentence,
  sample: sampleSentence,
  failed: ({ detail }) => `Failed: ${detail}`,
};

/** @param {RunEvent} event @returns {string} What happened, as one sentence. */
export const sentence = (event) => SENTENCES[event.kind]?.(event.payload) ?? event.kind.replaceAll("_", " ");

const ALERTS = new Set(["drift_alert", "nonfinite_alert", "failed"]);
const INTERVENTIONS = new Set(["telemetry_changed", "anneal_started", "data_supplied"]);

/**
 * Whether an event is something somebody did to the run, something that went wrong, or neither.
 * @param {RunEvent} event
 * @returns {"intervention"|"alert"|"note"}
 */
export function weight(event) {
  if (ALERTS.has(event.kind)) return "alert";
  if (event.kind === "telemetry_changed" && !event.payload.changes?.length) return "note";
  return INTERVENTIONS.has(event.kind) ? "intervention" : "note";
}

/** @param {RunEvent} event @returns {string} A few characters for a chart's marker. */
export function shortLabel({ kind, payload }) {
  if (kind === "telemetry_changed") {
    const [first, ...others] = payload.changes;
    const label = `${fieldName(first.field)} ${setting(first.new)}`;
    return others.length ? `${label} +${others.length}` : label;
  }
  if (kind === "anneal_started") return "anneal";
  if (kind === "data_supplied") return "own text";
  if (kind === "drift_alert") return `drift ${payload.metric}`;
  return kind === "nonfinite_alert" ? "halted" : kind;
}
