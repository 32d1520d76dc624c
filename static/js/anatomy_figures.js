// What the charts of parts draw: bits of a byte, attention heads, the gradient by blocks, a probe sample. Pure functions.

import { fixed } from "./format.js";
import { places, quantile, series, within } from "./metrics.js";
import { nothingMeasured } from "./inside_figures.js";
import { beside, isYLog, layout, markerTraces, rawAndSmooth, sparse, sparseSeries, xRange, yRange } from "./plot.js";
import { X_AXES } from "./x_axis.js";

/** @typedef {import("./plot.js").ChartInput} ChartInput */

const MOST_BLOCKS_LABELLED = 9;
const MOST_BLOCKS_HOVERED = 14;
const MOST_LOOKS = 300;

/**
 * A colour between two.
 * @param {string} first As the browser resolved it.
 * @param {string} second
 * @param {number} share 0 for the first, 1 for the second.
 * @returns {string}
 */
export function between(first, second, share) {
  const [one, other] = [first, second].map((colour) => colour.match(/\d+(\.\d+)?/g).slice(0, 3).map(Number));
  return `rgb(${one.map((value, index) => Math.round(value + share * (other[index] - value))).join(", ")})`;
}

const ramp = ({ training, validation }, index, count) => between(training, validation, count > 1 ? index / (count - 1) : 0);

/**
 * A column of lists, as one series for each place in the list.
 * @param {import("./metrics.js").Columns} metrics
 * @param {string} column
 * @returns {Array<import("./metrics.js").Series>}
 */
export function parts(metrics, column) {
  const { x, y: lists } = series(metrics, column);
  return (lists[0] ?? []).map((_, index) => ({ x, y: lists.map((list) => list[index]) }));
}

const bitName = (index) => `b${7 - index}`;

/** @param {ChartInput} input @returns {{data: object[], layout: object}} What each bit of a byte costs in held-out text. */
export function bitsFigure(input) {
  const { colours } = input;
  const bits = parts(input.metrics, "validation_bits_per_bit");
  const colour = (index) => ramp(colours, index, bits.length);
  const inView = bits.flatMap((bit) => within(bit, xRange(input)).y);
  const newest = Math.max(0.1, ...bits.map(({ y }) => 1.1 * y.at(-1))); // false confidence costs more than a coin
  const top = inView.length ? Math.max(newest, Math.min(1.1, 1.2 * quantile(inView, 0.97))) : 1.1;
  return {
    data: [
      ...bits.map((bit, index) => sparseSeries(input, bitName(index), bit, colour(index))),
      ...markerTraces(input),
    ],
    layout: layout(input, {
      levels: [{ value: 1, label: "a coin", colour: colours.order, dash: "dash" }],
      labels: bits.map(({ y }, index) => ({ value: y.at(-1), label: bitName(index), colour: colour(index) })),
      note: nothingMeasured(input, "validation_bits_per_bit"),
      yRange: input.zoom.y.bits ?? [0, top],
      yAxis: { nticks: 5, tickformat: ".2~f" },
    }),
  };
}

/**
 * What the norms of the gradient are of.
 * @param {number} count How many there are.
 * @param {number} layers Of the model.
 * @returns {string[]}
 */
export function blockNames(count, layers) {
  const layerNames = Array.from({ length: layers }, (_, index) => `layer ${index + 1}`);
  return ["embedding", ...layerNames, "head", "mixer"].slice(0, count);
}

/** From the least to the greatest, in half powers of ten; from 0 on where the axis is linear. */
function gradientRange(values, isLog) {
  const positive = values.filter((value) => value > 0);
  if (positive.length === 0) return isLog ? [0.01, 10] : [0, 10];
  const [least, greatest] = [quantile(positive, 0), quantile(positive, 1)];
  if (!isLog) return [0, 1.08 * greatest];
  const halves = [Math.floor(2 * Math.log10(least) - 0.2), Math.ceil(2 * Math.log10(greatest) + 0.2)];
  return halves.map((half) => 10 ** (half / 2));
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} The gradient's norm, whole and by blocks. */
export function gradientFigure(input) {
  const { colours, layers } = input;
  const blocks = parts(input.metrics, "gradient_norm_blocks");
  const names = blockNames(blocks.length, layers);
  const colour = (index) => ramp(colours, index, blocks.length);
  const isLayer = (index) => index > 1 && index < layers; // one between the first and the last
  const lines = blocks.map((block, index) => ({
    ...sparseSeries(input, names[index], block, colour(index)),
    ...(blocks.length > MOST_BLOCKS_HOVERED && isLayer(index)
      ? { hovertemplate: undefined, hoverinfo: "skip" }
      : { hovertemplate: `${names[index]} %{y:.2~g}<extra></extra>` }),
  }));
  const total = rawAndSmooth(input, "whole", "gradient_norm", colours.throughput, "%{y:.2~g}");
  const isLog = isYLog(input, "gradient");
  const values = [...total.at(-1).y, ...lines.flatMap(({ y }) => y)];
  return {
    data: [...beside(input, "gradient_norm"), ...total, ...lines, ...markerTraces(input)],
    layout: layout(input, {
      levels: [],
      labels: blocks
        .map(({ y }, index) => ({ value: y.at(-1), label: names[index], colour: colour(index) }))
        .filter((_, index) => blocks.length <= MOST_BLOCKS_LABELLED || !isLayer(index)),
      note: nothingMeasured(input, "gradient_norm"),
      yRange: yRange(input, "gradient", gradientRange(values, isLog)),
      yAxis: isLog ? { type: "log", dtick: 1, tickformat: "~g" } : { nticks: 5, tickformat: "~g" },
    }),
  };
}

