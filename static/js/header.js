// What the top of the page says: which run, in which state, how far.

import { element } from "./dom.js";
import { duration, percentage, prefixed, whole } from "./format.js";
import { announcement, banner, countOf, situation, stateLabel, stateName } from "./run_state.js";

const CONNECTION_TITLES = {
  connecting: "Connecting to BitLM",
  connected: "Connected: figures arrive live",
  disconnected: "Not connected: trying again by itself",
};

const textSummary = ({ name, bytes, not_utf8: share }) =>
  [name, prefixed(bytes, "B"), share ? `${percentage(share)} no UTF-8` : ""].filter(Boolean).join(", ");

const summary = ({ config, corpus }) => {
  const shape = config ? `${config.num_layers} layers × ${config.d_model}` : "";
  return [shape, corpus ? textSummary(corpus) : ""].filter(Boolean).join(" · ");
};

const noRun = (count) => (count > 0 ? `${whole(count)} ${count === 1 ? "run" : "runs"}` : "no run");

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

const DAY_LENGTH = 9; // 20261124-

/** The run's name or id. Where there is little room the day of an id gives way, which it shares with others. */
function writeRun(place, { status, runCount }) {
  const text = status?.name ?? status?.run_id ?? noRun(runCount);
  if (place.textContent === text) return;
  const [day, rest] = text === status?.run_id ? [text.slice(0, DAY_LENGTH), text.slice(DAY_LENGTH)] : ["", text];
  place.replaceChildren(...(day ? [element("span", { className: "run-day", textContent: day })] : []), rest);
  place.title = text;
}

/**
 * @param {HTMLElement} page
 * @param {object} store
 */
export function connectHeader(page, store) {
  const figure = (name) => page.querySelector(`[data-figure="${name}"]`);
  const pill = page.querySelector("[data-state]");
  const dot = page.querySelector("[data-connection]");
  const live = page.querySelector("[data-announcement]");
  const warning = page.querySelector("[data-banner]");
  const welcome = page.querySelector("[data-welcome]");
  const count = welcome.querySelector("[data-run-count]");

  store.subscribe((state) => {
    const { status, connection } = state;
    const name = stateName(state);
    page.toggleAttribute("data-watching", Boolean(status?.watching));
    pill.dataset.state = name;
    write(pill.querySelector("[data-label]"), stateLabel(state));
    dot.dataset.connection = connection;
    write(dot.querySelector("[data-label]"), CONNECTION_TITLES[connection]);
    dot.title = CONNECTION_TITLES[connection];
    writeRun(figure("run"), state);
    write(figure("step"), whole(status?.run_id ? status.step : null));
    write(figure("bytes_seen"), prefixed(status?.run_id ? status.bytes_seen : null, "B"));
    write(figure("elapsed_s"), duration(status?.run_id ? status.elapsed_s : null));
    write(figure("bytes_per_s"), prefixed(name === "training" ? status.bytes_per_s : null, "B/s"));
    write(figure("parameters"), prefixed(status?.parameters));
    figure("summary").title = status?.corpus?.not_utf8 ? "What is no UTF-8 is taken as bytes" : "";
    write(figure("summary"), status?.run_id ? summary(status) : state.runCount > 0 ? "No run is open" : "No model yet");
    const said = banner(state);
    write(warning.querySelector("[data-label]"), said?.text ?? "");
    warning.dataset.banner = said?.kind ?? "";
    welcome.hidden = !["empty", "initializing"].includes(name) || Boolean(status?.run_id);
    warning.hidden = said === null || !welcome.hidden;
    welcome.dataset.welcome = situation(state);
    if (state.runCount > 0) write(count, countOf(state.runCount));
  });
  store.subscribe((state, previous) => {
    if (situation(state) === situation(previous)) return;
    write(live, announcement(state));
    document.title = `BitLM: ${stateLabel(state)}`;
  });
}
