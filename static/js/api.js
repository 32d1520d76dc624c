// The service's REST routes, and its errors as sentences.

import { jsonLines } from "./json_lines.js";

/** What the service refused or could not do, in words for people. */
export class ProblemError extends Error {
  /**
   * @param {{title?: string, detail?: string, status?: number}} problem RFC 9457 members and whatever else came.
   */
  constructor(problem) {
    super([problem.title, problem.detail].filter(Boolean).join(": "));
    this.title = problem.title ?? "That did not work";
    this.detail = problem.detail ?? "";
    this.problem = problem;
  }
}

const UNREACHABLE = {
  title: "BitLM does not answer",
  detail: "Check that it still runs where you started it (make run). Nothing you did was lost on the page.",
};

/** @param {Error} error @returns {boolean} Whether it was not BitLM that answered, if anybody did: the header says so, too. */
export const isUnanswered = ({ problem }) => problem !== undefined && problem.status === undefined;

/** @param {Error} error @returns {boolean} Whether BitLM asks for a token. */
export const isLocked = ({ problem }) => problem?.status === 401;

async function reach(path, options) {
  try {
    return await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ProblemError(UNREACHABLE);
  }
}

const refusal = (response, answer) =>
  new ProblemError(answer ?? { title: `BitLM answered ${response.status}`, detail: response.statusText });

async function request(path, options = {}) {
  const response = await reach(path, options);
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  throw refusal(response, answer);
}

const posting = (body, method = "POST", headers = {}) => ({
  method,
  headers: { Accept: "application/json", "Content-Type": "application/json", ...headers },
  body: JSON.stringify(body),
});

/** What comes line by line; a problem among the lines is thrown like any other, and so is a line that is missing. */
async function* lines(path, body, signal, headers) {
  const response = await reach(path, { ...posting(body, "POST", headers), signal });
  if (!response.ok) throw refusal(response, await response.json().catch(() => null));
  try {
    for await (const line of jsonLines(response.body)) {
      if (line.kind === "problem") throw new ProblemError(line.problem);
      yield line;
    }
  } catch (error) {
    if (error instanceof ProblemError || error.name === "AbortError") throw error;
    throw new ProblemError(UNREACHABLE);
  }
}

const get = (path) => request(path);

async function getText(path) {
  const response = await reach(path, {});
  if (response.ok) return response.text();
  throw refusal(response, await response.json().catch(() => null));
}

const send = (method) => (path, body = {}) => request(path, posting(body, method));
const [post, patch, remove] = ["POST", "PATCH", "DELETE"].map(send);

const run = (runId) => `/runs/${encodeURIComponent(runId)}`;

