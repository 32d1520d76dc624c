// Columns of metrics and the series drawn from them. Pure functions.

/** @typedef {Object<string, Array<?number>>} Columns Equal lengths, ordered by `step`; drawn against `x` if there is one. */
/** @typedef {{x: number[], y: number[]}} Series */

/** @param {Columns} columns @returns {number} */
export const rowCount = (columns) => columns.step?.length ?? 0;

/** @param {Columns} columns @returns {number} The last step, or -1 when there is none. */
export const lastStep = (columns) => columns.step?.at(-1) ?? -1;

/** @param {Columns} columns @returns {number[]} Where the rows lie on the x axis. */
export const places = ({ x, step = [] }) => x ?? step;

function pick(columns, rows) {
  return Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, rows.map((row) => values[row])]));
}

/**
 * Both sets of rows in order of step; where a step is in both, the incoming row counts.
 * @param {Columns} known
 * @param {Columns} incoming
 * @returns {Columns}
 */
export function mergeColumns(known, incoming) {
  if (rowCount(incoming) === 0) return known;
  if (rowCount(known) === 0) return incoming;
  const joined = Object.fromEntries(
    Object.keys(incoming).map((name) => [name, [...(known[name] ?? []), ...incoming[name]]]),
  );
  if (incoming.step[0] > lastStep(known)) return joined;
  const rowOfStep = new Map(joined.step.map((step, row) => [step, row]));
  const steps = [...rowOfStep.keys()].sort((one, other) => one - other);
  return pick(joined, steps.map((step) => rowOfStep.get(step)));
}

/**
 * The rows up to and including `step`.
 * @param {Columns} columns
 * @param {number} step
 * @returns {Columns}
 */
export function dropAfter(columns, step) {
  const rows = [...(columns.step ?? []).keys()].filter((row) => columns.step[row] <= step);
  return pick(columns, rows);
}

/**
 * The rows after `step`.
 * @param {Columns} columns
 * @param {number} step
 * @returns {Columns}
 */
export function rowsAfter(columns, step) {
  const rows = [...(columns.step ?? []).keys()].filter((row) => columns.step[row] > step);
  return pick(columns, rows);
}

/**
 * One column against the x axis, empty cells left out.
 * @param {Columns} columns
 * @param {string} name
 * @returns {Series}
 */
export function series(columns, name) {
  const values = columns[name] ?? [];
  const rows = [...values.keys()].filter((row) => values[row] !== null);
  const x = places(columns);
  return { x: rows.map((row) => x[row]), y: rows.map((row) => values[row]) };
}

/**
 * The smoothed course of one column; it is smoothed over steps, so it is the same whatever it is drawn against.
 * @param {Columns} columns
 * @param {string} name
 * @param {number} span Steps a value looks back on.
 * @returns {Series}
 */
export function smoothSeries(columns, name, span) {
  const { y } = smooth(series({ ...columns, x: columns.step }, name), span);
  return { x: series(columns, name).x, y };
}

/**
 * The part of a series that shows between two places, with one point beyond on either side so that
 * lines reach the edge.
 * @param {Series} whole
 * @param {[number, number]} range
 * @returns {Series}
 */
export function within({ x, y }, [low, high]) {
  let first = x.findIndex((place) => place >= low);
  if (first === -1) first = x.length;
  let end = x.findIndex((place) => place > high);
  if (end === -1) end = x.length;
  const [from, to] = [Math.max(0, first - 1), Math.min(x.length, end + 1)];
  return { x: x.slice(from, to), y: y.slice(from, to) };
}

/** Sums of values and of weights up to each point, fading over `span` steps. */
function fadingSums({ x, y }, span) {
  let [sum, weight] = [0, 0];
  return y.map((value, index) => {
    const fade = index === 0 ? 0 : Math.exp(-Math.abs(x[index] - x[index - 1]) / span);
    [sum, weight] = [sum * fade + value, weight * fade + 1];
    return { sum, weight };
  });
}

/**
 * Exponentially weighted mean of the neighbours on both sides, so that the course does not lag behind
 * what it smooths; a neighbour's weight fades over `span` steps, however far apart the points are.
 * @param {Series} raw
 * @param {number} span Steps; 0 leaves the series as it is.
 * @returns {Series}
 */
export function smooth({ x, y }, span) {
  if (span <= 0) return { x, y };
  const before = fadingSums({ x, y }, span);
  const after = fadingSums({ x: [...x].reverse(), y: [...y].reverse() }, span).reverse();
  const mean = (value, index) =>
    (before[index].sum + after[index].sum - value) / (before[index].weight + after[index].weight - 1);
  return { x, y: y.map(mean) };
}

/**
 * At most `limit` points: the first, the last, and the lowest and highest of equal stretches.
 * @param {Series} whole
 * @param {number} limit At least 4.
 * @returns {Series}
 */
export function thin({ x, y }, limit) {
  if (x.length <= limit) return { x, y };
  const buckets = Math.floor((limit - 2) / 2);
  const kept = new Set([0, x.length - 1]);
  for (let bucket = 0; bucket < buckets; bucket += 1) {
    const from = Math.floor((bucket * x.length) / buckets);
    const to = Math.floor(((bucket + 1) * x.length) / buckets);
    let [lowest, highest] = [from, from];
    for (let index = from; index < to; index += 1) {
      if (y[index] < y[lowest]) lowest = index;
      if (y[index] > y[highest]) highest = index;
    }
    kept.add(lowest).add(highest);
  }
  const rows = [...kept].sort((one, other) => one - other);
  return { x: rows.map((row) => x[row]), y: rows.map((row) => y[row]) };
}

/**
 * The value below which `share` of the values lie.
 * @param {number[]} values Not empty.
 * @param {number} share In [0, 1].
 * @returns {number}
 */
export function quantile(values, share) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
