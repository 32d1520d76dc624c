// The list of checkpoints, beside that of events: save, name, branch off, delete.

import { button, element } from "./dom.js";
import { clock, fixed, prefixed, whole } from "./format.js";
import { permit } from "./run_controls.js";
import { CHANGES, obstacles } from "./run_state.js";

const NEWS = new Set(["checkpoint_saved", "checkpoint_damaged", "checkpoint_deleted", "run_forked", "run_resumed"]);

/** Keeps the list of the live run's checkpoints. */
export class CheckpointList {
  /**
   * @param {HTMLElement} panel
   * @param {object} context Store, api and toasts.
   * @param {function(number): void} onFork Called with a checkpoint's step.
   * @param {function(string, string): Promise<boolean>} confirm
   */
  constructor(panel, { store, api, toasts }, onFork, confirm) {
    this.store = store;
    this.api = api;
    this.toasts = toasts;
    this.onFork = onFork;
    this.confirm = confirm;
    this.list = panel.querySelector("[data-checkpoints]");
    this.none = panel.querySelector("[data-no-checkpoints]");
    this.saveButton = panel.querySelector("[data-save]");
    this.count = panel.querySelector("[data-checkpoint-count]");
    this.checkpoints = [];
    this.asked = 0; // times, for the list
    this.saveButton.addEventListener("click", () => this.#ask((id) => this.api.saveCheckpoint(id)));
    store.subscribe((state, previous) => this.#notice(state, previous));
  }

  /** @returns {Array<object>} The undamaged ones, the newest first. */
  get whole() {
    return this.checkpoints.filter(({ state }) => state === "good");
  }

  #notice(state, previous) {
    permit(this.saveButton, obstacles(state).save);
    const runId = state.status?.run_id ?? null;
    const newest = state.events.findLast(({ kind }) => NEWS.has(kind))?.event_id ?? 0;
    const isBranchable = obstacles(state).branch === null;
    if (runId !== this.runId || newest !== this.newest) {
      [this.runId, this.newest] = [runId, newest];
      this.refresh();
    } else if (isBranchable !== (obstacles(previous).branch === null)) this.#show();
  }

  /** Of several answers the one asked for last is shown, whichever comes last. @returns {Promise<void>} */
  async refresh() {
    const asked = (this.asked += 1);
    const { runId } = this;
    const unanswered = { checkpoints: this.listed === runId ? this.checkpoints : [] }; // what is known of a run stays
    const { checkpoints } = runId ? await this.api.checkpoints(runId).catch(() => unanswered) : { checkpoints: [] };
    if (asked !== this.asked) return;
    [this.checkpoints, this.listed] = [checkpoints, runId];
    this.store.update({ checkpoints });
    this.#show();
  }

  async #ask(command) {
    try {
      await command(this.runId);
    } catch (error) {
      this.toasts.problem(error);
    }
    await this.refresh();
  }

  #show() {
    this.none.hidden = this.checkpoints.length > 0;
    this.count.textContent = this.checkpoints.length || "";
    if (this.list.contains(document.activeElement) && document.activeElement.matches("input")) return;
    this.list.replaceChildren(...this.checkpoints.map((checkpoint) => this.#row(checkpoint)));
  }

  #row({ step, at, name, bytes, validation_bits_per_byte: bpb, state, is_best: isBest, weights_sha256: hash }) {
    const obstacle = obstacles(this.store.get()).branch;
    const field = element("input", {
      type: "text", className: "quiet-field", value: name ?? "", placeholder: "name it to keep it", maxLength: 100,
      "aria-label": `Name of the checkpoint of step ${step}`, disabled: state !== "good",
      readOnly: Boolean(this.store.get().status?.watching),
      on: {
        change: () => {
          field.blur();
          this.#ask((id) => this.api.nameCheckpoint(id, step, field.value.trim() || null));
        },
      },
    });
    const fork = button("Fork …", () => this.onFork(step), {
      className: "small", "aria-label": `Fork at step ${step}`, disabled: obstacle !== null || state !== "good", title: obstacle ?? "",
    });
    const remove = button("×", () => this.#delete(step), {
      className: "plain small", "aria-label": `Delete the checkpoint of step ${step}`, title: "Delete", dataset: CHANGES,
    });
    const model = state !== "good" ? element("span") : element("a", {
      href: this.api.modelUrl(this.runId, "float32", step), download: "", textContent: "model",
      "aria-label": `Model of the checkpoint of step ${step}`, title: "Its model as a file: for bitlm generate --model",
    });
    const note = state === "good" ? (isBest ? "best" : "") : "damaged";
    return element(
      "li",
      { dataset: { state }, title: `weights ${hash}` },
      element("span", { className: "event-step", textContent: whole(step) }),
      element("span", { className: "event-time", textContent: clock(at) }),
      field,
      element("span", { className: "checkpoint-note", textContent: note }),
      element("span", { className: "checkpoint-quality", textContent: bpb === null ? "" : `${fixed(bpb, 3)} bpb` }),
      element("span", { className: "quiet", textContent: prefixed(bytes, "B") }),
      model,
      fork,
      remove,
    );
  }

  async #delete(step) {
    const question = `Delete the checkpoint of step ${whole(step)}?`;
    if (await this.confirm(question, "Its weights are gone for good; what was measured stays.")) {
      this.#ask((id) => this.api.deleteCheckpoint(id, step));
    }
  }
}

/** The two lists share one place; tabs choose. @param {HTMLElement} panel */
export function connectTabs(panel) {
  const tabs = [...panel.querySelectorAll('[role="tab"]')];
  const select = (chosen) => {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !isChosen;
    }
  };
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      const next = tabs[(index + (key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
      select(next);
      next.focus();
    });
  }
}
