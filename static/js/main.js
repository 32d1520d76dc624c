// Wires the page once.

import { api, ProblemError } from "./api.js";
import { ChartPanel } from "./charts.js";
import { connectEventList } from "./event_list.js";
import { connectGeneration } from "./generation.js";
import { connectHeader } from "./header.js";
import { connectHelp } from "./help.js";
import { connectRunControls } from "./run_controls.js";
import { RunFeed } from "./run_feed.js";
import { connectSetupForm } from "./setup_form.js";
import { SocketClient } from "./socket_client.js";
import { createStore, emptyState } from "./store.js";
import { connectTelemetryControls } from "./telemetry_controls.js";
import { connectThemeSwitch } from "./theme.js";
import { createToasts } from "./toasts.js";

/** Plotly is large: the page works before it has arrived. */
function loadPlotly(url) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      const detail = `${url} did not arrive. Reload the page; if that does not help, run make setup again.`;
      reject(new ProblemError({ title: "The charts could not be loaded", detail }));
    });
    document.head.append(script);
  });
}

const page = document.body;
const pageData = JSON.parse(document.getElementById("page-data").textContent);
const store = createStore(emptyState());
const toasts = createToasts(page.querySelector("[data-toasts]"));
const feed = new RunFeed(store, api, new SocketClient(window.location.origin), toasts.problem);
const context = { store, api, feed, toasts };

const plotly = loadPlotly(pageData.plotly_url);
plotly.catch(toasts.problem);
const charts = new ChartPanel(page.querySelector("[data-charts]"), store, plotly);

connectHeader(page, store);
connectRunControls(page, context);
connectTelemetryControls(page, context);
connectGeneration(page, context);
connectEventList(page.querySelector("[data-events]"), page.querySelector("[data-no-events]"), store);
connectSetupForm(page, pageData.presets, context);
connectHelp(page);
connectThemeSwitch(page.querySelector("[data-theme-switch]"), () => charts.recolour());
feed.start();
