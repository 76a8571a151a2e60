// Buttons and a form that control the process that tunes a study.

import { sendCommand } from "./api.js";
import { el } from "./dom.js";
import { errorMessage } from "./problems.js";
import { ask } from "./question_dialog.js";
import { redraw } from "./screen.js";

/** @typedef {import("./api.js").Command} Command */
/** @typedef {import("./api.js").StudyView} StudyView */

/** @type {[string, Command][]} */
const HARMLESS = [
  ["Pause", { command: "pause" }],
  ["Resume", { command: "resume" }],
];

/** @type {[string, Command, string][]} Label, command, and the question before it is sent. */
const STOPPING = [
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
 * Return a function that draws the controls of a study.
 *
 * @param {string} key
 */
export function studyControls(key) {
  let progress = "";
  let isError = false;
  /** What was typed and not sent yet.
   * @type {{max_parallel?: string, n_trials?: string}} */
  let typed = {};

  /**
   * @param {string} text
   * @param {boolean} [failed]
   */
  function say(text, failed = false) {
    progress = text;
    isError = failed;
    redraw();
  }

  /**
   * @param {string} label
   * @param {Command} command
   * @param {string} [question] Asked before; absent if there is nothing to lose.
   */
  async function send(label, command, question) {
    if (question && !(await ask(question, label))) return false;
    say(`${label}: requested`);
    try {
      const changes = await sendCommand(key, command);
      say(`${label}: ${changes || "done"}`);
      return true;
    } catch (error) {
      say(`${label}: ${errorMessage(error)}`, true);
      return false;
    }
  }

  /** @param {Event} event */
  async function changeLimits(event) {
    event.preventDefault();
    /** @type {Command} */
    const command = { command: "set" };
    if (typed.max_parallel) command.max_parallel = Number(typed.max_parallel);
    if (typed.n_trials) command.n_trials = Number(typed.n_trials);
    if (await send("Limits", command)) typed = {};
    redraw();
  }

  /**
   * @param {string} label
   * @param {"max_parallel" | "n_trials"} name
   * @param {number | null} present
   * @param {boolean} enabled
   */
  const limit = (label, name, present, enabled) =>
    el(
      "label",
      {},
      label,
      el("input", {
        type: "number",
        min: 1,
        step: 1,
        class: "short",
        disabled: !enabled,
        value: typed[name] ?? present ?? "",
        placeholder: "unlimited",
        /** @param {{currentTarget: HTMLInputElement}} event */
        onInput: ({ currentTarget }) => {
          typed = { ...typed, [name]: currentTarget.value };
          redraw();
        },
      }),
    );

  /** @param {StudyView} study */
  return (study) => {
    const enabled = Boolean(study.owner);
    /** @param {string} label @param {Command} command @param {string} [question] */
    const button = (label, command, question) =>
      el(
        "button",
        {
          key: label,
          type: "button",
          class: question ? "danger" : "",
          disabled: !enabled,
          onClick: () => send(label, command, question),
        },
        label,
      );
    const isChanged = typed.max_parallel !== undefined || typed.n_trials !== undefined;
    return el(
      "section",
      { key: "controls", class: "card controls", "aria-label": "Controls" },
      el(
        "div",
        { class: "group" },
        HARMLESS.map((each) => button(...each)),
      ),
      el(
        "form",
        { class: "group", onSubmit: changeLimits },
        limit("Runs at once", "max_parallel", study.max_parallel, enabled),
        limit("Trials in all", "n_trials", study.n_trials, enabled),
        el("button", { disabled: !enabled || !isChanged }, "Change limits"),
      ),
      el(
        "div",
        { class: "group stopping" },
        STOPPING.map((each) => button(...each)),
      ),
      el(
        "p",
        { role: "status", class: isError ? "answer failed" : "answer" },
        progress || (enabled ? "" : "No process tunes this study: there is nothing to control."),
      ),
    );
  };
}
