// Elements of the page. Every string that comes from a study is added as text, never as markup.

/** @typedef {string | number | Node | null | undefined} Child */
/** @typedef {string | number | boolean | null | undefined | ((event: any) => void)} Attribute */

/**
 * Create an element.
 *
 * Attributes that are null, undefined or false are left out, those that are true have no value, and
 * those whose name begins with "on" are event listeners. Children that are null or undefined are
 * left out.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, Attribute>} attributes
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined) {
      node.append(child instanceof Node ? child : String(child));
    }
  }
  return node;
}

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
 */
export function headingRow(labels) {
  return el("tr", {}, ...labels.map((label) => el("th", { scope: "col" }, label)));
}

/**
 * Return a cell with a number, aligned to the right.
 *
 * @param {Child[]} content
 */
export function numberCell(...content) {
  return el("td", { class: "number" }, ...content);
}