/** The looks in view, no more than a chart has room for, each as far as the next one. */
function looksInView(input) {
  const { x, y } = within(series(input.metrics, "attention_entropy_heads"), xRange(input));
  const stride = Math.ceil(x.length / MOST_LOOKS) || 1;
  const kept = [...x.keys()].filter((index) => index % stride === 0);
  const starts = kept.map((index) => x[index]);
  const last = Math.min(places(input.metrics).at(-1), xRange(input)[1]);
  const end = x.length ? Math.max(x.at(-1) + X_AXES[input.xAxis ?? "step"].least / 20, last) : 0;
  return { starts, edges: [...starts, end], looks: kept.map((index) => y[index]) };
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} Each head's attention entropy: a row a head. */
export function headsFigure(input) {
  const { colours } = input;
  const { starts, edges, looks } = looksInView(input);
  const { say } = X_AXES[input.xAxis ?? "step"];
  const layers = looks[0] ?? [];
  const heads = layers.flatMap((layer, index) => layer.map((_, head) => ({ layer: index, head })));
  const name = ({ layer, head }) => `layer ${layer + 1}, head ${head + 1}`;
  const map = {
    type: "heatmap",
    x: edges,
    y: [...heads.keys()],
    z: heads.map(({ layer, head }) => looks.map((look) => look[layer][head])),
    text: heads.map((one) => starts.map((start) => `${say(start)}, ${name(one)}`)),
    hovertemplate: "%{text}: %{z:.2f} bits<extra></extra>",
    zmin: 0,
    zmax: Math.max(1, ...looks.flat(2)),
    colorscale: [[0, colours.grid], [1, colours.attention]],
    colorbar: { thickness: 8, outlinewidth: 0, x: 1, xpad: 8, ypad: 0, nticks: 4, tickfont: { size: 10, color: colours.muted } },
  };
  const middle = (index) => (index + 0.5) * (layers[0]?.length ?? 1) - 0.5;
  const labelled = [...layers.keys()].filter((index) => index % Math.ceil(layers.length / 8) === 0);
  return {
    data: [...(heads.length ? [map] : []), ...markerTraces(input)],
    layout: {
      ...layout(input, {
        levels: [],
        note: nothingMeasured(input, "attention_entropy_heads"),
        yRange: [Math.max(1, heads.length) - 0.5, -0.5],
        yAxis: {
          fixedrange: true,
          showgrid: false,
          tickvals: labelled.map(middle),
          ticktext: labelled.map((index) => `layer ${index + 1}`),
        },
      }),
      hovermode: "closest",
    },
  };
}

/** @param {ChartInput} input @returns {{data: object[], layout: object}} A probe sample beside the reference, and as text. */
export function sampleFigure(input) {
  const { colours } = input;
  const divergence = sparse(input, "KL", "symbiosis_kl", colours.S);
  const validity = sparse(input, "UTF-8", "utf8_validity", colours.throughput);
  return {
    data: [
      ...beside(input, "symbiosis_kl"),
      { ...validity, hovertemplate: "UTF-8 %{y:.0%}<extra></extra>" },
      { ...divergence, hovertemplate: "KL %{y:.3f} bits per bit<extra></extra>" },
      ...markerTraces(input),
    ],
    layout: layout(input, {
      levels: [],
      note: nothingMeasured(input, "symbiosis_kl"),
      yRange: input.zoom.y.sample ?? [0, Math.max(1.05, 1.1 * Math.max(0, ...divergence.y))],
      yAxis: { nticks: 5, tickformat: ".2~f" },
    }),
  };
}

/** The place and the value of the least or the greatest of a list. */
const extreme = (values, choose) => {
  const value = choose(...values);
  return { value, index: values.indexOf(value) };
};

/**
 * The latest figures, for beside the charts' titles.
 * @param {import("./metrics.js").Columns} metrics
 * @returns {Object<string, string>}
 */
export function anatomyReadings(metrics) {
  const latest = (name) => metrics[name]?.findLast((value) => value !== null) ?? null;
  const [bits, heads, validity, gradient] = ["validation_bits_per_bit", "attention_entropy_heads", "utf8_validity", "gradient_norm"].map(latest);
  const dearest = bits && extreme(bits, Math.max);
  const narrowest = heads && extreme(heads.flat(), Math.min);
  const perLayer = heads?.[0].length;
  return {
    bits: dearest ? `${bitName(dearest.index)} ${fixed(dearest.value)}` : "–",
    gradient: gradient === null ? "–" : String(Number(gradient.toPrecision(2))),
    heads: narrowest
      ? `layer ${Math.floor(narrowest.index / perLayer) + 1}, head ${(narrowest.index % perLayer) + 1}: ${fixed(narrowest.value)} bits`
      : "–",
    divergence: fixed(latest("symbiosis_kl")),
    validity: validity === null ? "–" : `${Math.floor(100 * validity)} %`,
  };
}
