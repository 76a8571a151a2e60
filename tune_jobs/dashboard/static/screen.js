// What is shown in the main part: drawn from the state of a page after each change of it.
//
// Only what differs from before is changed in the document, so focus, scrolling, open panels and
// what was typed survive an update.

import { main } from "./dom.js";
import { render } from "./preact.js";

/** @typedef {() => import("./dom.js").Child} Draw */

/** @type {Draw} */
let draw = () => null;
/** What is shown in place of the page.
 * @type {Draw | null} */
let replacement = null;

/**
 * Show a page.
 *
 * @param {Draw} page Returns its elements, from its state.
 */
export function showScreen(page) {
  draw = page;
  redraw();
}

/**
 * Show something else in place of the page.
 *
 * @param {Draw | null} other Null to show the page again.
 */
export function replaceScreen(other) {
  if (other === null && replacement === null) return;
  replacement = other;
  redraw();
}

/** Draw the page again, after its state has changed. */
export const redraw = () => render((replacement ?? draw)(), main);
