// The list of studies. Its order, search and selection are in the address.

import { writeAddress } from "./address.js";
import { fetchStudies } from "./api.js";
import { el, numberCell } from "./dom.js";
import { formatAgo, formatHours, formatName, formatNumber } from "./format.js";
import { startPolling } from "./polling.js";
import { redraw } from "./screen.js";
import { arrange, changedSettings, readListQuery } from "./study_list.js";
import { countTrials, skeleton, sortableHeading, stateBar } from "./widgets.js";

/** @typedef {import("./api.js").Head} Head */
/** @typedef {import("./study_list.js").ListQuery} ListQuery */

/** Title, what it sorts by, whether it has numbers.
 * @type {[string, string, boolean][]} */
const COLUMNS = [
  ["Study", "name", false],
  ["State", "state", false],
  ["Trials", "trials", true],
  ["Best", "best", true],
  ["Run time", "time", true],
  ["Live runs", "live", true],
  ["Trials per hour", "rate", true],
  ["Last run ended", "last", true],
];

/** Words for a state, and what they mean.
 * @type {Record<string, [string, string]>} */
const ACTIVITIES = {
  tuned: ["tuned now", "A process is tuning this study."],
  "left behind": ["left behind", "It has live job runs, but no process watches them any more."],
  running: ["running", "Trials run that another program has started."],
  ended: ["ended", "No process is tuning this study."],
  empty: ["no trials yet", "The study was created, but nothing has been tried."],
};

/**
 * Open the list of studies.
 *
 * @param {URLSearchParams} search Its settings.
 * @returns {import("./app.js").Page}
 */
export function openStudies(search) {
  document.title = "Studies · tune_jobs";
  let query = readListQuery(search);
  /** @type {Head[] | null} */
  let studies = null;

  /** @param {Partial<ListQuery>} changes */
  function change(changes) {
    query = { ...query, ...changes };
    writeAddress("/", changedSettings(query), "sort" in changes);
    redraw();
  }
  /** @param {string} key */
  function toggle(key) {
    const selected = new Set(query.select.split(",").filter(Boolean));
    if (!selected.delete(key)) selected.add(key);
    change({ select: [...selected].join(",") });
  }
  const update = async () => {
    studies = await fetchStudies();
    redraw();
  };
  /** @param {URLSearchParams} search */
  const follow = (search) => {
    query = readListQuery(search);
    redraw();
  };
  const draw = () => [
    el("h1", {}, "Studies"),
    studies === null
      ? skeleton(["skeleton tools", "skeleton list"])
      : studies.length
        ? list(studies, query, change, toggle)
        : welcome(),
  ];
  return { draw, close: startPolling(update), follow };
}

/** Return what to do while there are no studies. */
function welcome() {
  return el(
    "section",
    { class: "panel" },
    el("h2", {}, "No studies yet"),
    el("p", {}, "The storage can be read, and nothing has been tuned in it. To start a study:"),
    el(
      "ol",
      {},
      el("li", {}, "Describe it: ", el("code", {}, "tune-jobs init train.py"), " writes a draft."),
      el("li", {}, "Tune: ", el("code", {}, "tune-jobs run study.yaml"), "."),
    ),
    el("p", {}, "It appears here as soon as it is created; there is no need to reload the page."),
  );
}

/**
 * @param {Head[]} studies
 * @param {ListQuery} query
 * @param {(changes: Partial<ListQuery>) => void} change
 * @param {(key: string) => void} toggle
 */
function list(studies, query, change, toggle) {
  const keys = new Set(studies.map(({ key }) => key));
  const selected = query.select.split(",").filter((key) => keys.has(key));
  const groups = arrange(studies, query);
  const found = groups.reduce((count, [, group]) => count + group.length, 0);
  const storages = new Set(studies.map(({ storage }) => storage));
  return [
    storages.size === 1 ? el("p", { class: "sub" }, ...storages) : null,
    listTools(query, change, selected, `${found} of ${studies.length}`),
    el(
      "div",
      { class: "card scroll" },
      el(
        "table",
        { class: "studies" },
        el("caption", { class: "unseen" }, "Studies in these storages"),
        el("thead", {}, columnHeadings(query, change)),
        found
          ? groups.map(([storage, group]) => [
              storages.size > 1 ? groupHeading(storage, group.length) : null,
              el(
                "tbody",
                { key: storage },
                group.map((study) => studyRow(study, selected, toggle)),
              ),
            ])
          : noMatch(query.find, change),
      ),
    ),
  ];
}

/**
 * @param {ListQuery} query
 * @param {(changes: Partial<ListQuery>) => void} change
 * @param {string[]} selected
 * @param {string} count
 */
