// The comparison of studies: what is compared, and how, is in the address.

import { readAddress, writeAddress } from "./address.js";
import { fetchStudies } from "./api.js";
import { comparedTable } from "./compared_table.js";
import { fetchComparedFigure, fetchComparison } from "./comparison_api.js";
import { el } from "./dom.js";
import { FigureCard } from "./figures.js";
import { startPolling } from "./polling.js";
import { redraw } from "./screen.js";
import { studyChooser } from "./study_chooser.js";
import { errorNote } from "./widgets.js";

/** @typedef {import("./api.js").Head} Head */
/** @typedef {import("./api.js").Figure} Figure */
/** @typedef {import("./comparison_api.js").Comparison} Comparison */

/** @typedef {{keys: string[], x: string, objective: string, group: string,
 *   labels: Map<string, string>}} Query */

const LABEL = "group.";

/** @returns {Query} */
function readQuery() {
  const { path, query } = readAddress();
  const keys = (path.split("/")[2] ?? "").split(",").filter(Boolean);
  const labels = [...query]
    .filter(([name]) => name.startsWith(LABEL))
    .map(([name, label]) => /** @type {const} */ ([name.slice(LABEL.length), label]));
  const [x, objective, group] = ["x", "objective", "group"].map((name) => query.get(name) ?? "");
  return { keys: [...new Set(keys)], x, objective, group, labels: new Map(labels) };
}

/**
 * Return the settings that are not the default, as the address and the server have them.
 *
 * @param {Query} query
 */
function listSettings({ keys, x, objective, group, labels }) {
  const settings = Object.entries({ x, objective, group }).filter(([, value]) => value);
  for (const [key, label] of labels) {
    if (group === "hand" && label && keys.includes(key)) settings.push([LABEL + key, label]);
  }
  return settings;
}

/**
 * Return what a figure depends on, apart from the trials.
 *
 * @param {string} name
 * @param {Query} query
 */
function identifyFigure(name, query) {
  const settings = listSettings(name === "race" ? query : { ...query, x: "" });
  return JSON.stringify([name, query.keys, settings]);
}

/**
 * Open a choice of studies, and their comparison.
 *
 * @returns {import("./app.js").Page}
 */
