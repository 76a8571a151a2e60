// Small pieces that several pages show.

import { el } from "./dom.js";
import { formatName } from "./format.js";
import { errorMessage } from "./problems.js";

export { errorMessage };

/**
 * Return a note about an error.
 *
 * @param {unknown} error
 */
export function errorNote(error) {
  return el("p", { class: "note error", role: "alert" }, `Error: ${errorMessage(error)}`);
}

/**
 * Return the state of a trial or a job run as a badge.
 *
 * @param {string} name
 */
export function stateBadge(name) {
  return el("span", { class: `state ${name}` }, name.toLowerCase());
}

/**
 * Return a bar with a part for each state, as long as its share of the trials.
 *
 * @param {import("./api.js").Counts} counts
 */
export function stateBar(counts) {
  const present = Object.entries(counts).filter(([, count]) => count);
  const total = countTrials(counts);
  const label = present.map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ");
  const parts = present.map(([state, count]) =>
    el("span", { key: state, class: state, style: { width: `${(100 * count) / total}%` } }),
  );
  const described = { role: /** @type {"img"} */ ("img"), "aria-label": label || "no trials yet" };
  return el("div", { class: "bar", ...described, title: label }, parts);
}

/** @param {import("./api.js").Counts} counts */
export const countTrials = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

/**
 * Return a labelled value, with details in small print.
 *
 * @param {string} label
 * @param {string | number} value
 * @param {string | null} details
 */
export function tile(label, value, details) {
  const small = details ? el("small", {}, details) : null;
  return el(
    "div",
    { key: label, class: "tile" },
    el("dt", {}, label),
    el("dd", {}, value, " ", small),
  );
}

/**
 * Return the outline of what will be shown, so that nothing moves when it arrives.
 *
 * @param {string[]} parts Classes of the parts, such as "skeleton title".
 */
export function skeleton(parts) {
  return [
    el("p", { key: "loading", class: "unseen", role: "status" }, "Loading…"),
    parts.map((part, number) => el("div", { key: number, class: part, "aria-hidden": true })),
  ];
}

/**
 * Return a column heading that sorts.
 *
 * @param {string} title
 * @param {object} options
 * @param {string} options.key
 * @param {string} options.order "asc" or "desc"; empty if the table is sorted by another column.
 * @param {boolean} options.isNumber
 * @param {() => void} options.onClick
 */
export function sortableHeading(title, { key, order, isNumber, onClick }) {
  const style = isNumber ? "number" : "";
  const mark = order ? (order === "desc" ? " ▼" : " ▲") : "";
  const sorted = order ? (order === "desc" ? "descending" : "ascending") : undefined;
  return el(
    "th",
    { key, scope: "col", class: style, "aria-sort": sorted },
    el("button", { type: "button", onClick }, title, el("span", { "aria-hidden": true }, mark)),
  );
}

/**
 * Return the way back to a study.
 *
 * @param {string} key
 * @param {string | null} name Null while it is unknown.
 */
export function studyLink(key, name) {
  const href = `#/study/${key}`;
  if (name === null) return el("a", { href }, "Back to the study");
  return el("span", {}, "Study ", el("a", { href }, formatName(name)));
}
