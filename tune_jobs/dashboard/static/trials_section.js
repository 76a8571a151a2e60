// The card with the table of trials: its filter, menus and notes. What it shows is in the address.

import { columnsMenu } from "./columns_menu.js";
import { formatCsv, saveCsv } from "./csv.js";
import { el } from "./dom.js";
import { filterExamples } from "./filter_examples.js";
import { formatCount } from "./format.js";
import { Menu } from "./menu.js";
import { redraw } from "./screen.js";
import { isShareable, readSettings, writeSettings } from "./study_settings.js";
import { selectionActions, trialActions } from "./trial_actions.js";
import { chooseColumns } from "./trial_columns.js";
import { TrialStore } from "./trial_store.js";
import { selectRows, TrialsTable } from "./trials_table.js";
import { errorNote } from "./widgets.js";

/** @typedef {import("./study_settings.js").Settings} Settings */
/** @typedef {import("./api.js").Cell} Cell */

const STATES = ["COMPLETE", "INFEASIBLE", "PRUNED", "FAIL", "RUNNING", "WAITING"];
const TYPING_MILLISECONDS = 300;
/** Pause after which what is typed is another filter, to which "back" returns. */
const NEXT_FILTER_MILLISECONDS = 2000;
/** Trials that one comparison shows. */
const MAX_COMPARED = 50;
/** Settings that the server needs to know. */
const FILTERS = ["where", "state", "text"];

/**
 * Return the card of a study's trials: functions that draw it, load it, follow an address, and
 * return and change its settings.
 *
 * @param {string} key
 * @param {URLSearchParams} search Its settings at first.
 */
export function trialsSection(key, search) {
  const store = new TrialStore(key);
  let settings = readSettings(search);
  /** @type {unknown} */
  let problem = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  let typedAt = 0;
  const drawActions = trialActions(key);
  const drawSelectionActions = selectionActions(key);

  const load = () => store.load(() => settings, redraw);

  async function reload() {
    try {
      await load();
      problem = null;
    } catch (error) {
      problem = error;
    }
    redraw();
  }

  /** @param {Partial<Settings>} changes */
  function change(changes) {
    const isTyped = "text" in changes || "where" in changes;
    settings = { ...settings, trial: null, ...changes };
    if (!settings.selected.size) settings.only = false;
    const isSameFilter = isTyped && Date.now() - typedAt < NEXT_FILTER_MILLISECONDS;
    typedAt = isTyped ? Date.now() : 0;
    writeSettings(`/study/${key}`, settings, !isSameFilter);
    redraw();
    if (!FILTERS.some((name) => name in changes)) return;
    clearTimeout(typing);
    typing = setTimeout(reload, isTyped ? TYPING_MILLISECONDS : 0);
  }

  /** Return the selected trials that are loaded. */
  function selection() {
    const at = store.index("state");
    return [...settings.selected].flatMap((number) => {
      const row = store.rows.get(number);
      return row ? [{ number, state: String(row[at]) }] : [];
    });
  }

  /** @param {import("./api.js").StudyView} study */
  function draw(study) {
    /** @type {(trial: number, state: Cell) => import("./dom.js").Child} */
    const action = (number, state) => drawActions({ number, state: String(state) }, study);
    const empty = store.isLoaded
      ? store.total
        ? "No trial matches."
        : "No trials yet."
      : "Loading…";
    return el(
      "section",
      { key: "trials", class: "card" },
      el("h2", {}, "Trials"),
      filterTools(settings, change, (close) =>
        filterExamples({
          study,
          fields: store.fields,
          choose: (answer) => {
            change({ ...answer, state: "", text: "" });
            close();
          },
        }),
      ),
      problem ? errorNote(problem) : null,
      filterProblem(store.problem),
      tableTools(
        key,
        study.name,
        store,
        settings,
        change,
        drawSelectionActions(selection(), study),
      ),
      el(TrialsTable, { studyKey: key, store, settings, change, action, empty }),
    );
  }

  /** @param {URLSearchParams} address */
  function follow(address) {
    settings = readSettings(address);
    reload();
  }

  /** @param {Iterable<number>} numbers */
  const select = (numbers) => change({ selected: new Set(numbers) });

  return { draw, load, follow, select, selected: () => settings.selected };
}

/** @param {string} problem */
function filterProblem(problem) {
  // The element stays, so that what is put into it is announced.
  return el(
    "p",
    { id: "where-problem", role: "status", class: problem ? "note error" : "" },
    problem ? `Filter, ${problem}` : "",
  );
}

