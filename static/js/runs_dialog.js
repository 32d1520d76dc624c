// All runs: open, name, tag, put away, delete, hand over, and lay beside the live one.

import { button, element } from "./dom.js";
import { sentence } from "./events.js";
import { fixed, whole } from "./format.js";
import { comparisonTables } from "./comparison.js";

const FORMATS = { csv: "CSV", jsonl: "JSONL", report: "report", capsule: "capsule" };
const FORMAT_HINTS = {
  csv: "Every step's figures at full precision",
  jsonl: "Every step and every event at full precision",
  report: "One page with charts and journal; needs no network",
  capsule: "Texts, settings, journal and hashes: anyone can verify it with `python -m bitlm verify`",
};

/** Tags as typed, with commas between. @param {string} typed @returns {string[]} */
export const tagsOf = (typed) => [...new Set(typed.split(",").map((tag) => tag.trim()).filter(Boolean))];

/** The dialog with the list and what differs between the runs chosen in it. */
export class RunsDialog {
  /**
   * @param {HTMLDialogElement} dialog
   * @param {object} context Store, api and toasts.
   * @param {import("./branching.js").Branching} branching
   * @param {import("./overlays.js").Overlays} overlays
   * @param {function(string, string): Promise<boolean>} confirm
   */
  constructor(dialog, { store, api, feed, toasts }, branching, overlays, confirm) {
    Object.assign(this, { dialog, store, api, feed, toasts, branching, overlays, confirm });
    this.rows = dialog.querySelector("[data-runs]");
    this.none = dialog.querySelector("[data-no-runs]");
    this.archived = dialog.querySelector("[data-show-archived]");
    this.comparison = dialog.querySelector("[data-comparison]");
    this.runs = [];
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    this.archived.addEventListener("change", () => this.#show());
    store.subscribe((state, previous) => {
      const changed = ["status", "overlays", "busy"].filter((part) => state[part] !== previous[part]);
      if (!dialog.open || changed.length === 0) return;
      const isAnother = state.status?.run_id !== previous.status?.run_id || state.status?.state !== previous.status?.state;
      if (isAnother) this.refresh();
      else if (changed.includes("overlays") || changed.includes("busy")) this.#show();
      if (changed.includes("overlays")) this.#compare();
    });
  }

  /** Show the list. */
  open() {
    this.dialog.showModal();
    this.refresh();
    this.#compare();
  }

  /** @returns {Promise<void>} */
  async refresh() {
    try {
      ({ runs: this.runs } = await this.api.runs());
    } catch (error) {
      this.toasts.problem(error);
    }
    this.#show();
  }

  async #ask(command) {
    try {
      await command();
    } catch (error) {
      this.toasts.problem(error);
    }
    await this.refresh();
  }

  async #compare() {
    const beside = this.overlays.shown;
    const runId = this.store.get().status?.run_id;
    this.comparison.hidden = beside.length === 0 || !runId;
    if (this.comparison.hidden) return;
    try {
      const found = await this.api.compare([runId, ...beside]);
      this.comparison.replaceChildren(...comparisonTables(found));
    } catch (error) {
      this.toasts.problem(error);
    }
  }

  #show() {
    if (this.rows.contains(document.activeElement) && document.activeElement.matches('input[type="text"]')) return;
    const shown = this.runs.filter((run) => !run.archived || this.archived.checked);
    this.none.hidden = shown.length > 0;
    this.rows.replaceChildren(...shown.map((run) => this.#row(run)));
  }

  #row(run) {
    const { run_id: runId, live: isLive } = run;
    const obstacle = isLive ? "This run is live already" : this.branching.obstacle;
    return element(
      "tr",
      { dataset: { run: runId, live: String(isLive), archived: String(run.archived) } },
      element("td", {}, this.#besideBox(runId, isLive)),
      element("td", {}, this.#nameField(run), element("span", { className: "run-id", textContent: runId })),
      element("td", {}, this.#tagsField(run)),
      element("td", { className: "figure", textContent: whole(run.step) }),
      element("td", { className: "figure", textContent: fixed(run.validation_bits_per_byte, 3) }),
      element("td", { className: "quiet" }, branchOf(run)),
      element(
        "td",
        { className: "run-actions" },
        isLive
          ? element("span", { className: "live-mark", textContent: "live" })
          : button("Open", () => this.branching.open(runId), {
            className: "small", "aria-label": `Open run ${runId}`, disabled: obstacle !== null, title: obstacle ?? "Take this run live where it was",
          }),
        ...Object.entries(FORMATS).map(([format, label]) => element("a", {
          href: this.api.exportUrl(runId, format), download: "", textContent: label, title: FORMAT_HINTS[format],
          "aria-label": `Export run ${runId} as ${label}`,
        })),
        button(run.archived ? "Take out" : "Archive", () =>
          this.#ask(() => this.api.label(runId, { archived: !run.archived })), {
          className: "plain small", "aria-label": `${run.archived ? "Take out of the archive" : "Archive"} run ${runId}`,
        }),
        button("Delete", () => this.#delete(run), { className: "plain small", "aria-label": `Delete run ${runId}` }),
      ),
    );
  }

  #besideBox(runId, isLive) {
    return element("input", {
      type: "checkbox", checked: isLive || this.overlays.shown.includes(runId), disabled: isLive || !this.store.get().status?.run_id,
      "aria-label": `Draw run ${runId} beside the live one`,
      on: { change: ({ target }) => this.overlays.toggle(runId, target.checked) },
    });
  }

  #field(value, placeholder, label, onChange) {
    const field = element("input", {
      type: "text", className: "quiet-field", value, placeholder, maxLength: 100, "aria-label": label,
      on: {
        change: () => {
          field.blur();
          this.#ask(() => onChange(field.value.trim()));
        },
      },
    });
    return field;
  }

  #nameField({ run_id: runId, name }) {
    return this.#field(name ?? "", "name it", `Name of run ${runId}`, (typed) => this.api.label(runId, { name: typed || null }));
  }

  #tagsField({ run_id: runId, tags }) {
    return this.#field(tags.join(", "), "tags", `Tags of run ${runId}, with commas between`, (typed) =>
      this.api.label(runId, { tags: tagsOf(typed) }));
  }

  async #delete({ run_id: runId, name, step, live: isLive }) {
    const { obstacle } = this.branching;
    if (isLive && obstacle) {
      this.toasts.problem({ title: "The live run cannot be deleted now", detail: `${obstacle}.` });
      return;
    }
    const called = name ? `${name} (${runId})` : runId;
    const isSure = await this.confirm(`Delete run ${called}?`,
      `Its ${whole(step)} steps of metrics, its journal and its checkpoints are gone for good.`);
    if (!isSure) return;
    await this.#ask(() => this.api.deleteRun(runId));
    if (this.overlays.shown.includes(runId)) await this.overlays.toggle(runId, false);
    await this.feed.refresh();
  }
}

function branchOf({ origin }) {
  if (!origin) return "";
  const { run_id: parent, change, undo, instead } = origin;
  if (!change) return `fork of ${parent} at ${whole(origin.step)}`;
  const told = `${sentence({ ...change, at: 0 })} at ${whole(change.step)}`;
  if (undo) return `${parent} before ${told}`;
  return `twin of ${parent} ${instead ? "with another value than" : "without"} ${told}`;
}
