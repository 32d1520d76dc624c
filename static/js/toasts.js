// Short messages at the edge of the page. Errors stay until they are closed.

const NOTE_DURATION_MS = 6000;

/** @typedef {{note: function(string): void, problem: function(Error): void}} Toasts */

/**
 * @param {HTMLElement} region
 * @returns {Toasts}
 */
export function createToasts(region) {
  function show(title, detail, isProblem) {
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
    toast.append(text, close);
    const isRepeated = [...region.children].find((other) => other.textContent === toast.textContent);
    isRepeated?.remove();
    region.append(toast);
    if (!isProblem) setTimeout(() => toast.remove(), NOTE_DURATION_MS);
  }

  return {
    note: (sentence) => show(sentence, "", false),
    problem: (error) => show(error.title ?? "The page met an error", error.detail ?? String(error), true),
  };
}
