// The columns of the table of trials: which there are, how wide they are, what their cells show.

import { el } from "./dom.js";
import { formatDuration, formatNumber } from "./format.js";
import { stateBadge } from "./widgets.js";

/** @typedef {import("./api.js").Field} Field */
/** @typedef {import("./api.js").Cell} Cell */
/** @typedef {import("./study_settings.js").SortKey} SortKey */
/** @typedef {(id: string) => Cell} Read Returns the value of a field of one trial. */

/** The first column, which is always shown. */
export const NUMBER = "number";

const DEFAULT_COLUMNS = ["state", "value", "latest", "run_state", "seconds", "cost"];
const DEFAULT_PARAMETERS = 20;
const CHARACTER_WIDTH = 8.4;
/** Digits are wider than most letters. */
const DIGIT_WIDTH = 9.2;
const PADDING = 22;
const WIDEST = { text: 48, state: 44, number: 34, seconds: 16, link: 10 };
/** Rows whose cells decide how wide a column is. */
const MEASURED_ROWS = 400;

/**
 * Return the columns that are shown unless others were chosen.
 *
 * @param {Field[]} fields
 */
export function defaultColumns(fields) {
  const params = fields.filter((field) => field.group === "param").slice(0, DEFAULT_PARAMETERS);
  const values = fields.filter((field) => field.id.startsWith("value:"));
  const ids = DEFAULT_COLUMNS.flatMap((id) =>
    id === "value" ? [id, ...values.map((field) => field.id)] : [id],
  );
  return [...ids, ...params.map((field) => field.id), "cause", "note"];
}

/**
 * Return the fields that are shown, in their order.
 *
 * @param {Field[]} fields
 * @param {string[] | null} chosen
 */
export function chooseColumns(fields, chosen) {
  const byId = new Map(fields.map((field) => [field.id, field]));
  const ids = (chosen ?? defaultColumns(fields)).filter((id) => id !== NUMBER);
  return [NUMBER, ...ids].flatMap((id) => byId.get(id) ?? []);
}

/**
 * Return the value of a field as text.
 *
 * @param {Field} field
 * @param {Read} read
 */
function cellText(field, read) {
  const value = read(field.id);
  if (value === null || value === undefined) return field.kind === "number" ? "–" : "";
  if (field.id === "latest")
    return `${formatNumber(Number(value))} @ ${formatNumber(Number(read("step")))}`;
  if (field.kind === "seconds") return formatDuration(Number(value));
  if (typeof value === "number") {
    return formatNumber(value, field.id.startsWith("value") ? 6 : 5);
  }
  return value;
}

/**
 * Return what a cell shows beside a badge.
 *
 * @param {Field} field
 * @param {Read} read
 */
function badgeNotes(field, read) {
  if (field.id === "state") return read("standing") ? [String(read("standing"))] : [];
  const notes = [];
  if (Number(read("attempt")) > 1) notes.push(`attempt ${read("attempt")}`);
  if (read("continued_from") !== null) notes.push(`continues trial ${read("continued_from")}`);
  return notes;
}

/**
 * @param {Field} field
 * @param {Read} read
 * @param {(number: number) => string} trialLink
 */
export function trialCell(field, read, trialLink) {
  const value = read(field.id);
  const text = cellText(field, read);
  const isNumber = field.kind === "seconds" || typeof value === "number" || text === "–";
  const attributes = { key: field.id, class: isNumber ? "number" : "", title: text };
  if (field.id === NUMBER) {
    const href = trialLink(Number(value));
    return el("th", { ...attributes, scope: "row" }, el("a", { href }, value));
  }
  if (field.kind === "link") return el("td", attributes, value ? consoleLink(String(value)) : null);
  if (field.kind === "state") return stateCell(field, read);
  return el("td", attributes, text);
}

/**
 * @param {Field} field
 * @param {Read} read
 */
function stateCell(field, read) {
  const value = read(field.id);
  if (!value) return el("td", { key: field.id });
  const notes = badgeNotes(field, read).join(", ");
  const console = field.id === "run_state" ? read("console") : null;
  return el(
    "td",
    { key: field.id, title: notes || undefined },
    stateBadge(String(value)),
    console ? [" ", consoleLink(String(console))] : null,
    notes ? el("span", { class: "sub" }, ` ${notes}`) : null,
  );
}

/** @param {string} href */
const consoleLink = (href) =>
  el("a", { href, target: "_blank", rel: "noopener noreferrer" }, "console");

/**
 * Return the width of a column in pixels, for its label and the longest of some of its cells.
 *
 * @param {Field} field
 * @param {Read[]} rows
 */
export function measureColumn(field, rows) {
  let longest = field.label.length + 5;
  for (const read of rows.slice(0, MEASURED_ROWS)) {
    let length = cellText(field, read).length;
    if (field.kind === "state") {
      length += 2 + badgeNotes(field, read).join(", ").length;
      if (field.id === "run_state" && read("console")) length += 8;
    }
    if (length > longest) longest = length;
  }
  const width = field.kind === "number" ? DIGIT_WIDTH : CHARACTER_WIDTH;
  return Math.round(Math.min(longest, WIDEST[field.kind]) * width + PADDING);
}

/**
 * Return a comparison of rows: missing values are last, numbers before strings.
 *
 * @param {SortKey[]} keys
 * @param {(id: string) => number} index
 * @returns {(a: Cell[], b: Cell[]) => number}
 */
export function compareRows(keys, index) {
  const places = keys.map((key) => ({ at: index(key.id), sign: key.descending ? -1 : 1 }));
  return (a, b) => {
    for (const { at, sign } of places) {
      const order = compareCells(a[at] ?? null, b[at] ?? null, sign);
      if (order) return order;
    }
    return Number(b[0]) - Number(a[0]);
  };
}

/**
 * @param {Cell} a
 * @param {Cell} b
 * @param {number} sign
 */
function compareCells(a, b, sign) {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a < b ? -sign : sign;
}
