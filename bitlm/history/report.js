// Draws the charts of a report from the JSON in the page; Plotly lies in the page as well.
"use strict";

const run = JSON.parse(document.getElementById("run").textContent);
const LABEL_HEIGHT_PX = 13;
const CHARACTER_PX = 5.6;
const FEW_POINTS = 60;
const SMOOTHING = 0.02;
const NARROW_PX = 500;
const MARGIN = { t: 18, b: 26 };
const COLOURS = ["ink", "muted", "surface", "line", "grid", "training", "validation", "K", "C", "S", "attention",
  "compressor", "order", "marker", "alert"];

const lastStep = run.metrics.step.at(-1) ?? 0;
const steps = [0, Math.max(20, lastStep) * 1.01];

/** Plotly cannot read CSS custom properties: the theme's colours as the browser resolved them. */
function themeColours() {
  const probe = document.body.appendChild(document.createElement("span"));
  const colours = Object.fromEntries(COLOURS.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  }));
  probe.remove();
  return colours;
}

/** One column against the steps, empty cells left out. */
function series(name) {
  const rows = [...run.metrics.step.keys()].filter((row) => run.metrics[name][row] !== null);
  return { x: rows.map((row) => run.metrics.step[row]), y: rows.map((row) => run.metrics[name][row]) };
}

/** Sums of values and weights up to each point, fading over `span` steps. */
function fading({ x, y }, span) {
  let [sum, weight] = [0, 0];
  return y.map((value, index) => {
    const fade = index ? Math.exp(-Math.abs(x[index] - x[index - 1]) / span) : 0;
    [sum, weight] = [sum * fade + value, weight * fade + 1];
    return [sum, weight];
  });
}

/** The mean of the neighbours on both sides, weighted by exp(−distance ÷ span). */
function smooth({ x, y }) {
  const span = SMOOTHING * Math.max(50, lastStep);
  const before = fading({ x, y }, span);
  const after = fading({ x: [...x].reverse(), y: [...y].reverse() }, span).reverse();
  return {
    x,
    y: y.map((value, i) => (before[i][0] + after[i][0] - value) / (before[i][1] + after[i][1] - 1)),
  };
}

function line(name, points, colour, extra = {}) {
  return {
    type: "scatter",
    mode: "lines",
    name,
    ...points,
    line: { color: colour, width: 1.8 },
    hovertemplate: `${name} %{y:.3f}<extra></extra>`,
    ...extra,
  };
}

/** What was measured, faint, and its average course; few points are drawn as they are. */
function course(name, column, colour) {
  const raw = series(column);
  if (raw.x.length < FEW_POINTS) return [line(name, raw, colour)];
  const faint = { opacity: 0.28, line: { color: colour, width: 1 }, hovertemplate: undefined, hoverinfo: "skip" };
  return [line(name, raw, colour, faint), line(name, smooth(raw), colour)];
}

/** Measurements that are there at some steps only: points, joined. */
function sparse(name, column, colour) {
  const points = series(column);
  const marker = { color: colour, size: points.x.length > 80 ? 3 : 5 };
  return line(name, points, colour, { mode: "lines+markers", line: { color: colour, width: 1.4 }, marker });
}

const escapeMarkup = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Vertical lines on a hidden axis from 0 to 1, so that hovering one tells its story. */
function markerTrace(markers, colour) {
  const heights = [0, 0.25, 0.5, 0.75, 1, null];
  const told = markers.map(({ step, story }) => [`step ${step}`, ...story].map(escapeMarkup).join("<br>"));
  return {
    type: "scatter",
    mode: "lines",
    name: "journal",
    x: markers.flatMap(({ step }) => heights.map((height) => (height === null ? null : step))),
    y: markers.flatMap(() => heights),
    text: told.flatMap((text) => heights.map(() => text)),
    yaxis: "y2",
    opacity: 0.7,
    line: { color: colour, width: 1, dash: "dot" },
    hovertemplate: "%{text}<extra></extra>",
  };
}

/** Labels over the lines that have room for one: alerts first, and of the others the newest. */
function markerLabels(colours, width) {
  const taken = [];
  const ordered = [...run.markers].reverse().sort((one, other) => other.alert - one.alert);
  return ordered.flatMap(({ step, label, alert }) => {
    const half = (label.length * CHARACTER_PX) / 2 + 3;
    const at = ((step - steps[0]) / (steps[1] - steps[0])) * width;
    const centre = Math.min(Math.max(at, half), width - half);
    if (taken.some(([other, room]) => Math.abs(other - centre) < half + room)) return [];
    taken.push([centre, half]);
    const font = { size: 10.5, color: alert ? colours.alert : colours.muted };
    const place = { x: step, xshift: centre - at, yref: "paper", y: 1, xanchor: "center", yanchor: "bottom" };
    return [{ ...place, text: escapeMarkup(label), showarrow: false, borderpad: 0, font }];
  });
}

