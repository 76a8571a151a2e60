// Draws the figures of a report; for print, each also as an image in the light theme.

(() => {
  const CONFIG = {
    displaylogo: false,
    responsive: true,
    displayModeBar: "hover",
    // Nothing of a study is uploaded.
    showSendToCloud: false,
    plotlyServerURL: "",
  };
  const LIGHT = { ink: "#16202e", grid: "#e5e9ef" };
  const DARK = { ink: "#e7ecf2", grid: "#2b3644" };
  /** Size of printed images in CSS pixels: beside another one, or as wide as the page. */
  const SIZES = { half: { width: 520, height: 300 }, wide: { width: 1060, height: 320 } };

  const plotly = () => /** @type {any} */ (window).Plotly;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  /** @param {string} id */
  function readFigure(id) {
    return JSON.parse(document.getElementById(`${id}-data`)?.textContent ?? "{}");
  }

  /**
   * @param {Record<string, any>} layout
   * @param {typeof LIGHT} colors
   */
  function applyTheme(layout, colors) {
    const axis = { gridcolor: colors.grid, zerolinecolor: colors.grid, linecolor: colors.grid };
    /** @type {Record<string, any>} */
    const themed = {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colors.ink, family: "system-ui, sans-serif", size: 12 },
    };
    for (const name of Object.keys(themed)) {
      if (/^[xy]axis/.test(name)) themed[name] = { ...axis, ...themed[name] };
    }
    return themed;
  }

  /** @param {HTMLElement} figure */
  function drawForScreen(figure) {
    const { data, layout } = readFigure(figure.id);
    const colors = dark.matches ? DARK : LIGHT;
    plotly().react(figure.querySelector(".figure"), data, applyTheme(layout, colors), CONFIG);
  }

  /** @param {HTMLElement} figure */
  async function drawForPrint(figure) {
    const { data, layout } = readFigure(figure.id);
    const alone = !figure.nextElementSibling && !figure.previousElementSibling;
    const size = alone ? SIZES.wide : SIZES.half;
    const image = /** @type {HTMLImageElement} */ (figure.querySelector(".printed"));
    image.src = await plotly().toImage(
      { data, layout: applyTheme(layout, LIGHT), config: { responsive: false } },
      { ...size, format: "svg" },
    );
    await image.decode();
    figure.classList.add("has-image");
  }

  async function drawAll() {
    const figures = [...document.querySelectorAll("figure")];
    for (const figure of figures) drawForScreen(figure);
    for (const figure of figures) await drawForPrint(figure);
    document.documentElement.dataset.state = "ready";
  }

  dark.addEventListener("change", () => {
    for (const figure of document.querySelectorAll("figure")) drawForScreen(figure);
  });
  drawAll();
})();