/**
 * Return the expression filter, the choice of a state, and the search.
 *
 * @param {Settings} settings
 * @param {(changes: Partial<Settings>) => void} change
 * @param {(close: () => void) => import("./dom.js").Child} drawExamples
 */
function filterTools(settings, change, drawExamples) {
  const states = ["", ...STATES].map((name) =>
    el("option", { key: name, value: name }, name.toLowerCase() || "all"),
  );
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const onState = ({ currentTarget }) => change({ state: currentTarget.value });
  /** @param {{currentTarget: HTMLInputElement}} event */
  const onSearch = ({ currentTarget }) => change({ text: currentTarget.value });
  /** @param {{currentTarget: HTMLInputElement}} event */
  const onWhere = ({ currentTarget }) => change({ where: currentTarget.value });
  return el(
    "div",
    { class: "tools" },
    el(
      "label",
      { class: "where" },
      "Filter",
      el("input", {
        id: "where",
        placeholder: 'lr > 0.01 and state == "complete"',
        autocomplete: "off",
        autocapitalize: "off",
        spellcheck: false,
        maxLength: 500,
        "aria-describedby": "where-problem",
        value: settings.where,
        onInput: onWhere,
      }),
    ),
    el(Menu, { label: "Examples", draw: drawExamples }),
    el("label", { for: "state" }, "State"),
    el("select", { id: "state", value: settings.state, onChange: onState }, states),
    el("label", { for: "text" }, "Search"),
    el("input", {
      type: "search",
      id: "text",
      placeholder: "parameter or cause",
      value: settings.text,
      onInput: onSearch,
    }),
  );
}

/**
 * @param {string} key
 * @param {Set<number>} trials
 */
function comparisonAddress(key, trials) {
  const numbers = [...trials].sort((a, b) => a - b);
  return `#/compare-trials/${numbers.map((number) => `${key}:${number}`).join(",")}`;
}

/**
 * Return the number of rows, the selection, the menu of columns and the export.
 *
 * @param {string} key
 * @param {string} name
 * @param {TrialStore} store
 * @param {Settings} settings
 * @param {(changes: Partial<Settings>) => void} change
 * @param {import("./dom.js").Child} actions What can be done to selected trials.
 */
function tableTools(key, name, store, settings, change, actions) {
  const { selected, only, columns } = settings;
  const save = () => saveCsv(name, formatCsv(csvRows(store, settings)));
  return el(
    "div",
    { class: "tools" },
    el(Menu, {
      label: "Columns",
      draw: () =>
        columnsMenu({
          fields: store.fields,
          chosen: columns,
          change: (chosen) => change({ columns: chosen }),
        }),
    }),
    el("button", { type: "button", disabled: !store.rows.size, onClick: save }, "CSV"),
    el(
      "label",
      {},
      el("input", {
        type: "checkbox",
        id: "only",
        checked: only,
        disabled: !selected.size,
        onChange: () => change({ only: !only }),
      }),
      "Only selected",
    ),
    el(
      "button",
      {
        type: "button",
        disabled: !selected.size,
        onClick: () => change({ selected: new Set() }),
      },
      "Clear selection",
    ),
    selected.size > 1 && selected.size <= MAX_COMPARED
      ? el("a", { href: comparisonAddress(key, selected) }, `Compare ${selected.size} selected`)
      : null,
    actions,
    el("span", { role: "status", class: "count" }, describeRows(store, settings)),
  );
}

/**
 * @param {TrialStore} store
 * @param {Settings} settings
 */
function describeRows(store, { selected }) {
  if (!store.isLoaded) return "";
  const parts = [
    store.matching
      ? `${store.matching.size} of ${formatCount(store.total, "trial")} match`
      : formatCount(store.total, "trial"),
  ];
  if (!store.matching && store.total > store.window) {
    parts.push(`the newest ${store.window} are listed: a filter searches all`);
  }
  if (selected.size) parts.push(`${selected.size} selected`);
  if (!isShareable(selected)) parts.push("too many for the address");
  return parts.join(", ");
}

/**
 * @param {TrialStore} store
 * @param {Settings} settings
 */
function csvRows(store, settings) {
  const columns = chooseColumns(store.fields, settings.columns);
  const places = columns.map((field) => store.index(field.id));
  const rows = selectRows(store, settings).map((row) => places.map((at) => row[at]));
  return [columns.map(({ label }) => label), ...rows];
}