/** Moves labels apart by the least that keeps their order: down from the top, then up from the bottom. */
function apart(pixels, low, high) {
  const placed = [...pixels];
  placed.forEach((pixel, i) => { placed[i] = Math.max(pixel, i ? placed[i - 1] + LABEL_HEIGHT_PX : low); });
  for (let i = placed.length - 1; i >= 0; i -= 1) {
    placed[i] = Math.min(placed[i], i + 1 < placed.length ? placed[i + 1] - LABEL_HEIGHT_PX : high);
  }
  return placed;
}

/** Names at the right edge, level with the lines they name. */
function edgeLabels(levels, range, height) {
  const seen = levels.filter(({ value }) => value >= range[0] && value <= range[1])
    .sort((one, other) => other.value - one.value);
  const pixels = seen.map(({ value }) => ((range[1] - value) / (range[1] - range[0])) * height);
  const placed = apart(pixels, 0, height);
  return seen.map(({ value, label, colour }, i) => ({
    xref: "paper", x: 1, y: value, text: label, showarrow: true, arrowhead: 0, arrowwidth: 0.7, arrowcolor: colour,
    ax: 12, ay: placed[i] - pixels[i], xanchor: "left", yanchor: "middle", font: { color: colour, size: 10.5 },
  }));
}

const levelLine = ({ value, colour, dash }) => ({
  type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { color: colour, width: 1, dash },
  opacity: 0.7, layer: "below",
});

/** All measurements, the lines passed on the way, and the next one below. */
function qualityRange(values, levels) {
  const finite = values.filter(Number.isFinite);
  const [lowest, highest] = finite.length ? [Math.min(...finite), Math.min(12, Math.max(...finite))] : [1, 8];
  const below = levels.map(({ value }) => value).filter((value) => value < lowest && value > lowest - 1.5);
  const next = Math.max(...levels.map(({ value }) => value).filter((value) => value < lowest), -Infinity);
  const bottom = Math.min(lowest, ...below, Number.isFinite(next) ? next : lowest);
  const pad = Math.max(0.1, (highest - bottom) * 0.06);
  return [bottom - pad, highest + pad];
}

function quality(colours) {
  const levels = Object.entries(run.baselines).map(([name, value]) => {
    const isOrder = name.startsWith("order");
    const colour = isOrder ? colours.order : colours.compressor;
    return { value, label: `${name} ${value.toFixed(2)}`, colour, dash: isOrder ? "dot" : "solid" };
  });
  const training = course("training", "bits_per_byte", colours.training);
  const heldOut = sparse("held out", "validation_bits_per_byte", colours.validation);
  const range = qualityRange([...training.at(-1).y, ...heldOut.y], levels);
  return { data: [...training, heldOut], levels, range, tickformat: ".2~f" };
}

function telemetry(colours) {
  const data = [...course("K", "K", colours.K), sparse("C", "C", colours.C), sparse("S", "S", colours.S)];
  const highest = Math.max(1, ...run.metrics.C.filter((value) => value !== null));
  return { data, levels: [], range: [0, highest * 1.04], tickformat: ".2~f" };
}

function rate(colours) {
  const points = series("learning_rate");
  const hovertemplate = "learning rate %{y:.3g}<extra></extra>";
  const data = [line("learning rate", points, colours.ink, { hovertemplate })];
  return { data, levels: [], range: [0, Math.max(...points.y, 1e-9) * 1.08], tickformat: "~g" };
}

/** Between two colours as the browser resolved them. */
function between(first, second, share) {
  const [one, other] = [first, second].map((colour) => colour.match(/\d+(\.\d+)?/g).map(Number));
  return `rgb(${one.map((value, i) => Math.round(value + share * (other[i] - value))).join(", ")})`;
}

/** A column with a figure for each part: a line each, from one colour to the other, and its name at the edge. */
function parts(column, names, { training, validation }, toHeight = (value) => value) {
  const { x, y: lists } = series(column);
  const colour = (i) => between(training, validation, i / Math.max(1, lists[0].length - 1));
  const part = (i) => ({ x, y: lists.map((list) => list[i]) });
  const indexes = [...(lists[0] ?? []).keys()];
  return {
    data: indexes.map((i) => line(names[i] ?? `${i}`, part(i), colour(i), { line: { color: colour(i), width: 1.2 } })),
    labels: indexes.map((i) => ({ value: toHeight(lists.at(-1)[i]), label: names[i] ?? `${i}`, colour: colour(i) })),
  };
}

