// A text whose characters are coloured by surprise, and can be walked through one by one.

import { element } from "./dom.js";
import { fixed } from "./format.js";
import { characterName, characterSentence } from "./inside_character.js";

/** Lower edges in bits of the colours a character can have; the legend shows the same. */
export const SURPRISE_EDGES = [0, 1, 2, 4, 6, 8, 11, 15];

const AT_THE_END_PX = 24;

/**
 * @param {number} bits
 * @returns {number} Which of the colours, from 0.
 */
export const surpriseLevel = (bits) => SURPRISE_EDGES.findLastIndex((edge) => bits >= edge);

/**
 * Where a key leads in a text.
 * @param {string} key As the browser names it.
 * @param {number} index Where it is pressed; -1 for nowhere yet.
 * @param {number} count Characters in the text.
 * @param {function(number, number): number} line From an index and a direction to the index in the line above or below.
 * @returns {?number} Null for a key that leads nowhere.
 */
export function goal(key, index, count, line) {
  if (count === 0) return null;
  const goals = {
    ArrowRight: () => index + 1,
    ArrowLeft: () => index - 1,
    ArrowDown: () => (index < 0 ? 0 : line(index, 1)),
    ArrowUp: () => (index < 0 ? 0 : line(index, -1)),
    Home: () => 0,
    End: () => count - 1,
    Enter: () => index,
    " ": () => index,
  };
  return key in goals ? Math.max(0, Math.min(goals[key](), count - 1)) : null;
}

/** The characters in a scrolling box, one of which may be looked into. */
export class SurpriseText {
  /**
   * @param {HTMLElement} box Scrolls; holds `[data-characters]`.
   * @param {HTMLElement} reading Where what the pointer or the keys are on is said.
   * @param {import("./inside_character.js").CharacterPanel} panel
   */
  constructor(box, reading, panel) {
    this.box = box;
    this.list = box.querySelector("[data-characters]");
    this.reading = reading;
    this.idle = reading.textContent;
    this.panel = panel;
    this.characters = [];
    this.index = -1;
    this.onPick = null;
    this.list.addEventListener("click", ({ target }) => {
      if (target.dataset.index && !this.onPick) this.look(Number(target.dataset.index));
    });
    this.list.addEventListener("keydown", (event) => this.#press(event));
    this.list.addEventListener("pointerover", ({ target }) => this.#read(this.characters[target.dataset.index]));
    this.list.addEventListener("pointerleave", () => this.#read(this.characters[this.index]));
    this.list.addEventListener("blur", () => this.leave());
    this.box.addEventListener("scroll", () => this.panel.close(), { passive: true });
  }

  /** @param {Array<{text: string, surprise_bits: number}>} characters In place of what is shown. */
  show(characters) {
    this.leave();
    this.characters = [];
    this.list.replaceChildren();
    this.append(characters);
    this.box.scrollTop = 0;
  }

  /** @param {Array<object>} characters After what is shown; who reads the end stays at the end. */
  append(characters) {
    const isAtEnd = this.box.scrollTop + this.box.clientHeight > this.box.scrollHeight - AT_THE_END_PX;
    const first = this.characters.length;
    this.list.append(...characters.map(({ text, surprise_bits: bits, isFrozen }, offset) =>
      element("span", {
        className: `surprise-${surpriseLevel(bits)}${isFrozen ? " frozen" : ""}`, textContent: text, id: `${this.list.dataset.characters}-${first + offset}`,
        role: "option", "aria-selected": "false", "aria-label": characterName(text), dataset: { bits: fixed(bits, 1), index: first + offset },
      })));
    this.characters = [...this.characters, ...characters];
    if (isAtEnd) this.box.scrollTop = this.box.scrollHeight;
  }

  /** Look into no character any more. */
  leave() {
    this.point(-1);
  }

  /** @param {number} index Be at this character, without looking into it; -1 for at none. */
  point(index) {
    this.#mark(index);
    this.panel.close();
    this.#read(this.characters[index]);
  }

  /** @param {number} index Look into this character. */
  look(index) {
    this.#mark(index);
    const span = this.list.children[index];
    span.scrollIntoView({ block: "nearest" });
    this.#read(this.characters[index]);
    span.setAttribute("aria-label", characterSentence(this.characters[index]));
    requestAnimationFrame(() => { // after the scrolling that closes it
      if (this.index === index) this.panel.open(this.characters[index], span.getBoundingClientRect());
    });
  }

  /**
   * Let several characters be picked: a click does not look into them then, nor does Space, nor a key with Shift.
   * @param {?function(string, number, number): void} onPick Told of such a key and of the indices it leads from and to; null to end it.
   * @param {boolean[]} [canBePicked]
   */
  pick(onPick, canBePicked = []) {
    this.onPick = onPick;
    this.list.setAttribute("aria-multiselectable", String(onPick !== null));
    this.list.setAttribute("aria-describedby", onPick ? "character-keys freezing-keys" : "character-keys");
    for (const [index, can] of canBePicked.entries()) if (!can) this.list.children[index].setAttribute("aria-disabled", "true");
  }

  /** @param {boolean[]} frozen Of each character, whether it is picked to stay. */
  freeze(frozen) {
    for (const [index, isFrozen] of frozen.entries()) {
      this.list.children[index].classList.toggle("frozen", isFrozen);
      this.list.children[index].setAttribute("aria-selected", String(isFrozen));
    }
  }

  #press(event) {
    if (event.key === "Escape" && this.panel.isOpen) {
      event.preventDefault();
      this.panel.close();
      return;
    }
    const next = event.ctrlKey || event.metaKey || event.altKey ? null
      : goal(event.key, this.index, this.characters.length, (index, direction) => this.#inLine(index, direction));
    if (next === null) return;
    event.preventDefault();
    if (!this.onPick || (event.key !== " " && !event.shiftKey)) {
      this.look(next);
      return;
    }
    const from = this.index;
    this.point(next);
    this.list.children[next].scrollIntoView({ block: "nearest" });
    this.onPick(event.key, from, next);
  }

  /** The character nearest to straight above or below. */
  #inLine(index, direction) {
    const middle = ({ left, right }) => (left + right) / 2;
    const spans = this.list.children;
    const here = spans[index].getBoundingClientRect();
    let best = index;
    let line = null;
    for (let other = index + direction; other >= 0 && other < spans.length; other += direction) {
      const there = spans[other].getBoundingClientRect();
      if (Math.abs(there.top - here.top) > here.height / 2) {
        line ??= there.top;
        if (Math.abs(there.top - line) > here.height / 2) break;
        const isNearer = Math.abs(middle(there) - middle(here)) < Math.abs(middle(spans[best].getBoundingClientRect()) - middle(here));
        if (best === index || isNearer) best = other;
      }
    }
    return best;
  }

  /** The character that one is at; where several can be picked, these are what is selected. */
  #mark(index) {
    const [before, span] = [this.list.children[this.index], this.list.children[index]];
    before?.classList.remove("current");
    span?.classList.add("current");
    if (!this.onPick) {
      before?.setAttribute("aria-selected", "false");
      span?.setAttribute("aria-selected", "true");
    }
    this.index = index;
    if (span) this.list.setAttribute("aria-activedescendant", span.id);
    else this.list.removeAttribute("aria-activedescendant");
  }

  #read(character) {
    this.reading.textContent = character ? `${characterName(character.text)}: ${fixed(character.surprise_bits, 1)} bits` : this.idle;
  }
}
