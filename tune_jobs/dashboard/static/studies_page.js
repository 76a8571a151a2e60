// The list of studies.

import { fetchStudies } from "./api.js";
import { el, headingRow, main, numberCell } from "./dom.js";
import { formatHours, formatNumber } from "./format.js";
import { startPolling } from "./polling.js";
import { countTrials, stateBar } from "./widgets.js";

/** @typedef {import("./api.js").Head} Head */

const COLUMNS = ["Study", "Trials", "States", "Best", "Run time", "Live runs", "Rate", "Tuned by"];

/**
 * Show the list of studies.
 *
 * @returns {() => void} Stops its updates.
 */
export function showStudies() {
  document.title = "Studies · tune_jobs";
  /** @type {Head[]} */
  let studies = [];
  let shown = "";
  const body = el("tbody");
  const search = el("input", {
    type: "search",
    id: "find",
    placeholder: "name",
    oninput: () => body.replaceChildren(...studyRows(studies, search.value)),
  });
  const caption = "All studies in these storages. Select one to see its job runs.";
  const head = el("thead", {}, headingRow(COLUMNS));
  main.replaceChildren(
    el("h1", {}, "Studies"),
    el("div", { class: "tools" }, el("label", { for: "find" }, "Search"), search),
    el("div", { class: "card scroll" }, el("table", {}, el("caption", {}, caption), head, body)),
  );
  return startPolling(async () => {
    studies = await fetchStudies();
    const content = JSON.stringify(studies);
    if (content === shown) return;
    shown = content;
    body.replaceChildren(...studyRows(studies, search.value));
  });
}

/**
 * @param {Head[]} studies
 * @param {string} search Part of a name.
 */
function studyRows(studies, search) {
  const wanted = search.toLowerCase();
  const found = studies.filter((study) => study.name.toLowerCase().includes(wanted));
  if (found.length) return found.map(studyRow);
  const note = studies.length ? "No matching studies." : "No studies yet.";
  return [el("tr", {}, el("td", { colspan: COLUMNS.length }, note))];
}

/** @param {Head} study */
function bestCell(study) {
  const cell = numberCell(formatNumber(study.best));
  if (study.no_best && countTrials(study.counts)) {
    cell.append(el("div", { class: "sub" }, study.no_best));
  }
  return cell;
}

/** @param {Head} study */
function studyRow(study) {
  const link = el("a", { href: `#/study/${study.key}` }, study.name || "(no name)");
  return el(
    "tr",
    {},
    el("td", { class: "text" }, link, el("div", { class: "sub" }, study.storage)),
    numberCell(countTrials(study.counts)),
    el("td", {}, stateBar(study.counts)),
    bestCell(study),
    numberCell(formatHours(study.run_hours)),
    numberCell(study.live),
    numberCell(study.rate ? `${formatNumber(study.rate, 3)} trials/h` : "–"),
    el("td", {}, study.owner || "–"),
  );
}