export const api = {
  /** @returns {Promise<object>} The service's Status. */
  status: () => get("/status"),
  /** @param {string} runId @param {number} since Only steps above it. @returns {Promise<object>} */
  metrics: (runId, since) => get(`${run(runId)}/metrics?since=${since}&max_points=2000`),
  /** @param {string} runId @param {number} since Only events above it. @returns {Promise<object>} */
  events: (runId, since) => get(`${run(runId)}/events?since=${since}`),
  /** @param {boolean} trashed Those in the trash instead. @returns {Promise<object>} All runs, the newest first. */
  runs: (trashed = false) => get(trashed ? "/runs?trashed=true" : "/runs"),
  /** @param {string} runId @returns {Promise<object>} One run as the list shows it. */
  run: (runId) => get(run(runId)),
  /** @param {string} runId @param {object} label Name, tags, archived: any of them. @returns {Promise<object>} */
  label: (runId, label) => patch(run(runId), label),
  /** @param {string} runId @returns {Promise<object>} Thrown away, to be taken back. */
  trash: (runId) => post(`${run(runId)}/trash`),
  /** @param {string} runId @returns {Promise<object>} Taken back. */
  restore: (runId) => post(`${run(runId)}/restore`),
  /** @param {string} runId @returns {Promise<object>} How far its replay is, which has begun. */
  replay: (runId) => post(`${run(runId)}/replay`),
  /** @param {string} runId @returns {Promise<object>} How far its replay is, or how it ended. */
  replayed: (runId) => get(`${run(runId)}/replay`),
  /** @param {string} runId @returns {Promise<object>} How far its replay was, which is no more. */
  cancelReplay: (runId) => remove(`${run(runId)}/replay`),
  /** @param {string} runId @param {object} wish Share, steps, floors. @returns {Promise<object>} How far its distillation is. */
  distil: (runId, wish) => post(`${run(runId)}/distil`, wish),
  /** @param {string} runId @returns {Promise<object>} How far its distillation is, or how it ended. */
  distilled: (runId) => get(`${run(runId)}/distil`),
  /** @param {string} runId @returns {Promise<object>} How far its distillation was, which is no more. */
  cancelDistillation: (runId) => remove(`${run(runId)}/distil`),
  /** @param {string} runId @returns {Promise<object>} How far the measurement of what fewer bits cost is. */
  measureRounding: (runId) => post(`${run(runId)}/rounding`),
  /** @param {string} runId @returns {Promise<object>} How far that is, or how it ended. */
  rounding: (runId) => get(`${run(runId)}/rounding`),
  /** @param {string} runId @returns {Promise<object>} How far that was, which is no more. */
  cancelRounding: (runId) => remove(`${run(runId)}/rounding`),
  /** @param {string} runId @returns {Promise<object>} For good. */
  deleteRun: (runId) => remove(run(runId), { confirm: runId }),
  /** @param {string} runId @returns {Promise<object>} The Status, with that run live. */
  open: (runId) => post(`${run(runId)}/open`),
  /** @param {string} runId @returns {Promise<object>} The new run, from the last good state of that. */
  rollBack: (runId) => post(`${run(runId)}/rollback`),
  /** @param {string} runId @param {object} branch Step, settings, telemetry. @returns {Promise<object>} */
  fork: (runId, branch) => post(`${run(runId)}/fork`, branch),
  /** @param {string} runId @param {object} change Event, and what instead, or undo. @returns {Promise<object>} */
  twin: (runId, change) => post(`${run(runId)}/twin`, change),
  /** @param {string} runId @returns {Promise<object>} The newest first. */
  checkpoints: (runId) => get(`${run(runId)}/checkpoints`),
  /** @param {string} runId @returns {Promise<object>} The checkpoint of this step. */
  saveCheckpoint: (runId) => post(`${run(runId)}/checkpoints`),
  /** @param {string} runId @param {number} step @param {?string} name @returns {Promise<object>} */
  nameCheckpoint: (runId, step, name) => patch(`${run(runId)}/checkpoints/${step}`, { name }),
  /** @param {string} runId @param {number} step @returns {Promise<object>} Those that are left. */
  deleteCheckpoint: (runId, step) => remove(`${run(runId)}/checkpoints/${step}`),
  /** @param {string[]} runIds @returns {Promise<object>} What differs between them. */
  compare: (runIds) => get(`/compare?runs=${runIds.map(encodeURIComponent).join(",")}`),
  /** @param {string} runId @param {string} otherId @returns {Promise<object>} The first minus the other. */
  difference: (runId, otherId) => get(`${run(runId)}/difference?other=${encodeURIComponent(otherId)}&max_points=150`),
  /** @param {string} runId @param {string} otherId @returns {Promise<object>} The same, as finely as there is. */
  fullDifference: (runId, otherId) => get(`${run(runId)}/difference?other=${encodeURIComponent(otherId)}&max_points=3000`),
  /** @param {string} runId @param {string[]} columns @returns {Promise<string>} These of every step, as CSV. */
  table: (runId, columns) => getText(`${run(runId)}/export/csv?columns=${columns.join()}`),
  /** @param {string} runId @param {number} eventId @returns {Promise<object>} Before and after it. */
  effect: (runId, eventId) => get(`${run(runId)}/effect?event=${eventId}`),
  /** @param {string} runId @returns {Promise<object>} The baselines that it has passed. */
  milestones: (runId) => get(`${run(runId)}/milestones`),
  /** @param {string} runId @param {string} format csv, jsonl, report or capsule. @returns {string} Its address. */
  exportUrl: (runId, format) => `${run(runId)}/export/${format}`,
  /** @param {string} runId @param {string} weights float32, int8 or int4. @param {?number} step @returns {string} Its model's address. */
  modelUrl: (runId, weights, step = null) => `${run(runId)}/model?weights=${weights}${step === null ? "" : `&step=${step}`}`,
  /** @param {object} settings As for `init`, a text by its `text_bytes` alone. @returns {Promise<object>} What it would take. */
  estimate: (settings) => post("/estimate", settings),
  /** @param {object} settings @returns {Promise<object>} */
  init: (settings) => post("/init", settings),
  /** @returns {Promise<object>} The Status after the command. */
  start: () => post("/train/start"),
  /** @param {number} steps @returns {Promise<object>} What the last of them measured. */
  step: (steps) => post("/train-step", { steps }),
  /** @returns {Promise<object>} The Status after the command. */
  pause: () => post("/train/pause"),
  /** @returns {Promise<object>} The Status after the command. */
  stop: () => post("/train/stop"),
  /** @param {number} steps @returns {Promise<object>} The Status after the command. */
  anneal: (steps) => post("/train/anneal", { steps }),
  /** @param {string} action What every alert leads to. @returns {Promise<{action: string}>} */
  setAlertAction: (action) => post("/config/alerts", { action }),
  /** @param {?{improve_thresh: number, most_memory_mb: number}} rule When to grow; null for never. @returns {Promise<object>} The same. */
  setGrowthRule: (rule) => post("/config/growth", { rule }),
  /** @param {Object<string, number>} changes Any of λ and floors. @returns {Promise<object>} All of them. */
  setTelemetry: (changes) => post("/config/telemetry", changes),
  /** @param {number} rate Share of real text to refuse. @returns {Promise<object>} Floors that do, by length. */
  calibration: (rate) => get(`/calibration?false_reject_rate=${rate}`),
  /** @param {?object} schedule What to draw along training; null for nothing. @returns {Promise<object>} The same. */
  scheduleSamples: (schedule) => post("/config/samples", { schedule }),
  /** @param {string} runId @param {number} since Only samples of steps above it. @returns {Promise<object>} */
  samples: (runId, since) => get(`${run(runId)}/samples?since=${since}`),
  /** @param {object} question @param {string} name Of the request. @param {AbortSignal} signal @returns {AsyncGenerator<object>} Lines; the answer is the last. */
  infer: (question, name, signal) => lines("/infer", { ...question, stream: true }, signal, { "X-Request-Id": name }),
  /** @param {{name: string, data: string}} file @param {AbortSignal} signal @returns {AsyncGenerator<object>} As `infer`. */
  compress: (file, signal) => lines("/compress", file, signal),
  /** @param {{name: string, data: string}} file @param {AbortSignal} signal @returns {AsyncGenerator<object>} As `infer`. */
  decompress: (file, signal) => lines("/decompress", file, signal),
};
