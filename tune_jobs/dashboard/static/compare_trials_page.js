// The comparison of trials, also of several studies: what differs, curves, commands and logs.

import { readAddress, trialAddress, writeAddress } from "./address.js";
import { request } from "./api.js";
import { swatch } from "./compared_table.js";
import { compareCommands, compareLogs, drawLines, drawWords } from "./differences.js";
import { el } from "./dom.js";
import { FigureCard } from "./figures.js";
import { startPolling } from "./polling.js";
import { redraw } from "./screen.js";
import { fetchLogPart } from "./trial_api.js";
import { errorMessage, errorNote } from "./widgets.js";

/**
 * @typedef {object} ComparedTrial
 * @property {string} key
 * @property {number} number
 * @property {string} study
 * @property {string} name
 * @property {string} state
 * @property {string} color
 * @property {string} dash
 * @property {string | null} run Name of its last run.
 * @property {string[]} words Of the command.
 * @property {number} words_total
 */

/** @typedef {{name: string, values: (string | null)[], differs: boolean}} Row */

/**
 * @typedef {object} View
 * @property {string} version
 * @property {boolean} unchanged
 * @property {ComparedTrial[]} trials
 * @property {{name: string, rows: Row[]}[]} sections
 * @property {string[]} axes
 */

/** @typedef {{trials: string[], all: string, x: string, a: string, b: string}} Query */

/** @returns {Query} */
function readQuery() {
  const { path, query } = readAddress();
  const trials = decodeURIComponent(path.split("/")[2] ?? "")
    .split(",")
    .filter(Boolean);
  const read = (/** @type {string} */ name, fallback = "") => query.get(name) ?? fallback;
  return { trials, all: read("all"), x: read("x", "steps"), a: read("a", "0"), b: read("b", "1") };
}

/**
 * Open a comparison of the trials in the address.
 *
 * @returns {import("./app.js").Page}
 */
export function openTrialComparison() {
  document.title = "Compare trials · tune_jobs";
  let query = readQuery();
  /** @type {View | null} */
  let view = null;
  /** @type {import("./api.js").Figure | undefined} */
  let figure;
  /** @type {unknown} */
  let problem = null;
  let drawn = "";
  let requested = 0;
  /** @type {import("./dom.js").Child} */
  let words = null;
  /** @type {import("./dom.js").Child} */
  let logs = null;

  const ask = (/** @type {Record<string, string>} */ more = {}) =>
    new URLSearchParams([
      ...query.trials.map((trial) => ["trial", trial]),
      ...Object.entries(more),
    ]).toString();

  async function update() {
    if (!query.trials.length) return redraw();
    requested += 1;
    const number = requested;
    try {
      const found = await request(`api/compare-trials?${ask({ version: view?.version ?? "" })}`);
      if (number !== requested) return;
      problem = null;
      if (!found.unchanged) view = found;
      redraw();
      const wanted = `${found.version} ${query.x}`;
      if (wanted !== drawn) {
        const curves = await request(`api/compare-trials/curves/${query.x}?${ask()}`);
        if (number !== requested) return;
        figure = curves;
        drawn = wanted;
        await diffCommands();
      }
    } catch (error) {
      problem = error;
      throw error;
    } finally {
      redraw();
    }
  }

  /** @returns {[ComparedTrial, ComparedTrial] | null} */
  function findPair() {
    const [a, b] = [view?.trials[Number(query.a)], view?.trials[Number(query.b)]];
    return a && b ? [a, b] : null;
  }

  async function diffCommands() {
    const pair = findPair();
    words = null;
    if (!pair?.every((trial) => trial.words.length)) return;
    const parts = await compareCommands(pair[0].words, pair[1].words);
    const isCut = pair.some((trial) => trial.words.length < trial.words_total);
    words = [
      el(
        "p",
        { class: "diff words" },
        parts ? drawWords(parts) : "The commands are too different.",
      ),
      isCut ? el("p", { class: "sub" }, "Only the first words of the commands.") : null,
    ];
  }

  async function diffLogs() {
    const pair = findPair();
    if (!pair?.every((trial) => trial.run)) return;
    logs = el("p", { class: "sub" }, "Loading…");
    redraw();
    try {
      logs = await readLogs(pair);
    } catch (error) {
      logs = el("p", { class: "note error", role: "alert" }, errorMessage(error));
    }
    redraw();
  }

  /** @param {Partial<Query>} changes */
  function change(changes) {
    query = { ...query, ...changes };
    const { all, x, a, b } = query;
    const settings = Object.entries({ all, x, a, b }).filter(
      ([name, value]) => value !== DEFAULTS[name],
    );
    writeAddress(`/compare-trials/${query.trials.join(",")}`, Object.fromEntries(settings), true);
    show();
  }

  function show() {
    logs = null;
    figure = drawn.endsWith(` ${query.x}`) ? figure : undefined;
    diffCommands().then(redraw);
    update().catch(() => {});
  }

  function follow() {
    query = readQuery();
    view = null;
    drawn = "";
    show();
  }

  function draw() {
    const title = el("h1", { key: "title" }, "Compare trials");
    if (!query.trials.length) {
      const text = "No trials are selected: compare the winners of studies, or open a trial.";
      return [title, el("p", { class: "sub" }, text)];
    }
    if (problem) return [title, errorNote(problem)];
    if (!view) return [title, el("p", { class: "sub" }, "Loading…")];
    return [
      title,
      factsCard(view, query, change),
      curvesCard(view, query, figure, change),
      view.trials.length > 1 ? pairCard(view, query, change, { words, logs, diffLogs }) : null,
    ];
  }

  return { draw, close: startPolling(update), follow };
}

