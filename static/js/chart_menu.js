// The menu in each chart's caption: save the chart as a picture or as figures.

import { CHARTS } from "./chart_table.js";
import { differenceTable, fileName, fileTitle, joinTables, picture, PLACE_COLUMNS } from "./chart_files.js";
import { bytesOf, download } from "./download.js";
import { whole } from "./format.js";
import { lastStep } from "./metrics.js";
import { placeBeside } from "./popover.js";
import { permit } from "./run_controls.js";
import { X_AXES } from "./x_axis.js";

const PICTURE_SIZE = { width: 960, height: 420 };
const PNG_SCALE = 2;
const NOTHING = "There is nothing to save yet";

/** One popover for all charts; the button that opens it says which chart is meant. */
export class ChartMenu {
  /**
   * @param {HTMLElement} page
   * @param {object} context Store, api and toasts.
   * @param {Promise<object>} plotly
   * @param {import("./charts.js").ChartPanel} charts
   */
  constructor(page, { store, api, toasts }, plotly, charts) {
    Object.assign(this, { store, api, toasts, plotly, charts });
    this.popover = page.querySelector("[data-chart-menu]");
    this.title = this.popover.querySelector("[data-title]");
    this.buttons = [...page.querySelectorAll("[data-save-chart]")];
    for (const opener of this.buttons) opener.addEventListener("click", () => (this.opener = opener));
    this.popover.addEventListener("toggle", ({ newState }) => this.#toggled(newState === "open"));
    for (const choice of this.popover.querySelectorAll("[data-format]")) {
      choice.addEventListener("click", () => this.#choose(choice.dataset.format));
    }
    store.subscribe(({ metrics, status }) => {
      const obstacle = status?.run_id && metrics.step?.length ? null : NOTHING;
      for (const opener of this.buttons) permit(opener, obstacle);
    });
  }

  #toggled(isOpen) {
    for (const opener of this.buttons) opener.setAttribute("aria-expanded", String(isOpen && opener === this.opener));
    if (!isOpen) return;
    this.title.textContent = this.#chartTitle;
    placeBeside(this.popover, this.opener.getBoundingClientRect());
    this.popover.querySelector("button").focus();
  }

  get #chartTitle() {
    return this.opener.closest("figure").querySelector("h2").textContent;
  }

  async #choose(format) {
    this.popover.hidePopover();
    try {
      await (format === "csv" ? this.#saveFigures() : this.#savePicture(format));
    } catch (error) {
      this.toasts.problem(error);
    }
  }

  #fileName(format) {
    const { status, metrics } = this.store.get();
    return fileName(fileTitle(status), this.#chartTitle, lastStep(metrics), format);
  }

  async #savePicture(format) {
    const { status, metrics, view } = this.store.get();
    const name = this.#fileName(format);
    const words = {
      title: this.#chartTitle,
      subtitle: `run ${status.run_id} · step ${whole(lastStep(metrics))}`,
      axis: X_AXES[view.x].title,
      colours: this.charts.colours,
    };
    const made = picture(this.charts.figure(this.opener.dataset.saveChart, PICTURE_SIZE), words);
    const { width, height } = made.layout;
    const options = { format, width, height, scale: format === "png" ? PNG_SCALE : 1, imageDataOnly: true };
    const image = await (await this.plotly).toImage(made, options);
    if (format === "png") download(bytesOf(image), "image/png", name);
    else download(image, "image/svg+xml", name);
  }

  async #saveFigures() {
    const { status, overlays, view } = this.store.get();
    const [name, chart] = [this.#fileName("csv"), this.opener.dataset.saveChart];
    if (chart === "difference") {
      download(differenceTable(await this.api.fullDifference(status.run_id, overlays[0].run_id)), "text/csv", name);
      return;
    }
    const { columns, isBeside } = CHARTS[chart];
    const runIds = [status.run_id, ...(isBeside ? overlays.map(({ run_id: runId }) => runId) : [])];
    const asked = [...PLACE_COLUMNS, ...columns];
    const tables = await Promise.all(runIds.map(async (runId) => ({ runId, csv: await this.api.table(runId, asked) })));
    download(joinTables(tables, X_AXES[view.x].column, view.zoom.x), "text/csv", name);
  }
}
