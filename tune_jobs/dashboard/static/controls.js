// Buttons that control the process that tunes a study.

import { sendCommand } from "./api.js";
import { el } from "./dom.js";
import { errorMessage } from "./widgets.js";

/** @typedef {import("./api.js").Command} Command */

/** @type {[string, Command][]} */
const COMMANDS = [
  ["Pause", { command: "pause" }],
  ["Resume", { command: "resume" }],
  ["Stop (let runs finish)", { command: "stop" }],
  ["Stop and cancel runs", { command: "stop", runs: "cancel" }],
];

/**
 * Return the control buttons of a study, and a function that enables or disables them.
 *
 * @param {string} key
 */
export function studyControls(key) {
  const status = el("span", { role: "status" });
  const buttons = COMMANDS.map(([label, command]) => controlButton(key, label, command, status));
  return {
    node: el("div", { class: "tools", hidden: true }, ...buttons, status),
    /** @param {boolean} on */
    enable: (on) => {
      for (const button of buttons) button.disabled = !on;
    },
  };
}

/**
 * @param {string} key
 * @param {string} label
 * @param {Command} command
 * @param {HTMLElement} status Shows the progress of the command.
 */
function controlButton(key, label, command, status) {
  const send = async () => {
    status.textContent = `${label}: requested`;
    try {
      await sendCommand(key, command);
      status.textContent = `${label}: done`;
    } catch (error) {
      status.textContent = `${label}: ${errorMessage(error)}`;
    }
  };
  return el("button", { type: "button", onclick: send }, label);
}