/** @type {Record<string, string>} */
const DEFAULTS = { all: "", x: "steps", a: "0", b: "1" };

/**
 * @param {[ComparedTrial, ComparedTrial]} pair
 */
async function readLogs(pair) {
  const parts = await Promise.all(
    pair.map((trial) => fetchLogPart(trial.key, trial.run ?? "", { rank: 0 })),
  );
  const cut = parts.filter((part) => part.start > 0).length;
  const lines = await compareLogs(parts[0].log, parts[1].log);
  const note = cut ? "Of long logs, the ends are compared." : "";
  if (lines?.every(({ sign }) => sign === "…" || sign === " "))
    return el("p", { class: "sub" }, `The logs are equal. ${note}`);
  return [
    note ? el("p", { class: "sub" }, note) : null,
    lines
      ? logBox("Difference of the logs", drawLines(lines))
      : [
          el("p", { class: "sub" }, "The logs are too different to compare line by line."),
          el(
            "div",
            { class: "logs-beside" },
            parts.map((part, place) => logBox(`Log of ${pair[place].name}`, part.log)),
          ),
        ],
  ];
}

/**
 * @param {string} label
 * @param {import("./dom.js").Child} content
 */
const logBox = (label, content) =>
  el("section", { class: "diff lines", tabIndex: 0, "aria-label": label }, content);

/**
 * @param {View} view
 * @param {Query} query
 * @param {(changes: Partial<Query>) => void} change
 */
