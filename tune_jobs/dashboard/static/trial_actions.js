// What can be done to trials: cancel the run of one, or withdraw it; one by its row or page, or all
// that are selected.

import { post, sendCommand } from "./api.js";
import { el } from "./dom.js";
import { ask } from "./question_dialog.js";
import { redraw } from "./screen.js";
import { errorMessage } from "./widgets.js";

/**
 * @typedef {object} Action
 * @property {"Cancel" | "Withdraw"} label
 * @property {string} question
 * @property {() => Promise<unknown>} send
 */

/** @typedef {{number: number, state: string}} Trial */
/** @typedef {{control: boolean, owner: string | null}} Study */

/** Trials that a question lists. */
const MAX_LISTED = 20;

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
   * @param {Trial} trial
   * @param {Study} study
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
 * Return a function that draws what can be done to all selected trials, and how that went.
 *
 * @param {string} key
 */
export function selectionActions(key) {
  let said = { about: "", text: "", isError: false };

  /**
   * @param {string} about
   * @param {string} text
   */
  function say(about, text, isError = false) {
    said = { about, text, isError };
    redraw();
  }

  /**
   * @param {string} about The selection.
   * @param {string} label
   * @param {{number: number, action: Action}[]} chosen
   */
  async function run(about, label, chosen) {
    if (!(await ask(questionAbout(chosen), `${label} ${countTrials(chosen.length)}`))) return;
    say(about, `${label} ${countTrials(chosen.length)}: requested`);
    const answers = await Promise.allSettled(chosen.map(({ action }) => action.send()));
    const failed = answers.flatMap((answer, i) =>
      answer.status === "rejected"
        ? [`trial ${chosen[i].number}: ${errorMessage(answer.reason)}`]
        : [],
    );
    const done = `${label} ${countTrials(chosen.length - failed.length)}: done`;
    say(about, [done, ...failed].join("; "), failed.length > 0);
  }

  /**
   * @param {Trial[]} trials Those that are selected.
   * @param {Study} study
   */
  return (trials, { control, owner }) => {
    const about = trials.map(({ number }) => number).join();
    const chosen = trials.flatMap(({ number, state }) => {
      const action = control ? chooseAction(key, number, state, Boolean(owner)) : null;
      return action ? [{ number, action }] : [];
    });
    const label = [...new Set(chosen.map(({ action }) => action.label))].join(" or ");
    return [
      chosen.length
        ? el(
            "button",
            {
              key: "act",
              type: "button",
              class: "danger",
              onClick: () => run(about, label, chosen),
            },
            `${label} ${countTrials(chosen.length)}…`,
          )
        : null,
      said.text && said.about === about
        ? el(
            "span",
            { key: "said", role: "status", class: said.isError ? "violated" : "" },
            said.text,
          )
        : null,
    ];
  };
}

/** @param {number} count */
const countTrials = (count) => (count === 1 ? "1 trial" : `${count} trials`);

/** @param {{number: number, action: Action}[]} chosen */
function questionAbout(chosen) {
  if (chosen.length === 1) return chosen[0].action.question;
  const of = (/** @type {string} */ label) =>
    chosen.filter(({ action }) => action.label === label).map(({ number }) => number);
  const [canceled, withdrawn] = [of("Cancel"), of("Withdraw")];
  const parts = [];
  if (canceled.length) {
    parts.push(
      `Cancel ${listTrials(canceled)}? Their job runs are stopped, and their results are lost.`,
    );
  }
  if (withdrawn.length) {
    parts.push(`Withdraw ${listTrials(withdrawn)}? They wait to be run, and will not be.`);
  }
  return parts.join(" ");
}

/** @param {number[]} numbers */
function listTrials(numbers) {
  const listed = [...numbers].sort((a, b) => a - b).slice(0, MAX_LISTED);
  const others = numbers.length - listed.length;
  const what = numbers.length === 1 ? "trial" : "trials";
  return `${what} ${listed.join(", ")}${others ? ` and ${others} others` : ""}`;
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
