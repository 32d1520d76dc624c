// Going another way: forks, twins, undone changes, other runs. Each takes another run live.

import { button, element } from "./dom.js";
import { effectTable } from "./effect_view.js";
import { fieldName, isChange, sentence, sourceName } from "./events.js";
import { clock, setting, whole } from "./format.js";
import { pausedFirst } from "./pausing.js";
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

  /** @param {string} runId Take it live; a run that trains is paused first. @returns {Promise<?object>} */
  open(runId) {
    return this.command("Opening the run", () => pausedFirst(this.store, this.api, () => this.api.open(runId)));
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

/** The menu of what happened at a step: what was before and after it, and what if it had not been? */
export class ChangeMenu {
  /**
   * @param {HTMLElement} popover
   * @param {object} store
   * @param {Branching} branching
   * @param {import("./effects.js").Effects} effects
   * @param {function(number): void} onFork
   */
  constructor(popover, store, branching, effects, onFork) {
    this.popover = popover;
    this.store = store;
    this.branching = branching;
    this.effects = effects;
    this.onFork = onFork;
    this.place = null; // of the table, while the menu is open
    popover.addEventListener("toggle", ({ newState }) => {
      if (newState === "closed") this.place = null;
    });
    store.subscribe((state, previous) => this.#follow(state, previous));
  }

  /**
   * @param {{events: Array<object>, checkpoint: ?object}} marker Or one event alone.
   * @param {DOMRect} anchor
   * @param {?string} chart The chart it was asked on.
   */
  open({ events, checkpoint = null }, anchor, chart = null) {
    if (events.length === 0 && !checkpoint) return;
    const hasChange = events.some(isChange);
    this.eventId = events.at(-1)?.event_id ?? null;
    this.chart = chart;
    this.place = element("div", { className: "change" });
    this.popover.replaceChildren(
      ...events.map((event) => this.#entry(event)),
      ...(checkpoint ? [this.#checkpoint(checkpoint)] : []),
      ...(this.eventId ? [this.place] : []),
      ...(hasChange ? [element("p", { className: "quiet", textContent:
        "The proof is the twin: this run without the change, trained on the same batches up to the same step. The difference is what the change did." })] : []),
    );
    this.#showEffect();
    this.effects.want(this.eventId);
    this.popover.showPopover();
    this.anchor = anchor;
    placeBeside(this.popover, anchor);
    this.popover.querySelector("button:enabled")?.focus();
  }

  #follow({ status, effects }, previous) {
    if (!this.place) return;
    if (status?.step !== previous.status?.step) this.effects.want(this.eventId);
    if (effects[this.eventId] === previous.effects[this.eventId]) return;
    this.#showEffect();
    placeBeside(this.popover, this.anchor);
  }

  #showEffect() {
    this.place.replaceChildren(effectTable(this.store.get().effects[this.eventId], this.chart));
  }

  /** A button that closes the menu and then acts. */
  #action(text, act, extra = {}) {
    const { obstacle } = this.branching;
    const clicked = () => {
      this.popover.hidePopover();
      act();
    };
    return button(text, clicked, { disabled: obstacle !== null, title: obstacle ?? "", ...extra });
  }

  #checkpoint({ step, at, name }) {
    return element(
      "section",
      { className: "change" },
      element("h3", { textContent: name ? `Checkpoint ${name}` : `Checkpoint of step ${whole(step)}` }),
      element("p", { className: "quiet", textContent: `step ${whole(step)} · ${clock(at)}` }),
      element("div", { className: "buttons" }, this.#action("Fork here …", () => this.onFork(step))),
    );
  }

  #entry(event) {
    const { obstacle } = this.branching;
    const change = isChange(event);
    const form = change ? this.#insteadForm(event, obstacle) : null;
    return element(
      "section",
      { className: "change" },
      element("h3", { textContent: sentence(event) }),
      element("p", { className: "quiet", textContent:
        `step ${whole(event.step)} · ${sourceName(event.source)} · ${clock(event.at)}` }),
      change && obstacle ? element("p", { className: "change-obstacle", textContent: `${obstacle}.` }) : null,
      change
        ? element(
        "div",
        { className: "buttons" },
            this.#action("Twin without it", () => this.branching.twin(event), { className: "primary" }),
            this.#action("Undo it", () => this.branching.undo(event), {
              title: obstacle ?? "A new run that goes on from before it; this one stays as it is",
        }),
            this.#action("Fork here …", () => this.onFork(event.step)),
          )
        : null,
      form,
    );
  }

  #insteadForm(event, obstacle) {
    const form = insteadForm(event, (instead) => {
      this.popover.hidePopover();
      this.branching.twin(event, instead);
    });
    for (const control of form?.elements ?? []) Object.assign(control, { disabled: obstacle !== null, title: obstacle ?? "" });
    return form;
  }
}
