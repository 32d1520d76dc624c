// All runs: find, open, name, tag, put away, throw away, do again, hand over, and lay beside the live one.

import { isUnanswered } from "./api.js";
import { button, element } from "./dom.js";
import { sentence } from "./events.js";
import { fixed, whole } from "./format.js";
import { comparisonTables } from "./comparison.js";
import { CHANGES, obstacles, stateName } from "./run_state.js";
import { DistillationPanel, distilling } from "./distilling.js";
import { Jobs } from "./jobs.js";
import { ModelsPanel, rounding } from "./models.js";
import { replaying } from "./replays.js";
import { matches, nextOrder, sorted } from "./run_table.js";

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
    this.query = dialog.querySelector("[data-search]");
    this.trash = dialog.querySelector("[data-trash]");
    this.runs = [];
    this.asked = 0; // times, for the list
    this.order = { column: "run", isDescending: true };
    this.replays = new Jobs(replaying(api), toasts, () => this.#showJobs());
    this.distillations = new Jobs(distilling(api), toasts, () => this.#showJobs(), () => this.refresh({ isAsked: false }));
    this.roundings = new Jobs(rounding(api), toasts, () => this.#showJobs());
    this.models = new ModelsPanel(dialog.querySelector("[data-models]"), api, this.roundings);
    this.panel = new DistillationPanel(dialog.querySelector("[data-distillation]"), this.distillations, (runId) => this.#open(runId));
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    this.archived.addEventListener("change", () => this.#show());
    this.query.addEventListener("input", () => this.#show());
    this.trash.addEventListener("click", () => {
      this.trash.setAttribute("aria-pressed", String(!this.isTrash));
      this.refresh();
      this.#compare();
    });
    for (const head of dialog.querySelectorAll("[data-sort]")) {
      head.addEventListener("click", () => {
        this.order = nextOrder(this.order, head.dataset.sort);
        this.#show();
      });
    }
    store.subscribe((state, previous) => {
      const changed = ["status", "overlays", "busy"].filter((part) => state[part] !== previous[part]);
      if (!dialog.open || changed.length === 0) return;
      const isAnother = state.status?.run_id !== previous.status?.run_id || state.status?.state !== previous.status?.state;
      if (isAnother) this.refresh({ isAsked: false });
      else if (changed.includes("overlays") || changed.includes("busy")) this.#show();
      if (isAnother || changed.includes("overlays")) this.#compare();
    });
  }

  /** Show the list. */
  open() {
    this.dialog.showModal();
    this.refresh();
    this.#compare();
  }

  /** Whether the trash is shown. */
  get isTrash() {
    return this.trash.getAttribute("aria-pressed") === "true";
  }

  /**
   * Ask for the list; of several answers the one asked for last is shown, whichever comes last.
   * @param {{isAsked?: boolean}} why Whether somebody wanted it: else the header alone says that nobody answers.
   * @returns {Promise<void>}
   */
  async refresh({ isAsked = true } = {}) {
    const asked = (this.asked += 1);
    const { isTrash } = this;
    try {
      const { runs } = await this.api.runs(isTrash);
      if (asked !== this.asked) return;
      this.runs = runs;
      this.replays.adopt(runs);
      this.distillations.adopt(runs);
      this.roundings.adopt(runs);
      if (!isTrash) this.store.update({ runCount: runs.length });
    } catch (error) {
      if (isAsked || !isUnanswered(error)) this.toasts.problem(error);
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
    this.comparison.hidden = beside.length === 0 || !runId || this.isTrash;
    if (this.comparison.hidden) return;
    try {
      const found = await this.api.compare([runId, ...beside]);
      if (beside.join() !== this.overlays.shown.join()) return; // then it was asked again
      this.comparison.replaceChildren(...comparisonTables(found));
    } catch (error) {
      this.toasts.problem(error);
    }
  }

  #show() {
    if (this.rows.contains(document.activeElement) && document.activeElement.matches('input[type="text"]')) return;
    const there = this.runs.filter((run) => !run.archived || this.archived.checked || this.isTrash);
    const shown = sorted(there.filter((run) => matches(run, this.query.value)), this.order);
    this.none.hidden = shown.length > 0;
    this.none.textContent = this.#whyNone(there.length);
    for (const head of this.dialog.querySelectorAll("[data-sort]")) {
      const direction = this.order.isDescending ? "descending" : "ascending";
      head.closest("th").setAttribute("aria-sort", head.dataset.sort === this.order.column ? direction : "none");
    }
    this.rows.replaceChildren(...shown.map((run) => this.#row(run)));
    this.#showJobs();
  }

  #whyNone(count) {
    if (count > 0) return `None of ${whole(count)} has “${this.query.value.trim()}” in its name, id, tags or text.`;
    if (this.isTrash) return "The trash is empty.";
    if (this.runs.length > 0) return `${this.runs.length === 1 ? "The only run is" : `All ${whole(this.runs.length)} are`} archived: tick “archived as well”.`;
    return "There is no run here yet.";
  }

  #showJobs() {
    const { obstacle } = this.replays;
    for (const place of this.rows.querySelectorAll("[data-job]")) {
      const runId = place.closest("tr").dataset.run;
      const { kind, reports } = this[place.dataset.job];
      const report = reports.get(runId);
      const isOver = report && !["running", "cancelled"].includes(report.state);
      place.textContent = report ? kind.words(report) : "";
      place.dataset.outcome = isOver ? (kind.isWell(report) ? "well" : "ill") : "";
    }
    for (const again of this.rows.querySelectorAll("[data-again]")) {
      const runId = again.closest("tr").dataset.run;
      const isRunning = this.replays.isRunning(runId);
      again.textContent = isRunning ? "Cancel" : "Replay";
      again.setAttribute("aria-label", `${isRunning ? "Cancel the replay of run" : "Replay run"} ${runId}`);
      again.disabled = obstacle !== null && !isRunning;
      again.title = isRunning ? "End the replay; what it compared so far is forgotten"
        : obstacle ?? "Do it again beside the live run: every saved hash must come out";
    }
    this.panel.show();
    this.models.show();
  }

  #row(run) {
    const { run_id: runId, live: isLive } = run;
    const obstacle = isLive ? "This run is live already" : obstacles(this.store.get()).open;
    return element(
      "tr",
      { dataset: { run: runId, live: String(isLive), archived: String(run.archived) } },
      element("td", {}, this.#besideBox(runId, isLive)),
      element("td", {}, this.#nameField(run), element("span", { className: "run-id", textContent: runId })),
      element("td", {}, this.#tagsField(run)),
      element("td", { className: "figure", textContent: whole(run.step) }),
      element("td", { className: "figure", textContent: fixed(run.validation_bits_per_byte, 3) }),
      element("td", { className: "quiet" }, branchOf(run)),
      this.isTrash ? this.#trashedActions(run) : this.#actions(run, obstacle),
    );
  }

  #trashedActions(run) {
    const { run_id: runId } = run;
    return element(
      "td",
      { className: "run-actions" },
      button("Restore", () => this.#ask(() => this.api.restore(runId)), {
        className: "small", "aria-label": `Restore run ${runId}`, dataset: CHANGES,
      }),
      button("Delete for good", () => this.#delete(run), {
        className: "plain small", "aria-label": `Delete run ${runId} for good`, dataset: CHANGES,
      }),
    );
  }

  #actions(run, obstacle) {
    const { run_id: runId, live: isLive } = run;
    return element(
      "td",
      { className: "run-actions" },
      isLive
        ? element("span", { className: stateName(this.store.get()) === "training" ? "live-mark beside-pause" : "live-mark", textContent: "live" })
        : this.#openButton(runId, obstacle),
      ...Object.entries(FORMATS).map(([format, label]) => element("a", {
        href: this.api.exportUrl(runId, format), download: "", textContent: label, title: FORMAT_HINTS[format],
        "aria-label": `Export run ${runId} as ${label}`,
      })),
      button("model …", ({ currentTarget }) => this.models.open(runId, currentTarget), {
        className: "plain small", "aria-haspopup": "dialog", "aria-label": `Export the model of run ${runId}`, title: "Its model alone, as one file",
      }),
      button(run.archived ? "Unarchive" : "Archive", () => this.#archive(run, !run.archived), {
        className: "plain small", "aria-label": `${run.archived ? "Unarchive" : "Archive"} run ${runId}`, dataset: CHANGES,
      }),
      button("Delete", () => this.#trash(run), { className: "plain small", "aria-label": `Delete run ${runId}`, dataset: CHANGES }),
      button("distil …", ({ currentTarget }) => this.panel.open(run, currentTarget), {
        className: "plain small", "aria-haspopup": "dialog", "aria-label": `Distil run ${runId}`, dataset: CHANGES, title: "A smaller run that learns from its model",
      }),
      button("Replay", () => (this.replays.isRunning(runId) ? this.replays.cancel(runId) : this.replays.start(runId)), {
        className: "plain small", dataset: { again: "", ...CHANGES },
      }),
      ...["roundings", "distillations", "replays"].map((job) => element("span", { className: "job", role: "status", dataset: { job } })),
    );
  }

  /** The page shows the run that is opened, so the list gives way to it. */
  #open(runId) {
    this.dialog.close();
    this.branching.open(runId);
  }

  #openButton(runId, obstacle) {
    const isTraining = stateName(this.store.get()) === "training";
    const hint = isTraining ? "Pause the run that trains, then take this one live where it was" : "Take this run live where it was";
    const words = isTraining ? "Pause and open" : "Open";
    return button(words, () => this.#open(runId), {
      className: "small", "aria-label": `${words} run ${runId}`, disabled: obstacle !== null, title: obstacle ?? hint,
    });
  }

  async #archive(run, isArchived) {
    const label = (archived) => this.#ask(async () => {
      await this.api.label(run.run_id, { archived });
      if (archived) this.toasts.offer(`Archived ${called(run)}`, "“archived as well” lists it again.", "Undo", () => label(false));
    });
    await label(isArchived);
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
      type: "text", className: "quiet-field", value, placeholder, maxLength: 100, "aria-label": label, readOnly: Boolean(this.store.get().status?.watching),
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
    return this.#field(name ?? "", "name it", `Name of run ${runId}`, async (typed) => {
      await this.api.label(runId, { name: typed || null });
      this.overlays.rename(runId, typed || null);
      await this.#compare();
    });
  }

  #tagsField({ run_id: runId, tags }) {
    return this.#field(tags.join(", "), "tags", `Tags of run ${runId}, with commas between`, (typed) =>
      this.api.label(runId, { tags: tagsOf(typed) }));
  }

  async #trash(run) {
    const { run_id: runId, live: isLive } = run;
    const { obstacle } = this.branching;
    if (isLive && obstacle) {
      this.toasts.problem({ title: "The live run cannot be deleted now", detail: `${obstacle}.` });
      return;
    }
    const index = this.overlays.shown.indexOf(runId);
    await this.#ask(async () => {
      await this.api.trash(runId);
      this.toasts.offer(`Deleted ${called(run)}`, "It is in the trash until you delete it for good.", "Undo", () =>
        this.#ask(async () => {
          await this.api.restore(runId);
          if (isLive) await this.branching.open(runId);
          if (index >= 0) await this.overlays.putBack(runId, index);
        }));
    });
    if (index >= 0) await this.overlays.toggle(runId, false);
    await this.feed.refresh();
  }

  async #delete(run) {
    const { run_id: runId, step } = run;
    const isSure = await this.confirm(`Delete run ${called(run)}?`,
      `Its ${whole(step)} steps of metrics, its journal and its checkpoints are gone for good.`);
    if (!isSure) return;
    await this.#ask(() => this.api.deleteRun(runId));
  }
}

const called = ({ run_id: runId, name }) => (name ? `${name} (${runId})` : runId);

function branchOf({ origin }) {
  if (!origin) return "";
  const { run_id: parent, change, undo, instead } = origin;
  if (origin.distillation) return `student of ${parent} at ${whole(origin.step)}`;
  if (!change) return `${origin.rolled_back ? "rollback" : "fork"} of ${parent} at ${whole(origin.step)}`;
  const told = `${sentence({ ...change, at: 0 })} at ${whole(change.step)}`;
  if (undo) return `${parent} before ${told}`;
  return `twin of ${parent} ${instead ? "with another value than" : "without"} ${told}`;
}
