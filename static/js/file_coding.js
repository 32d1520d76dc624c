// A file made small by the live model, or given back: chosen or dropped on its tab, coded by the service, saved by the reader.

import { element } from "./dom.js";
import { bytesOf, download } from "./download.js";
import { duration, fixed, prefixed, whole } from "./format.js";
import { permit } from "./run_controls.js";
import { obstacles } from "./run_state.js";

const SUFFIX = ".bitlm";
const MOST_BYTES = 2 ** 22;
const IDLE = "Choose a file or drop it here: the model makes it small. A .bitlm file comes back to the last byte.";

/** @param {Blob} blob @returns {Promise<string>} Its bytes in base64. */
async function toBase64(blob) {
  const reader = new FileReader();
  const read = new Promise((resolve, reject) => {
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
  });
  reader.readAsDataURL(blob);
  return blob.size ? read : "";
}

/**
 * What a file comes to with the model and with others, the smallest first.
 * @param {{bytes: number, compressed_bytes: number, alone_bytes: Object<string, number>}} answer
 * @returns {Array<{name: string, bytes: number, share: number, isOurs: boolean}>} The share is of the original.
 */
export function sizes({ bytes, compressed_bytes: own, alone_bytes: others }) {
  const all = [["BitLM", own], ...Object.entries(others)];
  return all
    .map(([name, size]) => ({ name, bytes: size, share: bytes ? size / bytes : 1, isOurs: name === "BitLM" }))
    .sort((one, other) => one.bytes - other.bytes);
}

/** @param {object} answer @returns {string} What became of it, in a sentence. */
export function outcome({ bytes, compressed_bytes: small, bits_per_byte: rate, seconds, step, alone_bytes: others }) {
  const time = duration(seconds);
  if (!others) return `${prefixed(bytes, "B")} are back, every byte as it was, after ${time}.`;
  const told = rate === null ? "" : `, ${fixed(rate)} bits per byte`;
  return `${whole(bytes)} → ${whole(small)} bytes${told}, in ${time}. The checkpoint of step ${whole(step)} gives it back, and is kept.`;
}

/** The tab on which files are coded. */
export class FileCoding {
  /**
   * @param {HTMLElement} panel
   * @param {object} context Store, api and toasts.
   */
  constructor(panel, { store, api, toasts }) {
    this.store = store;
    this.api = api;
    this.toasts = toasts;
    this.choose = panel.querySelector("[data-choose]");
    this.input = panel.querySelector("[data-file]");
    this.said = panel.querySelector("[data-says]");
    this.bar = panel.querySelector("progress");
    this.cancelButton = panel.querySelector("[data-cancel]");
    this.saveButton = panel.querySelector("[data-save-file]");
    this.table = panel.querySelector("[data-sizes]");
    this.hangUp = null; // of the file under way
    this.answer = null; // what became of the last one
    this.choose.addEventListener("click", () => this.input.click());
    this.input.addEventListener("change", () => this.#take(this.input.files[0]));
    this.cancelButton.addEventListener("click", () => this.hangUp.abort());
    this.saveButton.addEventListener("click", () => download(bytesOf(this.answer.data), "application/octet-stream", this.answer.name));
    panel.addEventListener("dragover", (event) => {
      if (event.dataTransfer.types.includes("Files")) event.preventDefault();
    });
    panel.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#take(event.dataTransfer.files[0]);
    });
    store.subscribe(() => this.#permit());
    this.#say(IDLE);
  }

  get #obstacle() {
    return this.hangUp ? "A file is under way" : obstacles(this.store.get()).generate;
  }

  #permit() {
    permit(this.choose, this.#obstacle);
  }

  async #take(file) {
    this.input.value = ""; // the same file may be chosen again
    if (!file || this.#obstacle) return;
    if (file.size > MOST_BYTES) {
      this.#say(`${file.name} has ${prefixed(file.size, "B")}; the page takes ${prefixed(MOST_BYTES, "B")}, python -m bitlm compress takes more.`);
      return;
    }
    this.hangUp = new AbortController();
    this.#begin(file);
    try {
      await this.#code(file);
    } catch (error) {
      this.#say(error.name === "AbortError" ? IDLE : `${file.name} was not coded.`);
      if (error.name !== "AbortError") this.toasts.problem(error);
    }
    this.hangUp = null;
    this.bar.hidden = this.cancelButton.hidden = true;
    this.#permit();
  }

  #begin(file) {
    this.#permit();
    this.#say(`${file.name}, ${prefixed(file.size, "B")} …`);
    this.table.hidden = this.saveButton.hidden = true;
    this.bar.removeAttribute("value");
    this.bar.hidden = this.cancelButton.hidden = false;
  }

  async #code(file) {
    const isSmall = file.name.endsWith(SUFFIX);
    const question = { name: file.name, data: await toBase64(file) };
    const ask = isSmall ? this.api.decompress : this.api.compress;
    for await (const line of ask(question, this.hangUp.signal)) {
      if (line.kind === "progress") this.bar.value = line.bytes ? line.done_bytes / line.bytes : 1;
      else this.#show(line);
    }
  }

  #show(answer) {
    this.#say(outcome(answer));
    this.answer = answer;
    this.saveButton.textContent = `Save ${answer.name}`;
    this.saveButton.hidden = false;
    this.table.hidden = !answer.alone_bytes;
    if (answer.alone_bytes) this.table.replaceChildren(...sizes(answer).map(sizeRow));
  }

  #say(sentence) {
    this.said.textContent = sentence;
  }
}

function sizeRow({ name, bytes, share, isOurs }) {
  const bar = element("span", { className: "size-bar", "aria-hidden": "true" }, element("span"));
  bar.firstChild.style.width = `${100 * Math.min(1, share)}%`;
  return element("li", { className: isOurs ? "ours" : "" }, element("b", {}, name), bar, `${whole(bytes)} B`);
}
