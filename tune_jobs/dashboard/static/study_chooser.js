// A list of studies that can be searched and sorted, in which some are chosen.

import { el, numberCell } from "./dom.js";
import { formatHours, formatName, formatNumber } from "./format.js";
import { redraw } from "./screen.js";
import { countTrials } from "./widgets.js";

/** @typedef {import("./api.js").Head} Head */

/** Studies that the list shows at once. */
const MAX_ROWS = 100;

/** @type {Record<string, {label: string, read: (study: Head) => string | number}>} */
const COLUMNS = {
  name: { label: "Study", read: (study) => study.name.toLowerCase() },
  trials: { label: "Trials", read: (study) => countTrials(study.counts) },
  best: { label: "Best", read: (study) => study.best ?? Number.NEGATIVE_INFINITY },
  hours: { label: "Run time", read: (study) => study.run_hours },
  last: { label: "Last run", read: (study) => study.last ?? 0 },
};

/**
 * @typedef {object} Choice
 * @property {Head[]} studies All studies.
 * @property {string[]} keys Those that are chosen.
 * @property {boolean} isGrouped Whether groups are named by hand.
 * @property {Map<string, string>} labels Names of groups by key.
 * @property {(keys: string[]) => void} choose
 * @property {(key: string, label: string) => void} setLabel
 */

/**
 * Return a function that draws the list.
 *
 * @param {boolean} isOpen Whether it is open at first.
 */
export function studyChooser(isOpen) {
  const state = { open: isOpen, wanted: "", sort: "last", descending: true };

  /** @param {string} sort */
  function sortBy(sort) {
    state.descending = state.sort === sort ? !state.descending : sort !== "name";
    state.sort = sort;
    redraw();
  }

  /** @param {Choice} choice */
  function draw(choice) {
    const found = findStudies(choice.studies, state);
    const others = found.filter((study) => !choice.keys.includes(study.key));
    /** @param {{currentTarget: HTMLDetailsElement}} event */
    const onToggle = ({ currentTarget }) => {
      state.open = currentTarget.open;
    };
    /** @param {{currentTarget: HTMLInputElement}} event */
    const onInput = ({ currentTarget }) => {
      state.wanted = currentTarget.value;
      redraw();
    };
    const all = () => choice.choose([...choice.keys, ...others.map((study) => study.key)]);
    return el(
      "details",
      { key: "chooser", class: "card chooser", open: state.open, onToggle },
      el("summary", {}, `Studies: ${choice.keys.length} of ${choice.studies.length} selected`),
      el(
        "div",
        { class: "tools" },
        el("label", { for: "find-study" }, "Search"),
        el("input", { type: "search", id: "find-study", placeholder: "name or storage", onInput }),
        el(
          "button",
          { type: "button", disabled: !others.length, onClick: all },
          `Select all ${found.length} found`,
        ),
        el(
          "button",
          { type: "button", disabled: !choice.keys.length, onClick: () => choice.choose([]) },
          "Clear",
        ),
      ),
      studiesTable(choice, found, state, sortBy),
    );
  }
  return { draw, isOpen: () => state.open };
}

/**
 * @param {Head[]} studies
 * @param {{wanted: string, sort: string, descending: boolean}} state
 */
function findStudies(studies, { wanted, sort, descending }) {
  const part = wanted.toLowerCase();
  const found = studies.filter(
    (study) =>
      study.name.toLowerCase().includes(part) || study.storage.toLowerCase().includes(part),
  );
  const { read } = COLUMNS[sort];
  const sign = descending ? -1 : 1;
  return found.sort((a, b) => {
    const [x, y] = [read(a), read(b)];
    return x === y ? 0 : x < y ? -sign : sign;
  });
}

/**
 * @param {Choice} choice
 * @param {Head[]} found
 * @param {{sort: string, descending: boolean}} state
 * @param {(sort: string) => void} sortBy
 */
function studiesTable(choice, found, { sort, descending }, sortBy) {
  const headings = Object.entries(COLUMNS).map(([name, { label }]) => {
    const isCurrent = sort === name;
    const order = descending ? "descending" : "ascending";
    const mark = isCurrent ? (descending ? " ▼" : " ▲") : "";
    return el(
      "th",
      {
        key: name,
        scope: "col",
        class: name === "name" ? "text" : "number",
        "aria-sort": isCurrent ? order : undefined,
      },
      el("button", { type: "button", onClick: () => sortBy(name) }, label, mark),
    );
  });
  const shown = found.slice(0, MAX_ROWS);
  const rest = found.length - shown.length;
  const note = rest ? `${rest} more studies match: search to find them.` : "";
  return [
    el(
      "section",
      { key: "rows", class: "rows", tabIndex: 0, "aria-label": "Studies to select" },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el("tr", {}, headings, choice.isGrouped ? el("th", { scope: "col" }, "Group") : null),
        ),
        el(
          "tbody",
          {},
          shown.map((study) => studyRow(study, choice)),
        ),
      ),
    ),
    shown.length ? null : el("p", { class: "sub" }, "No matching studies."),
    note ? el("p", { class: "sub" }, note) : null,
  ];
}

/**
 * @param {Head} study
 * @param {Choice} choice
 */
function studyRow(study, choice) {
  const { key, name, storage } = study;
  const isChosen = choice.keys.includes(key);
  const hasStorages = choice.studies.some((other) => other.storage !== storage);
  const toggle = () =>
    choice.choose(isChosen ? choice.keys.filter((each) => each !== key) : [...choice.keys, key]);
  return el(
    "tr",
    { key },
    el(
      "td",
      { class: "text" },
      el(
        "label",
        {},
        el("input", { type: "checkbox", value: key, checked: isChosen, onChange: toggle }),
        el("span", {}, formatName(name), hasStorages ? el("small", {}, storage) : null),
      ),
    ),
    numberCell(countTrials(study.counts)),
    numberCell(formatNumber(study.best)),
    numberCell(formatHours(study.run_hours)),
    numberCell(formatDate(study.last)),
    choice.isGrouped ? el("td", {}, isChosen ? groupField(study, choice) : null) : null,
  );
}

/**
 * @param {Head} study
 * @param {Choice} choice
 */
function groupField({ key, name }, { labels, setLabel }) {
  /** @param {{currentTarget: HTMLInputElement}} event */
  const onChange = ({ currentTarget }) => setLabel(key, currentTarget.value);
  const value = labels.get(key) ?? "";
  const label = `Group of ${name}`;
  return el("input", { type: "text", class: "group", "aria-label": label, value, onChange });
}

/** @param {number | null} seconds */
function formatDate(seconds) {
  if (seconds === null) return "–";
  const options = /** @type {const} */ ({ dateStyle: "medium", timeStyle: "short" });
  return new Date(1000 * seconds).toLocaleString(undefined, options);
}
