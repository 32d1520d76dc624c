// A denoised text and what it was made of: what is given around it, and what is kept and filled in between.

const NOT_READABLE = "\ufffd";

const encoder = new TextEncoder();

/** @param {?string} text @returns {number} How many bytes it takes. */
export const bytesOf = (text) => encoder.encode(text ?? "").length;

/**
 * @typedef {object} Parts
 * @property {string} prompt
 * @property {Array<string|number>} middle Texts that are kept, and gaps of so many bytes.
 * @property {string} suffix
 */

/**
 * What a request gives and leaves open. Of a template the first text is the prompt and the last the suffix.
 * @param {object} request As the page sends it, or as an event has it.
 * @returns {?Parts} Null for a text that is written from left to right.
 */
export function partsOf(request) {
  const { template, suffix } = request.denoise ?? (request.mode === "diffusion" ? request : {});
  if (!request.denoise && request.mode !== "diffusion") return null;
  if (!template) return { prompt: request.prompt ?? "", middle: [request.max_new_bytes], suffix: suffix ?? "" };
  const isText = (part) => typeof part === "string";
  const first = isText(template[0]) ? 1 : 0;
  const end = template.length - (isText(template.at(-1)) ? 1 : 0);
  return { prompt: first ? template[0] : "", middle: template.slice(first, end), suffix: template[end] ?? "" };
}

/** @param {Parts} parts @returns {boolean[]} Of each byte between prompt and suffix, whether it is kept. */
export const keptBytes = ({ middle }) =>
  middle.flatMap((part) => Array(typeof part === "string" ? bytesOf(part) : part).fill(typeof part === "string"));

/**
 * What is kept before the first gap and after the last: an answer tells only what is between.
 * @param {Parts} parts
 * @returns {[string, string]}
 */
export function edgesOf({ middle }) {
  const isGap = (part) => typeof part !== "string";
  return [middle.slice(0, middle.findIndex(isGap)).join(""), middle.slice(middle.findLastIndex(isGap) + 1).join("")];
}

/** Of what is given every bit was sure. */
const given = (text) => [...text].map((one) => ({
  text: one,
  surprise_bits: 0,
  bytes: [...encoder.encode(one)].map((value) => ({ value, probabilities: Array(8).fill(1), alternatives: [] })),
}));

/** @param {object} character @returns {number} Its bytes; one that is no UTF-8 stands by itself. */
const lengthOf = ({ text, bytes }) => bytes?.length ?? (text === NOT_READABLE ? 1 : bytesOf(text));

/** @param {object} character @returns {boolean} Whether it could be given: what is no UTF-8 has no text to give. */
export const isReadable = ({ text }) => text !== NOT_READABLE;

/**
 * All between prompt and suffix.
 * @param {Parts} parts
 * @param {object[]} characters From the first gap to the last, as an answer has them.
 * @returns {object[]} Each says whether it was kept: `isFrozen`.
 */
export function wholeCharacters(parts, characters) {
  const [before, after] = edgesOf(parts);
  const kept = keptBytes(parts);
  let at = 0;
  return [...given(before), ...characters, ...given(after)].map((character) => {
    const isFrozen = isReadable(character) && kept[at] === true;
    at += lengthOf(character);
    return { ...character, isFrozen };
  });
}

/** @param {Parts} parts @param {object[]} characters All of them. @returns {boolean} Whether they are as many bytes as were asked for. */
export const isComplete = (parts, characters) =>
  characters.reduce((sum, character) => sum + lengthOf(character), 0) === keptBytes(parts).length;

/**
 * The template that keeps some characters and leaves the others open.
 * @param {Parts} parts
 * @param {object[]} characters All between prompt and suffix.
 * @param {boolean[]} frozen Which of them are kept.
 * @returns {Array<string|number>} Begins with the prompt and ends with the suffix, empty ones too.
 */
export function templateOf({ prompt, suffix }, characters, frozen) {
  const middle = [];
  for (const [index, character] of characters.entries()) {
    const part = frozen[index] ? character.text : lengthOf(character);
    if (typeof part === typeof middle.at(-1)) middle.push(middle.pop() + part);
    else middle.push(part);
  }
  return [prompt, ...middle, suffix];
}

/**
 * The same question with another template; a seed that is left open is drawn anew.
 * @param {object} request As the page sent it, or as an event has it.
 * @param {Array<string|number>} template
 * @param {?number} seed
 * @returns {object} The body of POST /infer.
 */
export function refinement(request, template, seed) {
  const { steps, sampler, noise_schedule, block_bytes: block } = request.denoise ?? request;
  const { temperature, top_p } = request;
  return {
    mode: "diffusion", template, steps, sampler, noise_schedule, temperature, top_p, strict: false,
    ...(block ? { block_bytes: block } : {}),
    ...(seed === null ? {} : { seed }),
  };
}
