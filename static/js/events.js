// What happened to a run, as sentences.

import { fixed, percentage, prefixed, setting, whole } from "./format.js";

/** @typedef {{event_id: number, step: number, at: number, kind: string, source: string, payload: object}} RunEvent */

const FIELD_NAMES = {
  lambda_K: "λK",
  lambda_C: "λC",
  lambda_S: "λS",
  c_floor: "C floor",
  s_floor: "S floor",
  causal_share: "causal share",
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

function evaluatedSentence({ bits_per_byte: bpb, bound }) {
  const said = [bpb && fixed(bpb, 3), bound && `denoising at most ${fixed(bound.bits_per_byte, 3)}`].filter(Boolean);
  return `Held-out text evaluated: ${said.join(", ")} bits per byte`;
}

function resumedSentence({ recomputed, checkpoint_step: from }, step) {
  const resumed = `Resumed at step ${whole(step)}`;
  if (!recomputed) return resumed;
  return `${resumed}: ${whole(recomputed)} steps since checkpoint ${whole(from)} computed again, bit for bit`;
}

function createdSentence({ parameters, corpus, not_utf8: share }) {
  const created = `Run created: ${prefixed(parameters)} parameters on ${corpus ?? "its text"}`;
  return share ? `${created}, ${percentage(share)} of which is no UTF-8: taken as bytes` : created;
}

const GROWN = { layer: "a layer more", width: "twice as wide", context: "twice the window" };

function grownSentence({ by, parameters: [few, many], logit_difference: moved, bits_per_byte: [before, after] }) {
  const same = moved === 0 ? "not one bit of a prediction changed" : `logits moved by at most ${moved.toExponential(1)}`;
  return `${GROWN[by]}: ${prefixed(few)} → ${prefixed(many)} parameters, ${same}, ${fixed(before, 3)} → ${fixed(after, 3)} bits per byte`;
}

function distilledSentence({ parameters: [many, few], bits_per_byte: [teacher, student], met }) {
  const end = met ? "as good as it was to be" : "short of what it was to reach";
  return `its student: ${prefixed(many)} → ${prefixed(few)} parameters, ${fixed(teacher, 3)} → ${fixed(student, 3)} bits per byte, ${end}`;
}

function forkedSentence(origin) {
  const { run_id: parent, step, config_changes: changes, change: other, undo, instead, rolled_back: isBack, growth, distillation } = origin;
  const begun = isBack ? `Rolled back from ${parent} to step ${whole(step)}` : `Branched off ${parent} at step ${whole(step)}`;
  if (growth) return `${begun}, ${grownSentence(growth)}`;
  if (distillation) return `${begun}, ${distilledSentence(distillation)}`;
  if (!other) return [begun, ...Object.entries(changes ?? {}).map(([field, value]) => `${field} ${value}`)].join(", ");
  const told = `${sentence({ ...other, event_id: 0 })} at step ${whole(other.step)}`;
  if (undo) return `${begun}, to undo ${told}`;
  return instead ? `${begun}, with another value than ${told}` : `${begun}, to do without ${told}`;
}

function requestSentence({ steps, bytes }) {
  const asked = `${whole(steps)} ${steps === 1 ? "step" : "steps"} asked for`;
  return bytes === undefined ? asked : `${asked} on a text handed in (${prefixed(bytes, "B")})`;
}

function scheduledSentence({ new: now }) {
  return now ? `Samples along training: every ${whole(now.every)} steps` : "Samples along training: none";
}

function growthSentence({ new: now, reason }) {
  if (!now) return reason ? `Grows no more: ${reason}` : "Grows no more";
  return `Grows when an estimate gains less than ${setting(now.improve_thresh)} bpb, up to ${whole(now.most_memory_mb)} MB`;
}

function thinnedSentence({ budget, probe_interval: probe, diagnostics_interval: diagnostics, sample_interval: sample }) {
  if (sample) return `Samples along training are being brought below ${setting(50 * budget)} % of the time: every ${whole(sample)} steps`;
  const every = `C and S every ${whole(probe)} steps, attention and reversibility every ${whole(diagnostics)}`;
  return `Telemetry is being brought below ${setting(100 * budget)} % of the time: ${every}`;
}

const SENTENCES = {
  run_created: createdSentence,
  run_forked: forkedSentence,
  training_started: () => "Training started",
  run_resumed: resumedSentence,
  memory_chosen: ({ memory, reason }) => `This machine chose memory=${memory}: ${reason}`,
  autocast_chosen: ({ autocast, reason }) => `This machine chose autocast=${autocast}: ${reason}`,
  training_paused: ({ reason }) => (reason ? `Training paused: ${reason}` : "Training paused"),
  training_stopped: () => "Training stopped",
  telemetry_changed: ({ changes }) =>
    changes?.length ? changes.map(change).join(", ") : "Telemetry settings confirmed, none changed",
  telemetry_thinned: thinnedSentence,
  anneal_started: ({ steps, cause }) => `Annealing over ${whole(steps)} steps${cause ? ", after an alert" : ""}`,
  anneal_finished: () => "Annealing finished: the learning rate is at 1 % of what it was",
  held_out_stalled: ({ best_step: step, best, now }) =>
    `Held-out text has not improved since step ${whole(step)}: ${fixed(best, 3)} then, ${fixed(now, 3)} now; the run learns its text by heart`,
  steps_requested: requestSentence,
  steps_ended: ({ done, requested, reason }) => `Ended after ${whole(done)} of ${whole(requested)} steps: ${reason}`,
  drift_alert: ({ metric, before, after }) =>
    `Drift: mean ${metric.replaceAll("_", " ")} went from ${fixed(before)} to ${fixed(after)}`,
  spike_alert: ({ metric, before, value }) =>
    `Spike: ${metric.replaceAll("_", " ")} went from ${fixed(before)} to ${fixed(value)} in one step`,
  alert_action_changed: ({ old, new: now }) => `On an alert: ${old} → ${now}`,
  samples_scheduled: scheduledSentence,
  growth_rule_changed: growthSentence,
  nonfinite_alert: ({ detail }) => `Halted: ${detail}`,
  checkpoint_saved: ({ name }) => (name ? `Checkpoint saved: ${name}` : "Checkpoint saved"),
  checkpoint_deleted: ({ step }) => `Checkpoint of step ${whole(step)} deleted`,
  checkpoint_damaged: ({ step }) => `Checkpoint of step ${whole(step)} is damaged; the one before it is used`,
  disk_alert: ({ state, free_bytes: free }) =>
    state === "full" ? `Disk full (${prefixed(free, "B")} free): training waits for room`
      : `Disk getting full: ${prefixed(free, "B")} free`,
  disk_recovered: ({ free_bytes: free }) => `There is room on the disk again: ${prefixed(free, "B")} free`,
  diverged: ({ metric, recorded, recomputed }) =>
    `Computed again, ${metric} came out otherwise: ${recorded} → ${recomputed}`,
  evaluated: evaluatedSentence,
  baselines_computed: baselineSentence,
  sample: sampleSentence,
  failed: ({ detail }) => `Failed: ${detail}`,
};

/** @param {RunEvent} event @returns {string} What happened, as one sentence. */
export const sentence = (event) => SENTENCES[event.kind]?.(event.payload, event.step) ?? event.kind.replaceAll("_", " ");

const ALERTS = new Set(["held_out_stalled", "drift_alert", "spike_alert", "nonfinite_alert", "disk_alert", "checkpoint_damaged", "diverged", "failed"]);
const CHANGES = new Set(["telemetry_changed", "anneal_started", "steps_requested"]);

/** Steps on the run's own text would be the same steps without having been asked for by number. */
function changesSomething({ kind, payload }) {
  if (kind === "telemetry_changed") return payload.changes?.length > 0;
  return kind !== "steps_requested" || payload.sha256 !== undefined;
}

/**
 * Whether the run could have done without it: an entry of its journal that decided what it computed.
 * @param {RunEvent} event
 * @returns {boolean}
 */
export const isChange = (event) => CHANGES.has(event.kind) && changesSomething(event);

/**
 * Whether an event is something somebody did to the run, something that went wrong, or neither.
 * @param {RunEvent} event
 * @returns {"intervention"|"alert"|"note"}
 */
export function weight(event) {
  if (ALERTS.has(event.kind)) return "alert";
  return isChange(event) ? "intervention" : "note";
}

const EXPLAINED = new Set(["drift_alert", "spike_alert", "nonfinite_alert", "run_forked"]);

/**
 * Whether there is a before and after of it: a change, the beginning of a branch, an alert about what is learned.
 * @param {RunEvent} event
 * @returns {boolean}
 */
export const isExplained = (event) => isChange(event) || EXPLAINED.has(event.kind);

/** What a twin's line says: what it was not told, or was told otherwise, or what was undone. */
function forkLabel({ change: other, undo, instead, rolled_back: isBack, growth, distillation }) {
  if (growth) return GROWN[growth.by];
  if (distillation) return "student";
  if (!other) return isBack ? "rollback" : "fork";
  return `${undo ? "undo" : instead ? "not as" : "not"} ${shortLabel(other)}`;
}

const LABELS = {
  anneal_started: "anneal",
  steps_requested: "own text",
  nonfinite_alert: "halted",
  disk_alert: "disk",
  held_out_stalled: "no better",
  checkpoint_damaged: "damaged",
};

/** @param {RunEvent} event @returns {string} A few characters for a chart's marker. */
export function shortLabel({ kind, payload }) {
  if (kind === "telemetry_changed") {
    const [first, ...others] = payload.changes;
    const label = `${fieldName(first.field)} ${setting(first.new)}`;
    return others.length ? `${label} +${others.length}` : label;
  }
  if (kind === "run_forked") return forkLabel(payload);
  if (kind === "drift_alert") return `drift ${payload.metric}`;
  if (kind === "spike_alert") return `spike ${payload.metric}`;
  return LABELS[kind] ?? kind.replaceAll("_", " ");
}
