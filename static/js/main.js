// Wires the page once.

import { keepAddress, readAddress } from "./address.js";
import { connectAlertControls } from "./alert_controls.js";
import { api, ProblemError } from "./api.js";
import { Branching, ChangeMenu } from "./branching.js";
import { Calibration } from "./calibration.js";
import { connectChartControls } from "./chart_controls.js";
import { ChartMenu } from "./chart_menu.js";
import { ChartPanel } from "./charts.js";
import { CheckpointList, connectTabs } from "./checkpoints.js";
import { connectConfirmation, ForkDialog } from "./dialogs.js";
import { Effects } from "./effects.js";
import { connectEventList } from "./event_list.js";
import { FileCoding } from "./file_coding.js";
import { connectGeneration } from "./generation.js";
import { connectGrowthControls } from "./growth_controls.js";
import { connectHeader } from "./header.js";
import { connectHelp } from "./help.js";
import { connectMilestones } from "./milestones.js";
import { connectKeys } from "./keys.js";
import { connectOverlayChips } from "./overlay_chips.js";
import { Overlays } from "./overlays.js";
import { connectRunControls } from "./run_controls.js";
import { RunFeed } from "./run_feed.js";
import { RunsDialog } from "./runs_dialog.js";
import { connectSetupForm } from "./setup_form.js";
import { SocketClient } from "./socket_client.js";
import { createStore, firstState } from "./store.js";
import { connectTelemetryControls } from "./telemetry_controls.js";
import { connectThemeSwitch } from "./theme.js";
import { createToasts } from "./toasts.js";
import { connectTour } from "./tour.js";

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
const { view, complaints } = readAddress();
const store = createStore(firstState(view, pageData.status, pageData.run_count));
const toasts = createToasts(page.querySelector("[data-toasts]"));
const feed = new RunFeed(store, api, new SocketClient(window.location.origin), toasts.problem);
const context = { store, api, feed, toasts };

const plotly = loadPlotly(pageData.plotly_url);
plotly.catch(toasts.problem);
const branching = new Branching(context);
const overlays = new Overlays(store, api, toasts.problem);
const confirm = connectConfirmation(page.querySelector("[data-confirmation]"));
const record = page.querySelector(".record");
const checkpoints = new CheckpointList(record, context, (step) => forkDialog.open(step), confirm);
const forkDialog = new ForkDialog(page.querySelector("[data-fork]"), context, () => checkpoints.whole);
const effects = new Effects(store, api);
const changeMenu = new ChangeMenu(page.querySelector("[data-change-menu]"), store, branching, effects, (step) => forkDialog.open(step));
const runsDialog = new RunsDialog(page.querySelector("[data-runs-dialog]"), context, branching, overlays, confirm);
const charts = new ChartPanel(page, store, plotly, {
  open: (marker, anchor, chart) => changeMenu.open(marker, anchor, chart),
  near: ({ events }) => effects.want(events.at(-1)?.event_id),
});

new ChartMenu(page, context, plotly, charts);
connectChartControls(page, store);
keepAddress(store, toasts, complaints);
connectHeader(page, store);
connectRunControls(page, context);
connectAlertControls(page.querySelector("[data-alerts]"), context, branching);
connectGrowthControls(page.querySelector("[data-growth]"), context);
connectTelemetryControls(page, context, new Calibration(page, context));
connectGeneration(page, context);
connectEventList(record.querySelector("[data-events]"), record.querySelector("[data-no-events]"), store, (event, anchor) =>
  changeMenu.open({ events: [event] }, anchor));
connectTabs(record);
new FileCoding(record.querySelector("#files-panel"), context);
connectMilestones(page.querySelector(".chart-loss"), page.querySelector("[data-milestones]"), context);
connectOverlayChips(page.querySelector("[data-overlays]"), page.querySelector(".chart-difference"), store, branching, overlays);
for (const opener of page.querySelectorAll('[data-action="runs"], [data-open-runs]')) opener.addEventListener("click", () => runsDialog.open());
connectSetupForm(page, pageData, context);
connectHelp(page);
connectKeys(page, toasts, connectTour(page, store));
connectThemeSwitch(page.querySelector("[data-theme-switch]"), () => charts.recolour());
overlays.start();
feed.start();
