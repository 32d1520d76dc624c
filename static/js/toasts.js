// Short messages at the edge of the page. Errors stay until they are closed.

const NOTE_DURATION_MS = 6000;

/** Long enough to change one's mind. */
const OFFER_DURATION_MS = 12_000;

/**
 * @typedef {object} Toasts
 * @property {function(string): void} note
 * @property {function(Error, ?{label: string, act: function(): void}=): void} problem An error, and what can be done about it.
 * @property {function(string, string, string, function(): void): void} offer Title, detail, and a button with what it does.
 */

/**
 * @param {HTMLElement} region
 * @returns {Toasts}
 */
export function createToasts(region) {
  const home = region.parentElement;

  /** Behind a modal dialog nothing can be read or pressed: while one is open, messages are part of it. */
  function bringToFront() {
    const dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
    if (region.parentElement === (dialog ?? home)) return;
    (dialog ?? home).append(region);
    dialog?.addEventListener("close", bringToFront, { once: true });
  }

  function show(title, detail, isProblem, action = null) {
    const toast = document.createElement("div");
    toast.className = isProblem ? "toast toast-problem" : "toast";
    toast.setAttribute("role", isProblem ? "alert" : "status");
    const text = document.createElement("div");
    const heading = document.createElement("strong");
    heading.textContent = title;
    const sentence = document.createElement("p");
    sentence.textContent = detail;
    text.append(heading, sentence);
    const close = document.createElement("button");
    close.type = "button";
    close.className = "plain";
    close.textContent = "×";
    close.setAttribute("aria-label", "Close this message");
    close.addEventListener("click", () => toast.remove());
    if (action) {
      const act = document.createElement("button");
      act.type = "button";
      act.textContent = action.label;
      act.addEventListener("click", () => {
        toast.remove();
        action.act();
      });
      toast.append(text, act, close);
    } else toast.append(text, close);
    const isRepeated = [...region.children].find((other) => other.textContent === toast.textContent);
    isRepeated?.remove();
    bringToFront();
    region.append(toast);
    if (!isProblem) setTimeout(() => toast.remove(), action ? OFFER_DURATION_MS : NOTE_DURATION_MS);
  }

  return {
    offer: (title, detail, label, act) => show(title, detail, false, { label, act }),
    note: (sentence) => show(sentence, "", false),
    problem: (error, action = null) => show(error.title ?? "The page met an error", error.detail ?? String(error), true, action),
  };
}
