// The table of the Pareto front: its trials with their values and parameters.

import { trialAddress } from "./address.js";
import { fetchFront } from "./api.js";
import { el } from "./dom.js";
import { formatNumber } from "./format.js";
import { redraw } from "./screen.js";

/** @typedef {import("./api.js").Front} Front */
/** @typedef {import("./api.js").FrontRow} FrontRow */
/** @typedef {string | number | null} Cell */
/** @typedef {{id: string, label: string, isNumber: boolean, read: (row: FrontRow) => Cell}} Column */

/**
 * Return the table of the front: functions that draw it and load it.
 *
 * @param {string} key
 * @param {(figure: string, values: Record<string, string>) => void} choose Puts its order into the
 *     address.
 */
export function frontTable(key, choose) {
  /** @type {Front | null} */
  let front = null;
  let version = "";

  /** @param {string} latest Version of the study. */
  async function load(latest) {
    if (latest === version) return;
    front = await fetchFront(key);
    version = latest;
    redraw();
  }

  /** @param {Record<string, string>} chosen */
  function draw({ sort = "value-0", order = "" }) {
    if (!front?.rows.length) return null;
    const columns = listColumns(front);
    const column = columns.find(({ id }) => id === sort) ?? columns[1];
    const isDescending = order === "desc";
    const rows = sortRows(front.rows, column, isDescending);
    const headings = columns.map((each) =>
      heading(each, each === column, isDescending, () =>
        choose("front", {
          sort: each.id,
          order: each === column && !isDescending ? "desc" : "",
        }),
      ),
    );
    const shown = front.total > rows.length ? `the first ${rows.length} of ${front.total}` : "";
    return el(
      "section",
      { key: "front-table", class: "card wide", id: "front-table" },
      el("h2", {}, `Trials of the Pareto front (${shown || front.total})`),
      el(
        "div",
        { class: "scroll front" },
        el(
          "table",
          {},
          el("thead", {}, el("tr", {}, headings)),
          el(
            "tbody",
            {},
            rows.map((row) => tableRow(key, row, columns)),
          ),
        ),
      ),
    );
  }

  return { draw, load };
}

/**
 * @param {Front} front
 * @returns {Column[]}
 */
function listColumns({ metrics, params, rows }) {
  const isNumber = (/** @type {number} */ i) =>
    rows.every(({ params: values }) => values[i] === null || typeof values[i] === "number");
  return [
    {
      id: "trial",
      label: "trial",
      isNumber: true,
      read: (/** @type {FrontRow} */ row) => row.trial,
    },
    ...metrics.map((label, i) => ({
      id: `value-${i}`,
      label,
      isNumber: true,
      read: (/** @type {FrontRow} */ row) => row.values[i],
    })),
    ...params.map((label, i) => ({
      id: `param-${label}`,
      label,
      isNumber: isNumber(i),
      read: (/** @type {FrontRow} */ row) => row.params[i],
    })),
  ];
}

/**
 * Return the rows by a column; what is missing comes last.
 *
 * @param {FrontRow[]} rows
 * @param {Column} column
 * @param {boolean} isDescending
 */
function sortRows(rows, { read }, isDescending) {
  const sign = isDescending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [read(a), read(b)];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    if (typeof left === "number" && typeof right === "number") return sign * (left - right);
    return sign * String(left).localeCompare(String(right));
  });
}

/**
 * @param {Column} column
 * @param {boolean} isSorted
 * @param {boolean} isDescending
 * @param {() => void} onClick
 */
function heading({ id, label, isNumber }, isSorted, isDescending, onClick) {
  const direction = isDescending ? "descending" : "ascending";
  return el(
    "th",
    {
      key: id,
      scope: "col",
      class: isNumber ? "number" : "",
      "aria-sort": isSorted ? direction : "none",
    },
    el("button", { type: "button", onClick }, label),
  );
}

/**
 * @param {string} key
 * @param {FrontRow} row
 * @param {Column[]} columns
 */
function tableRow(key, row, columns) {
  const cells = columns.map((column) => {
    const value = column.read(row);
    const text = typeof value === "number" ? formatNumber(value, 6) : (value ?? "–");
    const content =
      column.id === "trial" ? el("a", { href: trialAddress(key, row.trial) }, text) : text;
    return el("td", { key: column.id, class: column.isNumber ? "number" : "" }, content);
  });
  return el("tr", { key: row.trial }, cells);
}
