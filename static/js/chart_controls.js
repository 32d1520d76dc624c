// What is chosen for the charts: the x axis, scales, smoothing, zoom, and which folds are open.

/**
 * Connect the controls with the store's view, both ways.
 * @param {HTMLElement} page
 * @param {object} store
 */
export function connectChartControls(page, store) {
  const xAxis = page.querySelector("[data-x-axis]");
  const smoothing = page.querySelector("[data-smoothing]");
  const reset = page.querySelector("[data-reset-zoom]");
  const scales = [...page.querySelectorAll("[data-y-scale]")];
  const folds = [...page.querySelectorAll("details[data-fold]")];
  const change = (part) => store.update({ view: { ...store.get().view, ...part } });

  xAxis.addEventListener("change", () => {
    const [x, xScale = "linear"] = xAxis.value.split(" ");
    const { view } = store.get();
    change({ x, xScale, zoom: { ...view.zoom, x: null } });
  });
  smoothing.addEventListener("change", () => change({ smoothing: smoothing.value }));
  reset.addEventListener("click", () => change({ zoom: { x: null, y: {} } }));
  for (const button of scales) {
    button.addEventListener("click", () => {
      const { yScales, zoom } = store.get().view;
      const chart = button.dataset.yScale;
      const { [chart]: _, ...y } = zoom.y;
      change({ yScales: { ...yScales, [chart]: yScales[chart] === "log" ? "linear" : "log" }, zoom: { ...zoom, y } });
    });
  }
  for (const fold of folds) {
    fold.addEventListener("toggle", () => {
      const open = folds.filter((one) => one.open).map((one) => one.dataset.fold);
      if (open.join() !== store.get().view.open.join()) change({ open });
    });
  }

  const show = (view) => {
    xAxis.value = view.xScale === "log" ? `${view.x} log` : view.x;
    smoothing.value = view.smoothing;
    reset.hidden = view.zoom.x === null && Object.keys(view.zoom.y).length === 0;
    for (const button of scales) button.setAttribute("aria-pressed", String(view.yScales[button.dataset.yScale] === "log"));
    for (const fold of folds) fold.open = view.open.includes(fold.dataset.fold);
  };
  show(store.get().view);
  store.subscribe(({ view }, { view: before }) => {
    if (view !== before) show(view);
  });
}
