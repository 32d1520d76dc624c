// Figures as people read them. Every function answers "–" for a figure there is not.

const NONE = "–";
const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * A whole number with its thousands apart: 12,345.
 * @param {?number} value
 * @returns {string}
 */
export const whole = (value) => (isNumber(value) ? WHOLE.format(value) : NONE);

/**
 * A number with a fixed count of decimals: 2.40.
 * @param {?number} value
 * @param {number} [decimals]
 * @returns {string}
 */
export const fixed = (value, decimals = 2) => (isNumber(value) ? value.toFixed(decimals) : NONE);

/**
 * A setting as it was typed: at most three decimals, no padding.
 * @param {?number} value
 * @returns {string}
 */
export const setting = (value) => (isNumber(value) ? String(Math.round(value * 1000) / 1000) : NONE);

/**
 * A probability or share as a percentage that tells small ones apart: 47.1 %, 0.34 %.
 * @param {number} probability
 * @returns {string}
 */
export function percentage(probability) {
  const percent = 100 * probability;
  if (percent >= 99.95) return "100 %";
  if (percent < 0.01) return "<0.01 %";
  return `${percent.toFixed(percent < 1 ? 2 : 1)} %`;
}

/**
 * Three significant figures with an SI prefix: 12.4 k, 860 k, 1.24 M.
 * @param {?number} value
 * @param {string} [unit]
 * @returns {string}
 */
export function prefixed(value, unit = "") {
  if (!isNumber(value)) return NONE;
  const prefixes = ["", "k", "M", "G", "T"];
  let scaled = Math.abs(value);
  let power = 0;
  while (scaled >= 999.5 && power < prefixes.length - 1) {
    scaled /= 1000;
    power += 1;
  }
  const decimals = power === 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return `${(Math.sign(value) * scaled).toFixed(decimals)} ${prefixes[power]}${unit}`.trimEnd();
}

/**
 * Seconds as a duration: 42 s, 1 m 12 s, 2 h 05 m.
 * @param {?number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  const total = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} m ${two(total % 60)} s`;
  return `${Math.floor(total / 3600)} h ${two(Math.floor((total % 3600) / 60))} m`;
}

/**
 * Unix time as the reader's own time of day: 14:03:21.
 * @param {?number} unixSeconds
 * @returns {string}
 */
export const clock = (unixSeconds) => (isNumber(unixSeconds) ? CLOCK.format(unixSeconds * 1000) : NONE);
