// Elements of the page. Every string that comes from a study is added as text, never as markup.

import { h } from "./preact.js";

/** @typedef {import("preact").VNode<any>} View */
/** @typedef {import("preact").ComponentChildren} Child */

/** Create an element, or a component, from its name, attributes and children. */
export const el = h;

/**
 * Return the element with an id.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no element #${id}`);
  return node;
}

export const main = byId("main");

/**
 * Return a table row of column headings.
 *
 * @param {string[]} labels
 * @param {string[]} numbers Labels of the columns of numbers, aligned to the right.
 */
export function headingRow(labels, numbers = []) {
  const heading = (/** @type {string} */ label) =>
    el("th", { key: label, scope: "col", class: numbers.includes(label) ? "number" : "" }, label);
  return el("tr", {}, labels.map(heading));
}

/**
 * Return a cell with a number, aligned to the right.
 *
 * @param {Child[]} content
 */
export function numberCell(...content) {
  return el("td", { class: "number" }, ...content);
}