export function openComparison() {
  document.title = "Compare studies · tune_jobs";
  let query = readQuery();
  const chooser = studyChooser(query.keys.length < 2);
  /** @type {Head[] | null} */
  let studies = null;
  /** @type {Comparison | null} */
  let comparison = null;
  /** @type {Map<string, {version: string, figure: Figure}>} */
  const figures = new Map();
  /** @type {unknown} */
  let problem = null;
  let requested = 0;

  /** @param {string} version */
  const ask = (version) =>
    /** @type {[string, string][]} */ ([
      ...query.keys.map((key) => ["study", key]),
      ...listSettings(query),
      ...(version ? [["version", version]] : []),
    ]);

  /** Load what has changed; anything that the user changes meanwhile takes over. */
  async function update() {
    requested += 1;
    const number = requested;
    if (!studies || chooser.isOpen()) studies = await fetchStudies();
    redraw();
    if (!query.keys.length) return;
    const found = await fetchComparison(ask(comparison?.version ?? ""));
    if (number !== requested) return;
    problem = null;
    if (!found.unchanged) comparison = found;
    redraw();
    for (const { name } of comparison?.figures ?? []) {
      const identity = identifyFigure(name, query);
      const version = found.version;
      if (figures.get(identity)?.version === version) continue;
      const figure = await fetchComparedFigure(name, ask(""));
      if (number !== requested) return;
      figures.set(identity, { version, figure });
      redraw();
    }
  }

  async function updateOrExplain() {
    try {
      await update();
    } catch (error) {
      problem = error;
      redraw();
      throw error;
    }
  }

  /** @param {Partial<Query>} changes */
  function change(changes) {
    query = { ...query, ...changes };
    writeAddress(
      `/compare/${query.keys.join(",")}`,
      Object.fromEntries(listSettings(query)),
      !("keys" in changes),
    );
    show();
  }

  function show() {
    comparison = null;
    problem = null;
    for (const identity of figures.keys()) {
      if (!["race", ...FIGURE_NAMES].some((n) => identity === identifyFigure(n, query)))
        figures.delete(identity);
    }
    redraw();
    updateOrExplain().catch(() => {});
  }

  function follow() {
    query = readQuery();
    show();
  }

  const draw = () => [
    el("h1", { key: "title" }, "Compare studies"),
    el("p", { key: "sub", class: "sub" }, "Studies of these storages, side by side."),
    problem ? errorNote(problem) : null,
    comparison && !problem ? verdict(comparison) : null,
    studies
      ? chooser.draw({
          studies,
          keys: query.keys,
          isGrouped: query.group === "hand",
          labels: query.labels,
          choose: (keys) => change({ keys }),
          setLabel: (key, label) => change({ labels: new Map([...query.labels, [key, label]]) }),
        })
      : null,
    emptyNote(),
    comparison && !problem ? comparisonParts(comparison) : null,
  ];

  function emptyNote() {
    if (problem) return null;
    const text = query.keys.length
      ? "Loading…"
      : "Select the studies above: by their names, or all that a search finds.";
    return comparison ? null : el("p", { key: "empty", class: "sub" }, text);
  }

  /** @param {Comparison} shown */
  const comparisonParts = (shown) => [
    remarks(shown),
    comparedTable(shown),
    el("div", { key: "tools", class: "tools" }, settings(shown, query, change)),
    el(
      "div",
      { key: "figures", class: "figures" },
      shown.figures.map(({ name, title, note }) => {
        const identity = identifyFigure(name, query);
        const figure = figures.get(identity)?.figure;
        return el(FigureCard, { key: identity, name, title, note, figure });
      }),
    ),
  ];

  return { draw, close: startPolling(updateOrExplain), follow };
}

const FIGURE_NAMES = ["distribution", "together", "importances"];

/** @param {Comparison} comparison */
function verdict({ statement, outcome }) {
  const attributes = { class: `note verdict ${outcome}`, id: "statement", role: "status" };
  return el("p", { key: "statement", ...attributes }, statement);
}

/** @param {Comparison} comparison */
function remarks({ notes, without_best, warnings }) {
  return [
    ...[...notes, ...without_best].map((text) => el("p", { key: text, class: "note" }, text)),
    ...warnings.map((text) => el("p", { key: text, class: "note warning" }, text)),
  ];
}

/**
 * Return the fields that choose what is compared, and how.
 *
 * @param {Comparison} comparison
 * @param {Query} query
 * @param {(changes: Partial<Query>) => void} change
 */
function settings({ axes, axis, objective, objectives, groupings }, query, change) {
  return [
    field(
      "x",
      "Best value against",
      axis,
      axes.map(({ name, label }) => [name, label]),
      (x) => change({ x }),
    ),
    objectives.length > 1
      ? field(
          "objective",
          "Objective",
          objective.key,
          objectives.map(({ key, label }) => [key, label]),
          (value) => change({ objective: value }),
        )
      : null,
    field(
      "group",
      "Groups of seeds",
      query.group,
      groupings.map(({ value, label }) => [value, label]),
      (group) => change({ group }),
    ),
  ];
}

/**
 * @param {string} id
 * @param {string} label
 * @param {string} value
 * @param {[string, string][]} options Values and labels.
 * @param {(value: string) => void} choose
 */
function field(id, label, value, options, choose) {
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const onChange = ({ currentTarget }) => choose(currentTarget.value);
  return el(
    "label",
    { key: id, for: `choose-${id}` },
    label,
    el(
      "select",
      { id: `choose-${id}`, value, onChange },
      options.map(([name, text]) => el("option", { key: name, value: name }, text)),
    ),
  );
}