function factsCard({ trials, sections }, query, change) {
  /** @param {number} place */
  const remove = (place) => () =>
    change({ trials: query.trials.filter((_, other) => other !== place), a: "0", b: "1" });
  const head = trials.map((trial, place) =>
    el(
      "th",
      { key: `${trial.key}:${trial.number}`, scope: "col", class: "text" },
      swatch(trial.color, trial.dash),
      el("a", { href: trialAddress(trial.key, trial.number) }, trial.name),
      " ",
      trials.length > 1
        ? el(
            "button",
            { type: "button", "aria-label": `Remove ${trial.name}`, onClick: remove(place) },
            "×",
          )
        : null,
    ),
  );
  const bodies = sections.map(({ name, rows }) => {
    const shown = rows.filter((row) => query.all || row.differs || trials.length === 1);
    if (!shown.length) return null;
    return el(
      "tbody",
      { key: name },
      el("tr", {}, el("th", { scope: "colgroup", colSpan: trials.length + 1 }, name)),
      shown.map((row) => factRow(row)),
    );
  });
  const onChange = () => change({ all: query.all ? "" : "1" });
  return el(
    "section",
    { key: "facts", class: "card" },
    el("h2", {}, query.all ? "All facts" : "What differs"),
    el(
      "div",
      { class: "tools" },
      el(
        "label",
        {},
        el("input", { type: "checkbox", checked: Boolean(query.all), onChange }),
        "Show what is equal, too",
      ),
    ),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "compared" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Trial"), head)),
        bodies,
      ),
    ),
    bodies.some(Boolean) ? null : el("p", { class: "sub" }, "These trials do not differ."),
  );
}

/** @param {Row} row */
function factRow({ name, values, differs }) {
  return el(
    "tr",
    { key: name },
    el("th", { scope: "row", class: "text" }, name),
    values.map((value, place) =>
      el("td", { key: place, class: differs ? "text differs" : "text" }, value ?? "–"),
    ),
  );
}

/**
 * @param {View} view
 * @param {Query} query
 * @param {import("./api.js").Figure | undefined} figure
 * @param {(changes: Partial<Query>) => void} change
 */
function curvesCard({ axes }, query, figure, change) {
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const onChange = ({ currentTarget }) => change({ x: currentTarget.value });
  return el(
    "div",
    { key: "curves" },
    el(
      "div",
      { class: "tools" },
      el(
        "label",
        { for: "curves-x" },
        "Curves against",
        el(
          "select",
          { id: "curves-x", value: query.x, onChange },
          axes.map((name) => el("option", { key: name, value: name }, name)),
        ),
      ),
    ),
    el(
      "div",
      { class: "figures" },
      el(FigureCard, {
        key: `race-${query.x}`,
        name: "race",
        title: "Learning curves",
        note: figure && isEmpty(figure) ? "These trials have no values here." : "",
        figure,
      }),
    ),
  );
}

/** @param {import("./api.js").Figure} figure */
const isEmpty = (figure) =>
  figure.data.every((trace) => !(/** @type {{x?: number[]}} */ (trace).x?.length));

/**
 * @param {View} view
 * @param {Query} query
 * @param {(changes: Partial<Query>) => void} change
 * @param {{words: import("./dom.js").Child, logs: import("./dom.js").Child,
 *   diffLogs: () => void}} parts
 */
function pairCard({ trials }, query, change, { words, logs, diffLogs }) {
  const pair = [trials[Number(query.a)], trials[Number(query.b)]];
  const haveRuns = pair.every((trial) => trial?.run);
  /**
   * @param {"a" | "b"} side
   * @param {string} label
   */
  const choice = (side, label) =>
    el(
      "label",
      { for: `pair-${side}` },
      label,
      el(
        "select",
        {
          id: `pair-${side}`,
          value: query[side],
          /** @param {{currentTarget: HTMLSelectElement}} event */
          onChange: ({ currentTarget }) => change({ [side]: currentTarget.value }),
        },
        trials.map(({ name }, place) => el("option", { key: place, value: String(place) }, name)),
      ),
    );
  return el(
    "section",
    { key: "pair", class: "card" },
    el("h2", {}, "Commands and logs of two trials"),
    trials.length > 2
      ? el("div", { class: "tools" }, choice("a", "From"), choice("b", "to"))
      : null,
    haveRuns ? null : el("p", { class: "sub" }, "One of these trials has no job run."),
    words,
    haveRuns
      ? el("button", { type: "button", onClick: diffLogs }, "Compare the logs of the last runs")
      : null,
    logs,
  );
}
