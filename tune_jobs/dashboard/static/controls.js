// Buttons that control the process that tunes a study.

import { sendCommand } from "./api.js";
import { el } from "./dom.js";
import { ask } from "./question_dialog.js";
import { errorMessage } from "./widgets.js";

/** @typedef {import("./api.js").Command} Command */

/** @type {[string, Command, string][]} Label, command, and the question before it is sent. */
const COMMANDS = [
  ["Pause", { command: "pause" }, ""],
  ["Resume", { command: "resume" }, ""],
  [
    "Stop (let runs finish)",
    { command: "stop" },
    "Stop this study? Its live runs finish, and no further ones are started.",
  ],
  [
    "Stop and cancel runs",
    { command: "stop", runs: "cancel" },
    "Stop this study and cancel its live runs? What they have computed since their last checkpoint is lost.",
  ],
];

/**
 * Return the control buttons of a study, and a function that enables or disables them.
 *
 * @param {string} key
 */
export function studyControls(key) {
  const status = el("span", { role: "status" });
  const buttons = COMMANDS.map(([label, command, question]) =>
    controlButton(label, question, status, () => sendCommand(key, command)),
  );
  return {
    node: el("div", { class: "tools", hidden: true }, ...buttons, status),
    /** @param {boolean} on */
    enable: (on) => {
      for (const button of buttons) button.disabled = !on;
    },
  };
}

/**
 * @param {string} label
 * @param {string} question Asked before; empty if there is nothing to lose.
 * @param {HTMLElement} status Shows the progress of the command.
 * @param {() => Promise<void>} command
 */
function controlButton(label, question, status, command) {
  const send = async () => {
    if (question && !(await ask(question, label))) return;
    status.textContent = `${label}: requested`;
    try {
      await command();
      status.textContent = `${label}: done`;
    } catch (error) {
      status.textContent = `${label}: ${errorMessage(error)}`;
    }
  };
  return el("button", { type: "button", onclick: send }, label);
}
