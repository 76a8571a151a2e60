// Figures: the server sends Plotly's JSON, the page adds its colors.

import { el } from "./dom.js";
import { followSelection, hasPoints, highlight } from "./linked_figures.js";
import { Component } from "./preact.js";
import { errorPanel } from "./problems.js";

/** @typedef {import("./api.js").Figure} Figure */

const WIDE = ["timeline", "rungs", "parallel", "slice", "together", "race"];

/**
 * @typedef {object} Shown
 * @property {Figure} figure
 * @property {ReadonlySet<number>} selected Trials that are highlighted.
 * @property {((numbers: number[], isAdded: boolean) => void) | undefined} onSelect
 */

/** What is drawn, by element: a change of the theme draws it again.
 * @type {Map<HTMLElement, Shown>} */
const drawn = new Map();

/** Figures in which trials can be selected, and that have been told to say so.
 * @type {WeakSet<HTMLElement>} */
const followed = new WeakSet();

/** @type {ReadonlySet<number>} */
const NONE = new Set();
let drawings = 0;

/** How Plotly draws: with few buttons, as many would cover the legend. */
const CONFIG = {
  displaylogo: false,
  responsive: true,
  displayModeBar: "hover",
  // Nothing of a study is uploaded.
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["zoom2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "select2d", "lasso2d"],
};

/** How a figure is drawn in which trials can be selected by a box or a lasso. */
const SELECTING = {
  ...CONFIG,
  modeBarButtonsToRemove: CONFIG.modeBarButtonsToRemove.filter(
    (name) => name !== "select2d" && name !== "lasso2d",
  ),
};

/** @typedef {typeof import("./plotly.js").default} Plotly */

/** @type {Plotly | null} */
let plotly = null;
/** @type {Promise<Plotly> | null} */
let arriving = null;

/** Return Plotly, which the first figure requests. */
async function loadPlotly() {
  arriving ??= import("./plotly.js").then((module) => module.default);
  try {
    plotly = await arriving;
    return plotly;
  } catch (error) {
    arriving = null; // the next figure tries again
    throw error;
  }
}

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
    // Each drawing takes the width of its card, which is another one on paper.
    autosize: true,
    // While it stays the same, zoom, legend and brushes are kept.
    uirevision: "kept",
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
 * Copy traces and give them their names as identities, so that a hidden one stays hidden when
 * others are added.
 *
 * Plotly writes brushes into the dimensions that it is given. In those of the figure that arrived
 * they would look like the server's own in the next drawing, and go with the next figure.
 *
 * @param {Figure["data"]} traces
 */
function identify(traces) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  return traces.map((trace) => {
    const { name = "", dimensions } = /** @type {{name?: string, dimensions?: object[]}} */ (trace);
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    // Plotly makes it a part of selectors.
    const plain = name.replace(/\W/g, (character) => `_${character.charCodeAt(0)}`);
    const copy = { ...trace, uid: `trace-${plain}-${count}` };
    return dimensions ? { ...copy, dimensions: dimensions.map((each) => ({ ...each })) } : copy;
  });
}

/**
 * Draw a figure, or update it.
 *
 * @param {HTMLElement} node
 * @param {Shown} shown
 */
async function drawFigure(node, shown) {
  drawn.set(node, shown);
  const { react } = plotly ?? (await loadPlotly());
  if (drawn.get(node) !== shown) return; // another one has arrived, or the card has gone
  const { figure, selected, onSelect } = shown;
  const colors = { accent: color("--accent"), grid: color("--grid") };
  const canSelect = onSelect !== undefined && hasPoints(figure.data);
  // The box or lasso of a selection is removed: the trials are highlighted instead.
  drawings += 1;
  const layout = { ...applyTheme(figure.layout), selections: [], selectionrevision: drawings };
  const traces = identify(highlight(figure.data, selected, colors));
  await react(node, traces, layout, canSelect ? SELECTING : CONFIG);
  if (onSelect && !followed.has(node)) {
    followed.add(node);
    followSelection(node, (numbers, isAdded) => drawn.get(node)?.onSelect?.(numbers, isAdded));
  }
  skipTools(node);
}

/**
 * Leave the tools of a figure to the mouse: they would be dozens of tab stops before the table.
 *
 * @param {HTMLElement} node
 */
function skipTools(node) {
  for (const button of node.querySelectorAll(".modebar-btn")) button.setAttribute("tabindex", "-1");
}

/** Draw all figures of the page again. */
export function redrawFigures() {
  for (const [node, shown] of drawn) drawFigure(node, shown);
}

/**
 * @typedef {object} CardProps
 * @property {string} name
 * @property {string} title
 * @property {Figure | undefined} figure
 * @property {import("./dom.js").Child} [tools] What can be chosen in it.
 * @property {string} [note] What is left out.
 * @property {ReadonlySet<number>} [selected] Trials that are highlighted.
 * @property {(numbers: number[], isAdded: boolean) => void} [onSelect] Called with trials that are
 *   selected in the figure.
 */

/**
 * A card with a title and a figure, which may not have arrived yet.
 *
 * @extends {Component<CardProps>}
 */
export class FigureCard extends Component {
  /** @type {HTMLElement | null} */
  node = null;
  /** @type {{problem: unknown}} */
  state = { problem: null };

  componentDidMount() {
    this.drawNow();
  }

  /** @param {CardProps} before */
  componentDidUpdate(before) {
    const { figure, selected } = this.props;
    if (before.figure !== figure || before.selected !== selected) this.drawNow();
  }

  componentWillUnmount() {
    if (this.node && drawn.delete(this.node)) plotly?.purge(this.node);
  }

  async drawNow() {
    const { figure, selected = NONE, onSelect } = this.props;
    if (!this.node || !figure) return;
    try {
      await drawFigure(this.node, { figure, selected, onSelect });
      if (this.state.problem) this.setState({ problem: null });
    } catch (problem) {
      this.setState({ problem });
    }
  }

  render() {
    const { name, title, figure, note, tools } = this.props;
    const { problem } = this.state;
    const height = figure?.layout.height;
    const style = height ? { height: `${height}px` } : {};
    const attributes = { class: "figure", role: "figure", "aria-label": title, style };
    /** @param {HTMLElement | null} node */
    const keep = (node) => {
      this.node = node ?? this.node;
    };
    return el(
      "section",
      { class: WIDE.includes(name) ? "card wide" : "card" },
      el("div", { class: "figure-head" }, el("h2", {}, title), tools),
      note ? el("p", { class: "sub" }, note) : null,
      problem ? errorPanel(problem, () => this.drawNow()) : null,
      el("div", { ...attributes, id: `figure-${name}`, ref: keep }),
    );
  }
}
