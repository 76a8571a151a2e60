// A dialog that asks before something is stopped.

import { byId } from "./dom.js";

const dialog = /** @type {HTMLDialogElement} */ (byId("question"));
const text = byId("question-text");
const yes = byId("question-yes");

/**
 * Ask a question; return whether it was confirmed.
 *
 * @param {string} question
 * @param {string} action Label of the button that confirms.
 * @returns {Promise<boolean>}
 */
export function ask(question, action) {
  text.textContent = question;
  yes.textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
