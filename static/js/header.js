// What the top of the page says: which run, in which state, how far.

import { duration, prefixed, whole } from "./format.js";
import { announcement, banner, stateName } from "./run_state.js";

const CONNECTION_TITLES = {
  connecting: "Connecting to BitLM",
  connected: "Connected: figures arrive live",
  disconnected: "Not connected: trying again by itself",
};

const summary = ({ config, corpus }) => {
  const shape = config ? `${config.num_layers} layers × ${config.d_model}` : "";
  const text = corpus ? `${corpus.name}, ${prefixed(corpus.bytes, "B")}` : "";
  return [shape, text].filter(Boolean).join(" · ");
};

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
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

  store.subscribe((state) => {
    const { status, connection } = state;
    const name = stateName(state);
    pill.dataset.state = name;
    write(pill.querySelector("[data-label]"), name);
    dot.dataset.connection = connection;
    write(dot.querySelector("[data-label]"), CONNECTION_TITLES[connection]);
    dot.title = CONNECTION_TITLES[connection];
    write(figure("run"), status?.name ?? status?.run_id ?? "no run");
    write(figure("step"), whole(status?.run_id ? status.step : null));
    write(figure("bytes_seen"), prefixed(status?.run_id ? status.bytes_seen : null, "B"));
    write(figure("elapsed_s"), duration(status?.run_id ? status.elapsed_s : null));
    write(figure("bytes_per_s"), prefixed(name === "training" ? status.bytes_per_s : null, "B/s"));
    write(figure("parameters"), prefixed(status?.parameters));
    write(figure("summary"), status?.run_id ? summary(status) : "No model yet");
    const said = banner(state);
    write(warning.querySelector("[data-label]"), said?.text ?? "");
    warning.dataset.banner = said?.kind ?? "";
    welcome.hidden = !["empty", "initializing"].includes(name) || Boolean(status?.run_id);
    warning.hidden = said === null || !welcome.hidden;
    welcome.dataset.welcome = name;
  });
  store.subscribe((state, previous) => {
    const name = stateName(state);
    if (name === stateName(previous)) return;
    write(live, announcement(name, state.status));
    document.title = `BitLM: ${name}`;
  });
}
