// The selection of trials that figures share: what is selected in one is highlighted in all.
//
// A trace whose points are trials has their numbers as `customdata`, with null where a line has a
// gap.

/** @typedef {Record<string, any>} Trace */
/** @typedef {ReadonlySet<number>} Selection */

const FAINT = 0.15;

/**
 * Return the traces with the selected trials highlighted.
 *
 * @param {Trace[]} traces
 * @param {Selection} selected
 * @param {{accent: string, grid: string}} colors
 * @returns {Trace[]}
 */
export function highlight(traces, selected, colors) {
  if (!selected.size) return traces;
  return traces.flatMap((trace) => {
    if (!Array.isArray(trace.customdata)) return [trace];
    if (trace.type === "parcoords") return [highlightParallel(trace, selected, colors)];
    if (trace.mode === "lines") return highlightLines(trace, selected, colors);
    return [highlightPoints(trace, selected)];
  });
}

/**
 * @param {Trace} trace
 * @param {Selection} selected
 */
function highlightPoints(trace, selected) {
  /** @type {number[]} */
  const selectedpoints = [];
  trace.customdata.forEach((/** @type {number} */ number, /** @type {number} */ i) => {
    if (selected.has(number)) selectedpoints.push(i);
  });
  const unselected = { marker: { opacity: FAINT } };
  return { ...trace, selectedpoints, selected: { marker: { opacity: 1 } }, unselected };
}

/**
 * Return a faint trace, and another one of the selected curves; a line through several trials, such
 * as that of the best value, stays as it is.
 *
 * @param {Trace} trace
 * @param {Selection} selected
 * @param {{accent: string}} colors
 */
function highlightLines(trace, selected, { accent }) {
  if (!trace.customdata.includes(null)) return [trace];
  /** @type {number[]} */
  const kept = [];
  trace.customdata.forEach((/** @type {number | null} */ number, /** @type {number} */ i) => {
    const owner = number ?? trace.customdata[i - 1];
    if (selected.has(owner)) kept.push(i);
  });
  const faint = { ...trace, opacity: FAINT };
  if (!kept.length) return [faint];
  /** @type {Trace} */
  const chosen = {
    ...trace,
    name: `${trace.name}, selected`,
    line: { ...trace.line, color: accent, width: 2.5 },
    opacity: 1,
    showlegend: false,
  };
  for (const key of ["x", "y", "customdata", "text"]) {
    if (Array.isArray(trace[key])) chosen[key] = kept.map((i) => trace[key][i]);
  }
  return [faint, chosen];
}

/**
 * @param {Trace} trace
 * @param {Selection} selected
 * @param {{accent: string, grid: string}} colors
 */
function highlightParallel(trace, selected, { accent, grid }) {
  const color = trace.customdata.map((/** @type {number} */ n) => (selected.has(n) ? 1 : 0));
  const scale = { cmin: 0, cmax: 1, showscale: false, reversescale: false };
  return {
    ...trace,
    line: {
      ...trace.line,
      ...scale,
      color,
      colorscale: [
        [0, grid],
        [1, accent],
      ],
    },
  };
}

/**
 * Return whether trials can be selected in a figure by a box or a lasso.
 *
 * @param {Trace[]} traces
 */
export const hasPoints = (traces) =>
  traces.some((trace) => Array.isArray(trace.customdata) && trace.type !== "parcoords");

/** @typedef {{shiftKey?: boolean, ctrlKey?: boolean, metaKey?: boolean}} Keys */
/** @typedef {{points?: {customdata?: unknown}[], event?: Keys}} PlotlyEvent */

/**
 * Call a function with the trials that are selected in a figure.
 *
 * @param {any} node The element of the figure, as Plotly has extended it.
 * @param {(numbers: number[], isAdded: boolean) => void} select
 */
export function followSelection(node, select) {
  /** @param {PlotlyEvent | undefined} event */
  const take = (event) => {
    if (!event?.points) return;
    const { shiftKey, ctrlKey, metaKey } = event.event ?? {};
    const numbers = event.points.map((point) => point.customdata);
    const trials = [...new Set(numbers)].filter((n) => typeof n === "number");
    if (trials.length) select(trials, Boolean(shiftKey || ctrlKey || metaKey));
  };
  node.on("plotly_selected", take);
  node.on("plotly_click", take);
  node.on("plotly_deselect", () => select([], false));
  node.on("plotly_restyle", () => {
    const brushed = readBrushes(node.data ?? []);
    if (brushed) select(brushed, false);
  });
}

/**
 * Return the trials within the brushes of parallel coordinates; null without parallel coordinates.
 *
 * @param {Trace[]} traces
 */
export function readBrushes(traces) {
  const trace = traces.find((each) => each.type === "parcoords" && Array.isArray(each.customdata));
  if (!trace) return null;
  const brushed = trace.dimensions.filter((/** @type {Trace} */ each) => each.constraintrange);
  if (!brushed.length) return [];
  return trace.customdata.filter((/** @type {number} */ _, /** @type {number} */ i) =>
    brushed.every((/** @type {Trace} */ each) => isWithin(each.values[i], each.constraintrange)),
  );
}

/**
 * @param {number} value
 * @param {number[] | number[][]} ranges One range, or several.
 */
function isWithin(value, ranges) {
  const all = /** @type {number[][]} */ (Array.isArray(ranges[0]) ? ranges : [ranges]);
  return all.some(([low, high]) => value >= low && value <= high);
}
