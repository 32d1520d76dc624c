// Going another way: forks, twins, undone changes, other runs. Each takes another run live.

import { button, element } from "./dom.js";
import { fieldName, isChange, sentence, sourceName } from "./events.js";
import { clock, setting, whole } from "./format.js";
import { placeBeside } from "./popover.js";
import { obstacles } from "./run_state.js";

/** What is done to a run's past, as commands with an answer everyone sees. */
export class Branching {
  /** @param {object} context Store, api, feed and toasts. */
  constructor({ store, api, feed, toasts }) {
    this.store = store;
    this.api = api;
    this.feed = feed;
    this.toasts = toasts;
  }

  /**
   * Ask for something that takes a while.
   * @param {string} title What goes on meanwhile.
   * @param {function(): Promise<object>} ask
   * @returns {Promise<?object>} The answer, or null when it was refused and the reader was told.
   */
  async command(title, ask) {
    this.store.update({ busy: { title } });
    try {
      return await ask();
    } catch (error) {
      this.toasts.problem(error);
      return null;
    } finally {
      this.store.update({ busy: null });
      await this.feed.refresh();
    }
  }

  /** @param {string} runId Take it live. @returns {Promise<?object>} */
  open(runId) {
    return this.command("Opening the run", () => this.api.open(runId));
  }

  /** @param {object} event @param {?object} instead @returns {Promise<?object>} */
  twin({ run_id: runId, event_id: eventId }, instead = null) {
    const change = { event_id: eventId, ...(instead && { instead }) };
    return this.command("Making the twin", () => this.api.twin(runId, change));
  }

  /** @param {object} event @returns {Promise<?object>} */
  undo({ run_id: runId, event_id: eventId }) {
    return this.command("Going back", () => this.api.twin(runId, { event_id: eventId, undo: true }));
  }

  /** Go back to before what went wrong in the live run. @returns {Promise<?object>} */
  rollBack() {
    return this.command("Rolling back", () => this.api.rollBack(this.store.get().status.run_id));
  }

  /** @returns {?string} Why no branch can be made now, or null. */
  get obstacle() {
    return obstacles(this.store.get()).branch;
  }
}

/** The values that a command set, as fields that can be given another value. */
function valuesOf({ kind, payload }) {
  if (kind === "telemetry_changed") return payload.changes.map(({ field, new: value }) => ({ field, value, isShare: true }));
  return kind === "anneal_started" ? [{ field: "steps", value: payload.steps, isShare: false }] : [];
}

function insteadForm(event, onSubmit) {
  const values = valuesOf(event);
  if (values.length === 0) return null;
  const inputs = values.map(({ field, value, isShare }) =>
    element("input", {
      type: "number", name: field, value: setting(value), required: true, step: isShare ? "any" : "1",
      min: isShare ? "0" : "1", max: isShare ? "1" : "1000000", "aria-label": `${fieldName(field)} instead`,
    }));
  const labels = values.map(({ field }, index) => element("label", {}, `${fieldName(field)} `, inputs[index]));
  return element(
    "form",
    {
      className: "instead",
      on: {
        submit: (submitted) => {
          submitted.preventDefault();
          onSubmit(Object.fromEntries(inputs.map((input) => [input.name, input.valueAsNumber])));
        },
      },
    },
    ...labels,
    element("button", { type: "submit", textContent: "Twin with this instead" }),
  );
}

/** The menu of a change or of all that happened at a step: what if it had not been? */
export class ChangeMenu {
  /** @param {HTMLElement} popover @param {object} store @param {Branching} branching @param {function(number): void} onFork */
  constructor(popover, store, branching, onFork) {
    this.popover = popover;
    this.store = store;
    this.branching = branching;
    this.onFork = onFork;
  }

  /** @param {number} step @param {DOMRect} anchor */
  openStep(step, anchor) {
    this.open(this.store.get().events.filter((event) => event.step === step && isChange(event)), anchor);
  }

  /** @param {Array<object>} events @param {DOMRect} anchor */
  open(events, anchor) {
    if (events.length === 0) return;
    this.popover.replaceChildren(
      ...events.map((event) => this.#entry(event)),
      element("p", { className: "quiet", textContent:
        "A twin is this run without the change, trained on the same batches up to the same step: the difference is what the change did." }),
    );
    this.popover.showPopover();
    placeBeside(this.popover, anchor);
    this.popover.querySelector("button:enabled")?.focus();
  }

  #entry(event) {
    const { obstacle } = this.branching;
    const then = (act) => () => {
      this.popover.hidePopover();
      act();
    };
    const state = { disabled: obstacle !== null, title: obstacle ?? "" };
    const form = insteadForm(event, (instead) => then(() => this.branching.twin(event, instead))());
    for (const control of form?.elements ?? []) Object.assign(control, state);
    return element(
      "section",
      { className: "change" },
      element("h3", { textContent: sentence(event) }),
      element("p", { className: "quiet", textContent:
        `step ${whole(event.step)} · ${sourceName(event.source)} · ${clock(event.at)}` }),
      obstacle && element("p", { className: "change-obstacle", textContent: `${obstacle}.` }),
      element(
        "div",
        { className: "buttons" },
        button("Twin without it", then(() => this.branching.twin(event)), { className: "primary", ...state }),
        button("Undo it", then(() => this.branching.undo(event)), {
          ...state, title: obstacle ?? "A new run that goes on from before it; this one stays as it is",
        }),
        button("Fork here …", then(() => this.onFork(event.step)), state),
      ),
      form,
    );
  }
}
