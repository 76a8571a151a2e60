// Times in figures: the server sends milliseconds since the epoch, which Plotly shows in UTC.

/** @typedef {import("./api.js").Figure} Figure */
/** @typedef {{type: string, base?: number[], x?: number[]}} Trace */

const MINUTE = 60_000;

/** @param {number} time */
const toLocal = (time) => time - new Date(time).getTimezoneOffset() * MINUTE;

/**
 * Return a figure whose times are those of the reader's clock.
 *
 * @param {Figure} figure
 * @returns {Figure}
 */
export function showLocalTimes(figure) {
  if (figure.layout.xaxis?.type !== "date") return figure;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local";
  const data = /** @type {Trace[]} */ (figure.data).map((trace) => {
    // The positions of bars are their lengths.
    const field = trace.base ? "base" : "x";
    return {
      ...trace,
      [field]: trace[field]?.map((time) => (time === null ? null : toLocal(time))),
    };
  });
  const xaxis = { ...figure.layout.xaxis, title: { text: `time (${zone})` } };
  return { ...figure, data, layout: { ...figure.layout, xaxis } };
}
