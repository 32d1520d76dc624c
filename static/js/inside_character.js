// A character taken apart: its bytes, their bits with the model's probability of each, and what else was likely.

import { button, element } from "./dom.js";
import { fixed, percentage } from "./format.js";

const NAMES = { 9: "tab", 10: "line break", 13: "return", 32: "space" };
const HIGHEST_BIT = 7;
const LEAST_PROBABILITY = 2 ** -53; // as the service counts: no bit costs more than 53 bits

/**
 * A byte as people read it: the character it is by itself, or its number.
 * @param {number} value
 * @returns {string}
 */
export function byteName(value) {
  if (value in NAMES) return NAMES[value];
  return value > 32 && value < 127 ? String.fromCharCode(value) : `0x${value.toString(16).padStart(2, "0")}`;
}

/**
 * @param {string} text One character.
 * @returns {string} It, or what it is called if it cannot be seen.
 */
export function characterName(text) {
  const point = text.codePointAt(0);
  const isSeen = !/^[\p{C}\p{M}\p{Z}]/u.test(text);
  return NAMES[point] ?? (isSeen ? text : `U+${point.toString(16).toUpperCase().padStart(4, "0")}`);
}

/**
 * The bits of a byte, the most significant first.
 * @param {{value: number, probabilities: number[]}} byte Probabilities of the bits as they were emitted.
 * @returns {Array<{name: string, bit: number, probability: number, surprise: number}>} Surprises in bits.
 */
export const bitsOf = ({ value, probabilities }) =>
  probabilities.map((probability, place) => ({
    name: `b${HIGHEST_BIT - place}`,
    bit: (value >> (HIGHEST_BIT - place)) & 1,
    probability,
    surprise: -Math.log2(Math.max(probability, LEAST_PROBABILITY)) + 0, // + 0: no minus sign before zero
  }));

/**
 * What was likely in a byte's place, the emitted one among it wherever it stands.
 * @param {{value: number, probabilities: number[], alternatives: Array<[number, number]>}} byte
 * @returns {Array<{name: string, probability: number, isEmitted: boolean}>} The likeliest first.
 */
export function alternativesOf({ value, probabilities, alternatives }) {
  const own = [value, probabilities.reduce((product, probability) => product * probability, 1)];
  const listed = alternatives.some(([other]) => other === value) ? alternatives : [...alternatives.slice(0, 7), own];
  return listed.map(([other, probability]) => ({ name: byteName(other), probability, isEmitted: other === value }));
}

/**
 * A character in one sentence, for who listens.
 * @param {{text: string, surprise_bits: number, bytes: ?Array<object>}} character
 * @returns {string}
 */
export function characterSentence({ text, surprise_bits: bits, bytes }) {
  const told = `${characterName(text)}, ${fixed(bits, 1)} bits`;
  const likeliest = bytes?.[0].alternatives.slice(0, 3) ?? [];
  if (likeliest.length === 0) return told;
  return `${told}; likeliest: ${likeliest.map(([value, p]) => `${byteName(value)} ${percentage(p)}`).join(", ")}`;
}

const share = (probability) => {
  const bar = element("span");
  bar.style.setProperty("--share", probability);
  return element("td", { className: "share" }, bar);
};

const head = (...titles) =>
  element("thead", {}, element("tr", {}, ...titles.map((title) => element("th", { scope: "col", textContent: title }))));

function bitTable(byte) {
  const rows = bitsOf(byte).map(({ name, bit, probability, surprise }) =>
    element("tr", { title: `The model held ${bit} in ${name} ${percentage(probability)} likely` },
      element("th", { scope: "row", textContent: name }), element("td", { textContent: bit }), share(probability),
      element("td", { textContent: fixed(surprise) })));
  return element("table", { "aria-label": "Bits, the model's probability of each, and its surprise in bits" },
    head("bit", "", "likely", "bits"), element("tbody", {}, ...rows));
}

function alternativeTable(byte) {
  if (byte.alternatives.length === 0) {
    return element("p", { className: "quiet", textContent: "How likely other bytes were is not told: it was decided bit by bit, or denoised." });
  }
  const rows = alternativesOf(byte).map(({ name, probability, isEmitted }) =>
    element("tr", { dataset: { emitted: String(isEmitted) } }, element("th", { scope: "row", textContent: name }),
      share(probability), element("td", { textContent: percentage(probability) })));
  return element("table", { "aria-label": "Likeliest bytes in this place" }, head("likeliest", "", ""), element("tbody", {}, ...rows));
}

function section(byte, index, bytes) {
  const surprise = bitsOf(byte).reduce((sum, bit) => sum + bit.surprise, 0);
  const place = bytes.length > 1 ? `Byte ${index + 1} of ${bytes.length}` : "Byte";
  const number = `0x${byte.value.toString(16).padStart(2, "0")}`;
  return element("section", { className: "inside-byte" },
    element("h3", { textContent: `${place}: ${number} · ${fixed(surprise)} bits` }), bitTable(byte), alternativeTable(byte));
}

/** What one character is made of, beside it. */
export class CharacterPanel {
  /**
   * @param {HTMLElement} popover
   * @param {function(HTMLElement, DOMRect): void} place Puts the popover beside a rectangle.
   * @param {string} unknown What to say of a character whose bytes are not known.
   */
  constructor(popover, place, unknown) {
    this.popover = popover;
    this.place = place;
    this.unknown = unknown;
  }

  /** @returns {boolean} */
  get isOpen() {
    return this.popover.matches(":popover-open");
  }

  /** @param {{text: string, surprise_bits: number, bytes: ?Array<object>}} character @param {DOMRect} anchor */
  open(character, anchor) {
    const { text, surprise_bits: bits, bytes } = character;
    const close = button("×", () => this.close(), { className: "plain small", "aria-label": "Close", tabIndex: -1 });
    this.popover.replaceChildren(
      element("div", { className: "inside-head" }, element("b", { textContent: characterName(text) }),
        element("span", { className: "quiet", textContent: `surprise ${fixed(bits)} bits` }), close),
      ...(bytes?.map(section) ?? [element("p", { className: "quiet", textContent: this.unknown })]),
    );
    if (!this.isOpen) this.popover.showPopover();
    this.place(this.popover, anchor);
  }

  /** Take it away. */
  close() {
    if (this.isOpen) this.popover.hidePopover();
  }
}
