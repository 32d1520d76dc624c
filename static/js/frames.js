// A text while it is denoised: what each step knows of it, and a slider over the steps.

import { whole } from "./format.js";
import { bytesOf, keptBytes } from "./template.js";

const MASKED = "░";
const ONE_BYTE_END = 0x80;
const LENGTH_OF_LEAD = [[0xf0, 4], [0xe0, 3], [0xc0, 2]];
const strict = new TextDecoder("utf-8", { fatal: true });

function decoded(bytes) {
  try {
    return strict.decode(Uint8Array.from(bytes));
  } catch {
    return null;
  }
}

/**
 * The characters of a frame as far as they are known; a byte that is not, or is no part of one, stands by itself.
 * @param {(?number)[]} values
 * @param {(?number)[]} confidence The model's probability of each byte.
 * @param {boolean[]} [kept] Of each byte, whether it was given.
 * @returns {{text: string, surprise_bits: number, isFrozen: boolean}[]}
 */
export function frameCharacters(values, confidence, kept = []) {
  const characters = [];
  const bits = (from, to) => confidence.slice(from, to).reduce((sum, share) => sum - Math.log2(Math.max(share, Number.MIN_VALUE)), 0);
  for (let at = 0; at < values.length;) {
    const value = values[at];
    if (value === null) {
      characters.push({ text: MASKED, surprise_bits: 0, isFrozen: false });
      at += 1;
      continue;
    }
    const length = value < ONE_BYTE_END ? 1 : LENGTH_OF_LEAD.find(([lead]) => value >= lead)?.[1] ?? 1;
    const bytes = values.slice(at, at + length);
    const text = bytes.length === length && !bytes.includes(null) ? decoded(bytes) : null;
    const taken = text === null ? 1 : length;
    characters.push({ text: text ?? "\ufffd", surprise_bits: bits(at, at + taken), isFrozen: kept[at] === true });
    at += taken;
  }
  return characters;
}

/** Keeps the frames of the newest attempt, and shows any of them. */
export class Frames {
  /**
   * @param {HTMLElement} place Holds a slider and where its step is said.
   * @param {function(object[], boolean): void} show Shows characters, which are the text that came of it or only on the way to it.
   */
  constructor(place, show) {
    this.place = place;
    this.slider = place.querySelector("input");
    this.label = place.querySelector("strong");
    this.show = show;
    this.frames = [];
    this.last = null;
    this.slider.addEventListener("input", () => this.#seek(this.slider.valueAsNumber));
  }

  /** @param {?import("./template.js").Parts} parts Of another text that is asked for. */
  begin(parts) {
    this.edges = [bytesOf(parts?.prompt), bytesOf(parts?.suffix)];
    this.kept = parts ? keptBytes(parts) : [];
    this.frames = [];
    this.last = null;
    this.place.hidden = true;
  }

  /** @param {object} line A frame. */
  add({ step, steps, values, confidence }) {
    if (step === 0) this.frames = [];
    const [before, after] = this.edges;
    const part = (all) => all.slice(before, all.length - after);
    this.frames.push({ step, steps, characters: frameCharacters(part(values), part(confidence), this.kept) });
    this.place.hidden = false;
    this.slider.max = String(steps);
    this.#seek(this.frames.length - 1);
  }

  /** @param {object[]} characters The text that came of them, to stand at the end of the slider. */
  end(characters) {
    this.last = characters;
  }

  #seek(index) {
    const { step, steps, characters } = this.frames[Math.min(index, this.frames.length - 1)];
    this.slider.value = String(index);
    this.label.textContent = `step ${whole(step)} of ${whole(steps)}`;
    this.slider.setAttribute("aria-valuetext", this.label.textContent);
    const isLast = step === steps && this.last !== null;
    this.show(isLast ? this.last : characters, isLast);
  }
}
