// The service's REST routes, and its errors as sentences.

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

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store", ...options });
  } catch {
    throw new ProblemError(UNREACHABLE);
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  throw new ProblemError(answer ?? { title: `BitLM answered ${response.status}`, detail: response.statusText });
}

const get = (path) => request(path);

const post = (path, body = {}) =>
  request(path, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

const run = (runId) => `/runs/${encodeURIComponent(runId)}`;

export const api = {
  /** @returns {Promise<object>} The service's Status. */
  status: () => get("/status"),
  /** @param {string} runId @param {number} since Only steps above it. @returns {Promise<object>} */
  metrics: (runId, since) => get(`${run(runId)}/metrics?since=${since}&max_points=2000`),
  /** @param {string} runId @param {number} since Only events above it. @returns {Promise<object>} */
  events: (runId, since) => get(`${run(runId)}/events?since=${since}`),
  /** @param {object} settings @returns {Promise<object>} */
  init: (settings) => post("/init", settings),
  /** @returns {Promise<object>} The Status after the command. */
  start: () => post("/train/start"),
  /** @returns {Promise<object>} The Status after the command. */
  pause: () => post("/train/pause"),
  /** @returns {Promise<object>} The Status after the command. */
  stop: () => post("/train/stop"),
  /** @param {number} steps @returns {Promise<object>} The Status after the command. */
  anneal: (steps) => post("/train/anneal", { steps }),
  /** @param {Object<string, number>} changes Any of λ and floors. @returns {Promise<object>} All of them. */
  setTelemetry: (changes) => post("/config/telemetry", changes),
  /** @param {object} question @returns {Promise<object>} The sample and its verdict. */
  infer: (question) => post("/infer", question),
};