function listTools(query, change, selected, count) {
  /** @param {{currentTarget: HTMLInputElement}} event */
  const onInput = ({ currentTarget }) => change({ find: currentTarget.value });
  const name = { type: "search", id: "find", placeholder: "name", value: query.find };
  return el(
    "div",
    { class: "tools" },
    el("label", { for: "find" }, "Search"),
    el("input", { ...name, onInput }),
    el("span", { role: "status", class: "count" }, count),
    el("span", { class: "spacer" }),
    selected.length
      ? [
          el(
            "button",
            { key: "clear", type: "button", onClick: () => change({ select: "" }) },
            "Clear selection",
          ),
          el(
            "a",
            { key: "go", class: "button primary", href: `#/compare/${selected.join(",")}` },
            `Compare ${selected.length} selected`,
          ),
        ]
      : el("span", { class: "hint" }, "Select studies to compare them."),
  );
}

/**
 * @param {ListQuery} query
 * @param {(changes: Partial<ListQuery>) => void} change
 */
function columnHeadings(query, change) {
  /** @param {string} sort */
  const choose = (sort) => () => {
    const isCurrent = query.sort === sort;
    const down = sort === "name" || sort === "state" ? "asc" : "desc";
    const up = down === "asc" ? "desc" : "asc";
    change({ sort, order: isCurrent && query.order === down ? up : down });
  };
  return el(
    "tr",
    {},
    el("th", { scope: "col", class: "choice" }, el("span", { class: "unseen" }, "Select")),
    COLUMNS.map(([title, sort, isNumber]) =>
      sortableHeading(title, {
        key: sort,
        order: query.sort === sort ? query.order : "",
        isNumber,
        onClick: choose(sort),
      }),
    ),
  );
}

/**
 * @param {string} storage
 * @param {number} count
 */
function groupHeading(storage, count) {
  const heading = { colSpan: COLUMNS.length + 1, scope: "rowgroup", class: "group" };
  return el(
    "tbody",
    { key: `heading ${storage}` },
    el("tr", {}, el("th", heading, el("bdi", {}, storage), el("small", {}, ` ${count}`))),
  );
}

/**
 * @param {string} wanted
 * @param {(changes: Partial<ListQuery>) => void} change
 */
function noMatch(wanted, change) {
  return el(
    "tbody",
    { key: "none" },
    el(
      "tr",
      {},
      el(
        "td",
        { colSpan: COLUMNS.length + 1, class: "text" },
        `No study has “${wanted}” in its name. `,
        el("button", { type: "button", onClick: () => change({ find: "" }) }, "Show all"),
      ),
    ),
  );
}

/**
 * @param {Head} study
 * @param {string[]} selected
 * @param {(key: string) => void} toggle
 */
function studyRow(study, selected, toggle) {
  const { key } = study;
  const name = formatName(study.name);
  const [activity, meaning] = ACTIVITIES[study.activity] ?? [study.activity, ""];
  return el(
    "tr",
    { key },
    el(
      "td",
      { class: "choice" },
      el("input", {
        type: "checkbox",
        "aria-label": `Select ${name}`,
        checked: selected.includes(key),
        onChange: () => toggle(key),
      }),
    ),
    el(
      "th",
      { scope: "row", class: "text name" },
      el("a", { href: `#/study/${key}`, title: name }, el("bdi", {}, name)),
    ),
    el(
      "td",
      { title: meaning },
      el("span", { class: `activity ${study.activity.replace(" ", "-")}` }, activity),
      study.owner ? el("div", { class: "detail" }, `by ${study.owner}`) : null,
    ),
    el(
      "td",
      { class: "number trials" },
      formatNumber(countTrials(study.counts), 9),
      stateBar(study.counts),
    ),
    bestCell(study),
    numberCell(study.run_hours ? formatHours(study.run_hours) : "–"),
    numberCell(study.live || "–"),
    numberCell(formatNumber(study.rate, 3)),
    numberCell(formatAgo(study.last)),
  );
}

/** @param {Head} study */
function bestCell(study) {
  const objectives = study.direction.split(", ");
  if (study.best !== null) {
    const [arrow, meaning] = objectives[0] === "minimize" ? ["↓", "smaller"] : ["↑", "larger"];
    const hint = { class: "detail", title: `${meaning} is better`, "aria-hidden": true };
    return numberCell(el("span", hint, `${arrow} `), formatNumber(study.best));
  }
  const note = objectives.length > 1 ? `${objectives.length} objectives` : study.no_best;
  if (!note || !countTrials(study.counts)) return numberCell(formatNumber(null));
  return el("td", { class: "number note-cell" }, el("span", { class: "detail" }, note));
}
