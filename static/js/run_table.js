// Which runs the list shows, and in which order: pure functions of what the service told.

/** What each sortable column compares; what a run lacks comes last either way. */
const KEYS = {
  run: ({ created_at: at }) => at,
  tags: ({ tags }) => (tags.length ? tags.join(", ").toLowerCase() : null),
  step: ({ step }) => step,
  quality: ({ validation_bits_per_byte: bits }) => bits,
};

/**
 * Whether every word of the query is in the run's name, id, tags or the name of its text.
 * @param {object} run As GET /runs tells it.
 * @param {string} query
 * @returns {boolean}
 */
export function matches({ name, run_id: runId, tags, config }, query) {
  const told = [name ?? "", runId, ...tags, config.corpus].join("\n").toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => told.includes(word));
}

/**
 * @param {Array<object>} runs
 * @param {{column: "run"|"tags"|"step"|"quality", isDescending: boolean}} order
 * @returns {Array<object>} In that order; equal ones stay as they came.
 */
export function sorted(runs, { column, isDescending }) {
  const key = KEYS[column];
  const compare = (one, other) => {
    const [first, second] = [key(one), key(other)];
    if (first === null || second === null) return Number(first === null) - Number(second === null);
    if (first === second) return 0;
    return (first < second) === isDescending ? 1 : -1;
  };
  return [...runs].sort(compare);
}

/**
 * The order after a click on a column's head: that column's, or turned round if it was so already.
 * @param {{column: string, isDescending: boolean}} order
 * @param {string} column
 * @returns {{column: string, isDescending: boolean}}
 */
export function nextOrder(order, column) {
  if (order.column === column) return { column, isDescending: !order.isDescending };
  return { column, isDescending: column === "run" || column === "step" };
}
