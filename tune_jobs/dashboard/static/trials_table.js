// The table of trials: sorted, filtered and paged by the server.

import { fetchTrials, sendCommand } from "./api.js";
import { el, numberCell } from "./dom.js";
import { formatDuration, formatNumber } from "./format.js";
import { logButton } from "./log_dialog.js";
import { ask } from "./question_dialog.js";
import { errorMessage, errorNote, stateBadge } from "./widgets.js";

/** @typedef {import("./api.js").TrialRow} TrialRow */
/** @typedef {import("./api.js").TrialsPage} TrialsPage */
/** @typedef {{offset: number, sort: string, order: string, state: string, text: string}} Query */

const STATES = ["COMPLETE", "INFEASIBLE", "PRUNED", "FAIL", "RUNNING", "WAITING"];
const FIXED_COLUMNS = 9;

/**
 * Return the table, and a function that loads it.
 *
 * @param {string} key
 */
export function trialsTable(key) {
  /** @type {Query} */
  const query = { offset: 0, sort: "number", order: "desc", state: "", text: "" };
  let cancellable = false;
  const head = el("thead");
  const body = el("tbody");

  /** @param {Partial<Query>} changes */
  async function reload(changes) {
    Object.assign(query, changes);
    try {
      await load(cancellable);
    } catch (error) {
      body.replaceChildren(el("tr", {}, el("td", {}, errorNote(error))));
    }
  }

  const tools = tableTools(query, reload);
  const table = el(
    "table",
    { id: "trials" },
    el("caption", {}, "Trials with their last job run. Select a heading to sort."),
    head,
    body,
  );
  const card = el(
    "section",
    { class: "card" },
    el("h2", {}, "Trials"),
    tools.node,
    el("div", { class: "scroll" }, table),
  );

  /** @param {boolean} canCancel Whether running trials have a button that cancels them. */
  async function load(canCancel) {
    cancellable = canCancel;
    const { offset, ...filter } = query;
    const page = await fetchTrials(key, { ...filter, offset: String(offset) });
    head.replaceChildren(columnHeadings(page.params, query, reload));
    const rows = page.rows.map((row) => trialRow(key, row, canCancel));
    const columns = FIXED_COLUMNS + page.params.length;
    const empty = el("tr", {}, el("td", { colspan: columns }, "No trials."));
    body.replaceChildren(...(rows.length ? rows : [empty]));
    tools.update(page);
  }
  return { card, load };
}

/**
 * Return the filters and the buttons for paging.
 *
 * @param {Query} query
 * @param {(changes: Partial<Query>) => void} reload
 */
function tableTools(query, reload) {
  let pageSize = 0;
  const place = el("span", { role: "status" });
  const state = el(
    "select",
    { id: "state", onchange: (event) => reload({ state: event.target.value, offset: 0 }) },
    el("option", { value: "" }, "all"),
    ...STATES.map((name) => el("option", { value: name }, name.toLowerCase())),
  );
  const text = el("input", {
    type: "search",
    id: "text",
    placeholder: "parameter or cause",
    oninput: (event) => reload({ text: event.target.value, offset: 0 }),
  });
  const previous = el(
    "button",
    { type: "button", onclick: () => reload({ offset: query.offset - pageSize }) },
    "Previous",
  );
  const next = el(
    "button",
    { type: "button", onclick: () => reload({ offset: query.offset + pageSize }) },
    "Next",
  );
  const stateLabel = el("label", { for: "state" }, "State");
  const textLabel = el("label", { for: "text" }, "Search");
  const parts = [stateLabel, state, textLabel, text, previous, next, place];
  return {
    node: el("div", { class: "tools" }, ...parts),
    /** @param {TrialsPage} page */
    update: (page) => {
      pageSize = page.page;
      const last = Math.min(page.offset + page.page, page.total);
      previous.disabled = page.offset === 0;
      next.disabled = last >= page.total;
      place.textContent = page.total ? `${page.offset + 1} to ${last} of ${page.total}` : "";
    },
  };
}

/**
 * Return the column headings; those of columns that can be sorted are buttons.
 *
 * @param {string[]} params
 * @param {Query} query
 * @param {(changes: Partial<Query>) => void} reload
 */
function columnHeadings(params, query, reload) {
  /**
   * @param {string} label
   * @param {string} sort
   * @param {string | null} style
   */
  function sortable(label, sort, style = null) {
    const current = query.sort === sort;
    const descending = query.order === "desc";
    const order = current ? (descending ? "descending" : "ascending") : null;
    const mark = current ? (descending ? " ▼" : " ▲") : "";
    const change = { sort, order: current && descending ? "asc" : "desc", offset: 0 };
    const button = el("button", { type: "button", onclick: () => reload(change) }, label, mark);
    return el("th", { scope: "col", class: style, "aria-sort": order }, button);
  }
  return el(
    "tr",
    {},
    sortable("Trial", "number", "number"),
    sortable("State", "state"),
    sortable("Value", "value", "number"),
    el("th", { scope: "col", class: "number" }, "Latest"),
    el("th", { scope: "col" }, "Run"),
    sortable("Duration", "seconds", "number"),
    sortable("Cost", "cost", "number"),
    ...params.map((name) => sortable(name, `param:${name}`)),
    el("th", { scope: "col", class: "text" }, "Cause"),
    el("th", { scope: "col" }, "Log"),
  );
}

/**
 * @param {string} key
 * @param {TrialRow} row
 * @param {boolean} canCancel
 */
function trialRow(key, row, canCancel) {
  const actions = el("td", {}, row.run ? logButton(key, row.run) : null);
  if (canCancel && row.state === "RUNNING") actions.append(" ", cancelButton(key, row.number));
  return el(
    "tr",
    {},
    numberCell(row.number),
    el("td", {}, stateBadge(row.state), row.note ? el("div", { class: "sub" }, row.note) : null),
    numberCell(row.values.map((value) => formatNumber(value, 6)).join(", ") || "–"),
    numberCell(row.latest === null ? "–" : `${formatNumber(row.latest)} @ ${row.step}`),
    el("td", {}, ...(row.run ? runParts(row) : [])),
    numberCell(formatDuration(row.seconds)),
    numberCell(formatNumber(row.cost, 3)),
    ...row.params.map((value) =>
      el("td", {}, typeof value === "string" ? value : formatNumber(value)),
    ),
    el("td", { class: "text" }, row.cause),
    actions,
  );
}

/**
 * Return the state of a trial's last run, with its attempt, its origin and a link to its console.
 *
 * @param {TrialRow} row
 */
function runParts(row) {
  /** @type {(Node | string)[]} */
  const parts = [stateBadge(row.run_state)];
  if (row.attempt > 1) parts.push(` attempt ${row.attempt}`);
  if (row.continued_from !== null) parts.push(` continues trial ${row.continued_from}`);
  if (row.console) {
    const link = { href: row.console, target: "_blank", rel: "noopener noreferrer" };
    parts.push(" ", el("a", link, "console"));
  }
  return parts;
}

/**
 * @param {string} key
 * @param {number} trial
 */
function cancelButton(key, trial) {
  const cancel = async () => {
    const question = `Cancel trial ${trial}? Its job run is stopped, and its result is lost.`;
    if (!(await ask(question, label))) return;
    button.disabled = true;
    try {
      await sendCommand(key, { command: "cancel", trial });
    } catch (error) {
      button.textContent = errorMessage(error);
    }
  };
  const label = `Cancel trial ${trial}`;
  const attributes = { type: "button", class: "plain", "aria-label": label, onclick: cancel };
  const button = el("button", attributes, "cancel");
  return button;
}
