// What can be done to one trial from its row or its page: cancel its run, or withdraw it.

import { post, sendCommand } from "./api.js";
import { el } from "./dom.js";
import { ask } from "./question_dialog.js";
import { redraw } from "./screen.js";
import { errorMessage } from "./widgets.js";

/** @typedef {{label: string, question: string, send: () => Promise<unknown>}} Action */

/**
 * Return a function that draws what can be done to a trial in its state, and how that went.
 *
 * @param {string} key
 */
export function trialActions(key) {
  /** How actions went, by trial and state: another state is an answer in itself.
   * @type {Map<string, string>} */
  const answers = new Map();

  /**
   * @param {string} id
   * @param {number} number
   * @param {Action} action
   */
  async function run(id, number, { label, question, send }) {
    if (!(await ask(question, `${label} trial ${number}`))) return;
    answers.set(id, `${label}: requested`);
    redraw();
    try {
      await send();
      answers.set(id, `${label}: done`);
    } catch (error) {
      answers.set(id, errorMessage(error));
    }
    redraw();
  }

  /**
   * @param {{number: number, state: string}} trial
   * @param {{control: boolean, owner: string | null}} study
   * @param {"plain" | "danger"} style "plain" in a row of a table.
   */
  return ({ number, state }, { control, owner }, style = "plain") => {
    const id = `${number} ${state}`;
    const said = answers.get(id);
    if (said) return el("span", { role: "status" }, said);
    const action = control ? chooseAction(key, number, state, Boolean(owner)) : null;
    if (!action) return null;
    return el(
      "button",
      {
        type: "button",
        class: style,
        "aria-label": `${action.label} trial ${number}`,
        onClick: () => run(id, number, action),
      },
      style === "plain" ? action.label.toLowerCase() : action.label,
    );
  };
}

/**
 * @param {string} key
 * @param {number} trial
 * @param {string} state
 * @param {boolean} isTuned
 * @returns {Action | null}
 */
function chooseAction(key, trial, state, isTuned) {
  if (state === "RUNNING" && isTuned) {
    return {
      label: "Cancel",
      question: `Cancel trial ${trial}? Its job run is stopped, and its result is lost.`,
      send: () => sendCommand(key, { command: "cancel", trial }),
    };
  }
  if (state === "WAITING") {
    return {
      label: "Withdraw",
      question: `Withdraw trial ${trial}? It waits to be run, and will not be.`,
      send: () => post(key, "withdraw", { trial }),
    };
  }
  return null;
}
