// The page that trains the configuration of a trial in a final run, or says how to.

import { fetchStudy, fetchTraining, post } from "./api.js";
import { el } from "./dom.js";
import { formatDuration, formatName, formatNumber } from "./format.js";
import { startPolling } from "./polling.js";
import { ask } from "./question_dialog.js";
import { redraw } from "./screen.js";
import { errorNote, stateBadge, studyLink } from "./widgets.js";

/** @typedef {import("./api.js").Training} Training */

/**
 * Open the page.
 *
 * @param {string} key
 * @param {string} trial
 * @returns {import("./app.js").Page}
 */
export function openTraining(key, trial) {
  /** @type {Training | null} */
  let training = null;
  /** @type {string | null} */
  let name = null;
  /** @type {unknown} */
  let problem = null;

  async function update() {
    try {
      const [latest, study] = await Promise.all([fetchTraining(key, trial), fetchStudy(key)]);
      training = latest;
      name = study.name;
      document.title = `Train trial ${trial} · ${formatName(study.name)} · tune_jobs`;
    } catch (error) {
      problem = error;
    }
    redraw();
  }

  async function start() {
    if (!training || !(await ask(question(training), "Start the final run"))) return;
    problem = null;
    try {
      await post(key, "train", { trial: training.trial });
    } catch (error) {
      problem = error;
    }
    await update();
  }

  function draw() {
    const back = studyLink(key, name);
    return [
      el("h1", { key: "title" }, `Train the configuration of trial ${trial}`),
      el("p", { key: "back", class: "sub" }, back),
      problem ? el("div", { key: "problem" }, errorNote(problem)) : null,
      training ? trainingCard(training, start) : null,
      training?.output ? outputCard(training) : null,
    ];
  }

  return { draw, close: startPolling(update) };
}

/** @param {Training} training */
function question({ trial, file, seconds, cost }) {
  const took = seconds === null ? "" : ` Trial ${trial} took ${formatDuration(seconds)}`;
  const paid = cost === null ? "" : ` and cost ${formatNumber(cost)}`;
  return `Start a final run with the configuration of trial ${trial}, as ${file} describes it?${took}${took ? `${paid}.` : ""}`;
}

/**
 * @param {Training} training
 * @param {() => void} start
 */
function trainingCard(training, start) {
  const runs = training.runs.map((run) =>
    el("p", { key: run.name }, `${run.name} `, stateBadge(run.state), ` ${run.cause}`),
  );
  return el(
    "section",
    { key: "train", class: "card" },
    el(
      "p",
      {},
      "A final run trains one configuration once more, with the arguments that the study has for " +
        "it, and keeps its outputs with their provenance. If the same final run has succeeded, it " +
        "is not repeated.",
    ),
    runs,
    training.obstacle
      ? el("p", { class: "note warning" }, training.obstacle)
      : el(
          "button",
          { type: "button", class: "primary", disabled: training.running, onClick: start },
          training.running ? "Training…" : "Start the final run…",
        ),
    el("h2", { class: "by-hand" }, "By hand"),
    training.commands.map(({ where, text }) => commandRow(where, text)),
  );
}

/**
 * @param {string} where
 * @param {string} text
 */
function commandRow(where, text) {
  const copy = () => navigator.clipboard?.writeText(text);
  return el(
    "div",
    { key: where, class: "command" },
    el("span", { class: "sub" }, where),
    el("code", {}, text),
    el(
      "button",
      { type: "button", "aria-label": `Copy the command for ${where}`, onClick: copy },
      "Copy",
    ),
  );
}

/** @param {Training} training */
function outputCard({ output, running, code }) {
  const state = running ? "is running" : code === 0 ? "has succeeded" : `ended with code ${code}`;
  return el(
    "section",
    { key: "output", class: "card" },
    el("h2", {}, `The command ${state}`),
    el("pre", { class: "output", tabIndex: 0, "aria-label": "Output of the command" }, output),
  );
}
