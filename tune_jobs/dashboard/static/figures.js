// Figures: the server sends Plotly's JSON, the page adds its colors.

import { el } from "./dom.js";

/** @typedef {import("./api.js").Figure} Figure */

const WIDE = ["timeline", "parallel", "slice", "together"];

/** Figures that are drawn, by element: a change of the theme draws them again.
 * @type {Map<HTMLElement, Figure>} */
const drawn = new Map();

/** @param {string} variable A custom property of style.css. */
const color = (variable) =>
  getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

/** @param {Figure["layout"]} layout */
function applyTheme(layout) {
  const axis = {
    gridcolor: color("--grid"),
    zerolinecolor: color("--grid"),
    linecolor: color("--line"),
  };
  /** @type {Figure["layout"]} */
  const themed = {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("--ink"), family: "system-ui, sans-serif", size: 12 },
    modebar: {
      bgcolor: "rgba(0,0,0,0)",
      color: color("--soft"),
      activecolor: color("--accent"),
    },
  };
  for (const name of Object.keys(themed)) {
    if (/^[xy]axis/.test(name)) themed[name] = { ...axis, ...themed[name] };
  }
  return themed;
}

/**
 * Draw a figure, or update it.
 *
 * @param {HTMLElement} node
 * @param {Figure} figure
 * @returns {Promise<void>}
 */
export function drawFigure(node, figure) {
  drawn.set(node, figure);
  const config = { displaylogo: false, responsive: true, displayModeBar: "hover" };
  const plotly = /** @type {any} */ (window).Plotly;
  return plotly.react(node, figure.data, applyTheme(figure.layout), config);
}

/** Draw all figures of the page again. */
export function redrawFigures() {
  for (const [node, figure] of drawn) {
    if (node.isConnected) drawFigure(node, figure);
    else drawn.delete(node);
  }
}

/** Forget the figures of a page that is left. */
export const forgetFigures = () => drawn.clear();

/**
 * Return a card with a title and an element for a figure.
 *
 * @param {string} name
 * @param {string} title
 */
export function figureCard(name, title) {
  const node = el("div", {
    class: "figure",
    role: "figure",
    "aria-label": title,
    id: `figure-${name}`,
  });
  const style = WIDE.includes(name) ? "card wide" : "card";
  return { card: el("section", { class: style }, el("h2", {}, title), node), node };
}
