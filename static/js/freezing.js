// Freezing characters of a denoised text, by pointer and by keys, so that the rest can be denoised again.

import { whole } from "./format.js";
import { permit } from "./run_controls.js";
import { isComplete, isReadable, templateOf } from "./template.js";

const MOST_PARTS = 1024; // of a template
const WAITING = "Once the text is there, what is good of it can be frozen";

/**
 * What freezing has come to, and why the rest cannot be denoised now.
 * @param {boolean[]} frozen
 * @param {number} parts Of the template that it makes.
 * @param {boolean} isAtEnd Whether the last step is shown.
 * @returns {{says: string, obstacle: ?string}}
 */
export function freezingState(frozen, parts, isAtEnd) {
  const count = frozen.filter(Boolean).length;
  const blocked = (says) => ({ says, obstacle: says });
  if (!isAtEnd) return blocked("Go to the last step to freeze characters");
  if (count === 0) return blocked("Freeze what is to stay: click, drag or Space");
  if (count === frozen.length) return blocked("All is frozen: nothing is left to denoise");
  if (parts > MOST_PARTS) return blocked("Too many single characters: freeze longer stretches");
  return { says: `${whole(count)} of ${whole(frozen.length)} characters frozen`, obstacle: null };
}

/** The line below a denoised text, and what a pointer or a key freezes in it. */
export class Freezing {
  /**
   * @param {HTMLElement} place Holds what is said and two buttons.
   * @param {import("./surprise_text.js").SurpriseText} text
   */
  constructor(place, text) {
    this.place = place;
    this.text = text;
    this.says = place.querySelector("[data-freezing-says]");
    this.again = place.querySelector("[data-again]");
    this.free = place.querySelector("[data-unfreeze]");
    this.obstacle = null;
    this.drag = null;
    this.end();
    this.free.addEventListener("click", () => this.#unfreeze());
    const { list } = text;
    list.addEventListener("pointerdown", (event) => this.#press(event));
    list.addEventListener("pointermove", (event) => this.#move(event));
    list.addEventListener("pointerup", () => (this.drag = null));
    list.addEventListener("pointercancel", () => this.#cancel());
    list.addEventListener("dblclick", (event) => this.#look(event));
  }

  /** No text is there that could be denoised again. @param {boolean} isComing Whether one will be: its line stays. */
  end(isComing = false) {
    this.parts = null;
    this.place.hidden = !isComing;
    this.free.hidden = true;
    this.says.textContent = WAITING;
    permit(this.again, WAITING);
    this.#close();
  }

  /**
   * A denoised text is there. Where its bytes are not those that were asked for, nothing of it can be frozen.
   * @param {import("./template.js").Parts} parts
   * @param {object[]} characters All between prompt and suffix.
   * @param {boolean[]} frozen Which of them are; changed with every freezing.
   */
  begin(parts, characters, frozen) {
    if (!isComplete(parts, characters)) return this.end();
    Object.assign(this, { parts, characters, frozen, state: true });
    this.place.hidden = false;
    return this.show(true);
  }

  /** @param {boolean} isAtEnd Whether the text is shown, and not a step on the way to it. */
  show(isAtEnd) {
    if (!this.parts) return;
    this.isAtEnd = isAtEnd;
    if (isAtEnd) this.text.pick((key, from, to) => this.#pick(key, from, to), this.characters.map(isReadable));
    else this.#close();
    this.#paint();
  }

  /** @param {?string} obstacle Why no text can be asked for now. */
  permit(obstacle) {
    this.obstacle = obstacle;
    if (this.parts) this.#say();
  }

  /** @returns {Array<string|number>} What is frozen, and gaps. */
  get template() {
    return templateOf(this.parts, this.characters, this.frozen);
  }

  #close() {
    this.drag = null;
    this.text.pick(null);
  }

  #set(from, to) {
    for (let index = Math.min(from, to); index <= Math.max(from, to); index += 1) {
      if (isReadable(this.characters[index])) this.frozen[index] = this.state;
    }
  }

  /** Space turns a character over; Shift and a key that moves carry that on. */
  #pick(key, from, to) {
    if (key === " ") this.state = !this.frozen[to];
    this.#set(key === " " ? to : Math.max(from, 0), to);
    this.#paint();
  }

  /** Which character is under the pointer, which the list may have captured. */
  #under({ clientX, clientY }) {
    const found = document.elementFromPoint(clientX, clientY)?.closest("[data-index]");
    return this.text.list.contains(found) ? Number(found.dataset.index) : null;
  }

  #press(event) {
    const index = this.parts && this.isAtEnd && event.button === 0 ? this.#under(event) : null;
    if (index === null) return;
    this.drag = { from: index, before: [...this.frozen] };
    this.state = !this.frozen[index];
    this.text.list.setPointerCapture(event.pointerId);
    this.#drag(index);
  }

  #move(event) {
    const index = this.drag ? this.#under(event) : null;
    if (index !== null) this.#drag(index);
  }

  #drag(index) {
    this.frozen.splice(0, Infinity, ...this.drag.before);
    this.#set(this.drag.from, index);
    this.text.point(index);
    this.#paint();
  }

  /** The browser takes the pointer to scroll. */
  #cancel() {
    if (!this.drag) return;
    this.frozen.splice(0, Infinity, ...this.drag.before);
    this.drag = null;
    this.#paint();
  }

  /** Its two clicks have taken each other back. */
  #look(event) {
    const index = this.parts && this.isAtEnd ? this.#under(event) : null;
    if (index !== null) this.text.look(index);
  }

  #unfreeze() {
    this.frozen.fill(false);
    this.state = true;
    this.#paint();
    this.text.list.focus();
  }

  #paint() {
    if (this.isAtEnd) this.text.freeze(this.frozen);
    this.#say();
  }

  #say() {
    const { says, obstacle } = freezingState(this.frozen, this.template.length, this.isAtEnd);
    if (this.says.textContent !== says) this.says.textContent = says;
    permit(this.again, obstacle ?? this.obstacle);
    this.free.hidden = !this.isAtEnd || !this.frozen.includes(true);
  }
}
