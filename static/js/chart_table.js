// Every chart of the page by name: what it draws, the columns of the metrics that it draws from, and whether of the runs beside, too.

import { bitsFigure, gradientFigure, headsFigure, sampleFigure } from "./anatomy_figures.js";
import { differenceFigure, lossFigure, telemetryFigure, throughputFigure } from "./figures.js";
import { attentionFigure, costFigure, depthFigure, memoryFigure } from "./inside_figures.js";
import { rateFigure } from "./rate_figures.js";

/** @type {Object<string, {figure: function(import("./plot.js").ChartInput): object, columns: string[], isBeside?: boolean}>} */
export const CHARTS = {
  loss: { figure: lossFigure, columns: ["bits_per_byte", "validation_bits_per_byte", "validation_bound_bits_per_byte", "compressed_bits_per_byte"], isBeside: true },
  difference: { figure: differenceFigure, columns: [] }, // the service's difference, not a column
  telemetry: { figure: telemetryFigure, columns: ["K", "C", "S"], isBeside: true },
  throughput: { figure: throughputFigure, columns: ["bytes_per_s"] },
  attention: { figure: attentionFigure, columns: ["attention_entropy", "attention_entropy_layers"], isBeside: true },
  depth: { figure: depthFigure, columns: ["depth_mean"], isBeside: true },
  memory: { figure: memoryFigure, columns: ["resident_bytes"] },
  cost: { figure: costFigure, columns: ["telemetry_share"] },
  bits: { figure: bitsFigure, columns: ["validation_bits_per_bit"] },
  heads: { figure: headsFigure, columns: ["attention_entropy_heads"] },
  gradient: { figure: gradientFigure, columns: ["gradient_norm", "gradient_norm_blocks"], isBeside: true },
  rate: { figure: rateFigure, columns: ["learning_rate"], isBeside: true },
  sample: { figure: sampleFigure, columns: ["symbiosis_kl", "utf8_validity"], isBeside: true },
};