function bits(colours) {
  const { data, labels } = parts("validation_bits_per_bit", ["b7", "b6", "b5", "b4", "b3", "b2", "b1", "b0"], colours);
  return { data, levels: [], labels, range: [0, Math.max(0.1, ...labels.map(({ value }) => 1.6 * value))], tickformat: ".2~f" };
}

function gradient(colours) {
  const layers = Array.from({ length: run.layers }, (_, i) => `layer ${i + 1}`);
  const { data, labels } = parts("gradient_norm_blocks", ["embedding", ...layers, "head", "mixer"], colours, Math.log10);
  const whole = course("whole", "gradient_norm", colours.compressor);
  const heights = [...whole, ...data].flatMap(({ y }) => y).filter((value) => value > 0).map(Math.log10);
  return {
    data: [...whole, ...data], levels: [], labels, range: [Math.min(...heights) - 0.1, Math.max(...heights) + 0.1],
    tickformat: "~g", yaxis: { type: "log", dtick: 1 },
  };
}

function heads(colours) {
  const { x, y: looks } = series("attention_entropy_heads");
  const names = looks[0].flatMap((layer, i) => layer.map((_, j) => `layer ${i + 1}, head ${j + 1}`));
  const map = {
    type: "heatmap", x: [...x, lastStep + 1], y: [...names.keys()], z: names.map((_, row) => looks.map((look) => look.flat()[row])),
    text: names.map((name) => x.map(() => name)), hovertemplate: "%{text}: %{z:.2f} bits<extra></extra>", zmin: 0,
    colorscale: [[0, colours.grid], [1, colours.attention]], colorbar: { thickness: 8, outlinewidth: 0, xpad: 8 },
  };
  const perLayer = looks[0][0].length;
  const yaxis = {
    showgrid: false, tickvals: looks[0].map((_, i) => (i + 0.5) * perLayer - 0.5), ticktext: looks[0].map((_, i) => `layer ${i + 1}`),
  };
  return { data: [map], levels: [], range: [names.length - 0.5, -0.5], yaxis };
}

const FIGURES = { quality, telemetry, rate, bits, gradient, heads };

/** A chart of what older runs have not measured is left out. */
function isMeasured(element) {
  const card = element.closest("[data-needs]");
  if (!card) return true;
  card.hidden = series(card.dataset.needs).x.length === 0;
  return !card.hidden;
}

function draw() {
  const colours = themeColours();
  const font = { family: getComputedStyle(document.body).fontFamily, size: 11, color: colours.ink };
  const axis = { gridcolor: colours.grid, zeroline: false, tickfont: { size: 11, color: colours.muted } };
  for (const [id, figure] of Object.entries(FIGURES)) {
    const element = document.getElementById(id);
    if (!isMeasured(element)) continue;
    const { data, levels, labels = [], range, tickformat, yaxis = {} } = figure(colours);
    const [width, height] = [element.clientWidth, element.clientHeight];
    const margin = { ...MARGIN, l: 46, r: levels.length || labels.length || width > NARROW_PX ? 84 : 10, pad: 0 };
    const [plotWidth, plotHeight] = [width - margin.l - margin.r, height - margin.t - margin.b];
    const [alerts, changes] = [true, false].map((alert) => run.markers.filter((marker) => marker.alert === alert));
    const markers = [markerTrace(changes, colours.marker), markerTrace(alerts, colours.alert)];
    Plotly.react(element, [...markers, ...data], {
      width, height, margin, font,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: false,
      hovermode: "x unified",
      hoverlabel: { bgcolor: colours.surface, bordercolor: colours.line, font: { size: 12, color: colours.ink } },
      dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
      xaxis: {
        ...axis, range: steps, tickformat: ",d", nticks: width < NARROW_PX ? 5 : 9, showgrid: false, showline: true,
        linecolor: colours.line, ticks: "outside", ticklen: 3, tickcolor: colours.line, spikethickness: 1,
      },
      yaxis: { ...axis, range, nticks: 6, tickformat, ...yaxis },
      yaxis2: { overlaying: "y", range: [0, 1], fixedrange: true, visible: false },
      shapes: levels.map(levelLine),
      annotations: [...edgeLabels([...levels, ...labels], range, plotHeight), ...markerLabels(colours, plotWidth)],
    }, { displayModeBar: false, responsive: false, showTips: false });
  }
}

draw();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
new ResizeObserver(draw).observe(document.querySelector("main"));
