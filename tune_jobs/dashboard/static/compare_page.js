// The comparison of studies.

import { fetchComparison, fetchStudies } from "./api.js";
import { el, headingRow, main, numberCell } from "./dom.js";
import { drawFigure, figureCard } from "./figures.js";
import { formatHours, formatNumber } from "./format.js";
import { errorNote } from "./widgets.js";

/** @typedef {import("./api.js").Comparison} Comparison */
/** @typedef {import("./api.js").Winner} Winner */

const COLUMNS = ["Study", "Trial", "Value", "Trials", "Run time", "Elapsed", "Cost"];

/**
 * Show a choice of studies, and their comparison.
 *
 * @param {string[]} keys Studies that are selected at first.
 */
export async function showComparison(keys) {
  document.title = "Compare · tune_jobs";
  const selected = new Set(keys);
  const choices = el("div", { class: "tools" });
  const result = el("div");
  main.replaceChildren(
    el("h1", {}, "Compare studies"),
    el("p", { class: "sub" }, "Select studies with one objective and the same direction."),
    el("section", { class: "card" }, el("h2", {}, "Studies"), choices),
    result,
  );
  for (const study of await fetchStudies()) {
    /** @param {{target: HTMLInputElement}} event */
    const toggle = ({ target }) => {
      if (target.checked) selected.add(study.key);
      else selected.delete(study.key);
      compareStudies(selected, result);
    };
    const checked = selected.has(study.key);
    const box = el("input", { type: "checkbox", value: study.key, checked, onchange: toggle });
    choices.append(el("label", {}, box, study.name || "(no name)"));
  }
  await compareStudies(selected, result);
}

/**
 * @param {Set<string>} keys
 * @param {HTMLElement} result
 */
async function compareStudies(keys, result) {
  if (!keys.size) {
    result.replaceChildren();
    return;
  }
  try {
    const comparison = await fetchComparison(keys);
    const figures = el("div", { class: "figures" });
    result.replaceChildren(...comparisonParts(comparison), figures);
    for (const { name, title, figure } of comparison.figures) {
      const { card, node } = figureCard(name, title);
      figures.append(card);
      await drawFigure(node, figure);
    }
  } catch (error) {
    result.replaceChildren(errorNote(error));
  }
}

/** @param {Comparison} comparison */
function comparisonParts(comparison) {
  const table = el(
    "table",
    {},
    el("caption", {}, "The best trial of each study, with the parameters in which they differ."),
    el("thead", {}, headingRow([...COLUMNS, ...comparison.differing])),
    el("tbody", {}, ...comparison.winners.map(winnerRow)),
  );
  return [
    el("p", { class: "note", id: "statement" }, comparison.statement),
    ...comparison.without_best.map((text) => el("p", { class: "note" }, text)),
    ...comparison.warnings.map((text) => el("p", { class: "note warning" }, text)),
    el("section", { class: "card scroll" }, el("h2", {}, "Best trials"), table),
  ];
}

/** @param {Winner} winner */
function winnerRow(winner) {
  return el(
    "tr",
    {},
    el("td", { class: "text" }, winner.study),
    numberCell(winner.trial),
    numberCell(formatNumber(winner.value, 6)),
    numberCell(winner.trials),
    numberCell(formatHours(winner.run_hours)),
    numberCell(formatHours(winner.hours)),
    numberCell(winner.money ? formatNumber(winner.money, 3) : "–"),
    ...winner.params.map((value) => el("td", {}, value)),
  );
}
