// A text file from the reader's own disk: chosen or dropped, read in the page, sent as text.

import { prefixed } from "./format.js";

const IDLE = "Drop a text file here, or choose one";

/** Bytes that everything else in a request may take. */
const OTHER_BYTES = 4096;

/** A file that cannot be sent, as a sentence for people. */
export class UploadError extends Error {}

/**
 * A file's text, if it is text and fits in a request.
 * @param {File} file
 * @param {number} maxBytes Of a request's body.
 * @returns {Promise<string>}
 * @throws {UploadError}
 */
export async function readText(file, maxBytes) {
  const limit = `a request holds ${prefixed(maxBytes, "B")} (BITLM_MAX_BODY_BYTES). Put the file on BitLM's computer and give its path`;
  if (file.size + OTHER_BYTES > maxBytes) throw new UploadError(`${file.name} has ${prefixed(file.size, "B")}; ${limit}.`);
  if (file.size === 0) throw new UploadError(`${file.name} is empty; choose a file with text.`);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
  } catch (error) {
    if (!(error instanceof TypeError)) throw new UploadError(`${file.name} could not be read: ${error.message}`);
    throw new UploadError(`${file.name} is not UTF-8 text. Put it on BitLM's computer and give its path: from there any bytes will do.`);
  }
  const sent = new Blob([JSON.stringify(text)]).size;
  if (sent + OTHER_BYTES > maxBytes) {
    throw new UploadError(`${file.name} takes ${prefixed(sent, "B")} when it is sent as JSON; ${limit}.`);
  }
  return text;
}

/** The part of the form that takes the file. */
export class Upload {
  /**
   * @param {HTMLDialogElement} dialog A file may be dropped anywhere on it.
   * @param {number} maxBytes
   * @param {function(): void} onChange Called when there is another text, or none any more.
   */
  constructor(dialog, maxBytes, onChange) {
    this.place = dialog.querySelector("[data-drop]");
    this.said = this.place.querySelector("[data-uploaded]");
    this.input = this.place.querySelector("input");
    this.kinds = dialog.querySelector("form").elements.text_kind;
    this.maxBytes = maxBytes;
    this.onChange = onChange;
    /** @type {?{name: string, text: string, bytes: number}} */
    this.chosen = null;
    this.input.addEventListener("change", () => {
      if (this.input.files.length) this.#take(this.input.files[0]);
    });
    dialog.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      dialog.classList.add("dropping");
    });
    for (const end of ["dragleave", "drop"]) dialog.addEventListener(end, () => dialog.classList.remove("dropping"));
    dialog.addEventListener("drop", (event) => {
      const [file] = event.dataTransfer.files;
      if (!file) return;
      event.preventDefault();
      this.#take(file);
    });
  }

  async #take(file) {
    this.kinds.value = "uploaded";
    this.chosen = null;
    try {
      const text = await readText(file, this.maxBytes);
      this.chosen = { name: file.name, text, bytes: file.size };
      this.#say("chosen", `${file.name}, ${prefixed(file.size, "B")}`);
    } catch (error) {
      if (!(error instanceof UploadError)) throw error;
      this.#say("refused", error.message);
    }
    this.input.setCustomValidity(this.chosen ? "" : this.said.textContent);
    this.onChange();
  }

  #say(state, sentence) {
    this.place.dataset.state = state;
    this.said.textContent = sentence || IDLE;
  }
}
