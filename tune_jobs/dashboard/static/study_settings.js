// What the page of a study shows: its filter, sorting, columns and selection. It is in the address.

import { writeAddress } from "./address.js";
import { formatRanges, parseRanges } from "./ranges.js";

/** Characters of a selection that the address has room for. */
const MAX_SELECTION = 1500;

/** @typedef {{id: string, descending: boolean}} SortKey */

/**
 * @typedef {object} Settings
 * @property {string} where An expression, which the server evaluates.
 * @property {string} state
 * @property {string} text
 * @property {SortKey[]} sort The most important first.
 * @property {string[] | null} columns In their order; null for the default.
 * @property {Set<number>} selected
 * @property {boolean} only Whether the table shows selected trials only.
 * @property {number | null} trial The trial that is scrolled to.
 */

/**
 * @param {URLSearchParams} query
 * @returns {Settings}
 */
export function readSettings(query) {
  const orders = split(query.get("order") ?? "");
  const sort = split(query.get("sort") ?? (orders.length ? "number" : "")).map((id, i) => ({
    id,
    descending: orders[i] !== "asc",
  }));
  const trial = query.get("trial") ?? "";
  return {
    where: query.get("where") ?? "",
    state: query.get("state") ?? "",
    text: query.get("text") ?? "",
    sort: sort.length ? sort : [{ id: "number", descending: true }],
    columns: query.has("columns") ? split(query.get("columns") ?? "") : null,
    selected: parseRanges(query.get("selected") ?? ""),
    only: query.get("only") === "1",
    trial: /^\d{1,9}$/.test(trial) ? Number(trial) : null,
  };
}

/**
 * Put settings that are not the default into the address.
 *
 * @param {string} path
 * @param {Settings} settings
 * @param {boolean} isStep Whether the browser's button "back" returns to what was shown before.
 */
export function writeSettings(path, settings, isStep) {
  const { where, state, text, sort, columns, selected, only, trial } = settings;
  const isDefaultSort = sort.length === 1 && sort[0].id === "number" && sort[0].descending;
  const ranges = formatRanges(selected);
  /** @type {Record<string, string>} */
  const query = {
    where,
    sort: isDefaultSort ? "" : join(sort.map((each) => each.id)),
    order: sort.some((each) => !each.descending)
      ? sort.map((each) => (each.descending ? "desc" : "asc")).join(",")
      : "",
    state,
    text,
    columns: columns ? join(columns) : "",
    selected: fitsAddress(ranges) ? ranges : "",
    only: only ? "1" : "",
    trial: trial === null ? "" : String(trial),
  };
  const present = Object.entries(query).filter(([, value]) => value);
  writeAddress(path, Object.fromEntries(present), isStep);
}

/** @param {string} ranges */
const fitsAddress = (ranges) => ranges.length <= MAX_SELECTION;

/** @param {Set<number>} selected */
export const isShareable = (selected) => fitsAddress(formatRanges(selected));

/** @param {string[]} items */
const join = (items) =>
  items.map((item) => item.replace(/[%,]/g, (c) => encodeURIComponent(c))).join(",");

/** @param {string} joined */
function split(joined) {
  return joined
    .split(",")
    .filter(Boolean)
    .map((item) => item.replace(/%2C/gi, ",").replace(/%25/g, "%"));
}
