// What a job run uses: a sentence, and a small curve for each of CPU, memory, GPU, disk and network.

import { el } from "./dom.js";

const WIDTH = 180;
const HEIGHT = 36;

/** @typedef {import("./api.js").RunUsage} RunUsage */

/**
 * Return what a run uses; null if nothing is known.
 *
 * @param {RunUsage} usage
 */
export function usageView(usage) {
  if (!usage.summary) return null;
  return el(
    "div",
    { class: "usage" },
    el("p", {}, `Used ${usage.summary}`),
    Object.entries(usage.curves).map(([name, points]) => curve(name, points, usage.peaks[name])),
  );
}

/**
 * @param {string} name
 * @param {[number, number][]} points
 * @param {string} peak
 */
function curve(name, points, peak) {
  const end = points[points.length - 1][0] || 1;
  const drawn = points.map(([at, share]) => {
    const x = ((at / end) * WIDTH).toFixed(1);
    return `${x},${((1 - share) * (HEIGHT - 2) + 1).toFixed(1)}`;
  });
  const label = `${name}, peak ${peak}`;
  const line = el("polyline", {
    points: drawn.join(" "),
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 1.5,
  });
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT };
  return el(
    "figure",
    { key: name },
    el("svg", { ...box, role: "img", "aria-label": label }, line),
    el("figcaption", {}, label),
  );
}
