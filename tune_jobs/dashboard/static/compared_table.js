// The best trials of compared studies, which is also the legend of all figures.

import { el, headingRow, numberCell } from "./dom.js";
import { formatHours, formatName, formatNumber } from "./format.js";

/** @typedef {import("./comparison_api.js").Comparison} Comparison */
/** @typedef {import("./comparison_api.js").Winner} Winner */

const NUMBERS = ["Trial", "Value", "Seeds", "Complete", "Run time", "Elapsed", "Cost"];

/** Trials that the page of trials compares at once. */
const MAX_TRIALS = 50;

/** Lengths of strokes and gaps, by Plotly's names of lines.
 * @type {Record<string, string>} */
const STROKES = {
  solid: "",
  dash: "6 3",
  dot: "2 2",
  dashdot: "6 2 2 2",
  longdash: "10 4",
  longdashdot: "10 3 2 3",
};

/**
 * Return the line of a study in figures.
 *
 * @param {string} color
 * @param {string} dash
 */
export function swatch(color, dash) {
  return el(
    "svg",
    { class: "swatch", width: 28, height: 10, "aria-hidden": "true" },
    el("line", {
      x1: 0,
      y1: 5,
      x2: 28,
      y2: 5,
      stroke: color,
      "stroke-width": 4,
      "stroke-dasharray": STROKES[dash] || undefined,
    }),
  );
}

/** @param {Comparison} comparison */
export function comparedTable({ differing, winners, objective }) {
  const hasGroups = winners.some(({ group }) => group);
  const hasSeeds = winners.some(({ replicates }) => replicates.length);
  const hasCost = winners.some(({ money }) => money);
  const numbers = NUMBERS.filter(
    (name) => (name !== "Seeds" || hasSeeds) && (name !== "Cost" || hasCost),
  );
  const columns = ["Study", ...(hasGroups ? ["Group"] : []), ...numbers];
  const caption = `The best trial of each study by ${objective.label}, and the parameters in which they differ.`;
  return el(
    "section",
    { key: "winners", class: "card" },
    el("h2", {}, "Best trials"),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "compared" },
        el("caption", {}, caption),
        el("thead", {}, headingRow([...columns, ...differing], numbers)),
        el(
          "tbody",
          {},
          winners.map((winner) => winnerRow(winner, { hasGroups, hasSeeds, hasCost })),
        ),
      ),
    ),
    winners.length > 1 ? compareLink(winners) : null,
  );
}

/** @param {Winner[]} winners */
function compareLink(winners) {
  const trials = winners.slice(0, MAX_TRIALS).map(({ key, trial }) => `${key}:${trial}`);
  const count = trials.length < winners.length ? `the first ${trials.length} of ` : "";
  const label = `Compare ${count}these trials: what differs, curves, commands and logs`;
  return el("p", {}, el("a", { href: `#/compare-trials/${trials.join(",")}` }, label));
}

/**
 * @param {Winner} winner
 * @param {{hasGroups: boolean, hasSeeds: boolean, hasCost: boolean}} columns
 */
function winnerRow(winner, { hasGroups, hasSeeds, hasCost }) {
  const name = { href: `#/study/${winner.key}`, class: "name", title: winner.study };
  const link = el("a", name, formatName(winner.study));
  return el(
    "tr",
    { key: winner.key },
    el(
      "td",
      { class: "text" },
      swatch(winner.color, winner.dash),
      link,
      winner.live ? " " : null,
      winner.live ? el("span", { class: "state RUNNING" }, "running") : null,
    ),
    hasGroups ? el("td", { class: "text" }, winner.group || "–") : null,
    numberCell(winner.trial),
    numberCell(formatNumber(winner.value, 6)),
    hasSeeds ? numberCell(winner.replicates.length || "–") : null,
    numberCell(winner.trials),
    numberCell(formatHours(winner.run_hours)),
    numberCell(winner.hours ? formatHours(winner.hours) : "–"),
    hasCost ? numberCell(formatNumber(winner.money, 3)) : null,
    winner.params.map((value) => el("td", {}, value)),
  );
}
