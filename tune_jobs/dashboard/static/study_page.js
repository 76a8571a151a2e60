// The page of one study: its state, controls, figures and trials.

import { trialAddress } from "./address.js";
import { fetchStudy } from "./api.js";
import { studyControls } from "./controls.js";
import { el } from "./dom.js";
import { formatDuration, formatName } from "./format.js";
import { logButton } from "./log_dialog.js";
import { noteEditor } from "./note_editor.js";
import { startPolling } from "./polling.js";
import { redraw } from "./screen.js";
import { studyFigures } from "./study_figures.js";
import { studyTiles } from "./study_tiles.js";
import { trialsSection } from "./trials_section.js";
import { countTrials, skeleton, stateBadge, stateBar } from "./widgets.js";

/** @typedef {import("./api.js").StudyView} StudyView */

const OUTLINE = ["title", "card", "row", "figure", "figure"].map((part) => `skeleton ${part}`);

/**
 * Open the page of a study.
 *
 * @param {string} key
 * @param {URLSearchParams} query What its table shows.
 * @returns {import("./app.js").Page}
 */
export function openStudy(key, query) {
  const drawControls = studyControls(key);
  const drawNote = noteEditor(key, null);
  const trials = trialsSection(key, query);
  const figures = studyFigures(key, query, (numbers, isAdded) =>
    trials.select(isAdded ? [...trials.selected(), ...numbers] : numbers),
  );
  /** @type {StudyView | null} */
  let study = null;
  let version = "";

  async function update() {
    const latest = await fetchStudy(key);
    study = latest;
    document.title = `${formatName(latest.name)} · tune_jobs`;
    redraw();
    if (latest.version === version) return;
    await trials.load();
    await figures.load(latest);
    version = latest.version;
  }

  function draw() {
    if (!study) return skeleton(OUTLINE);
    return [
      el("div", { key: "head" }, studyHead(key, study)),
      drawNote(study.user_note.text, study.control),
      study.control ? drawControls(study) : null,
      trials.draw(study),
      figures.draw(study, trials.selected()),
    ];
  }

  /** @param {URLSearchParams} address */
  function follow(address) {
    trials.follow(address);
    figures.follow(address);
  }

  return { draw, close: startPolling(update), follow };
}

/**
 * @param {string} key
 * @param {StudyView} study
 */
function studyHead(key, study) {
  const compare = el("a", { href: `#/compare/${key}` }, "compare");
  const enqueue = el("a", { href: `#/study/${key}/enqueue` }, "enqueue a configuration");
  const best = study.best?.trial;
  const train = el("a", { href: `#/study/${key}/train/${best}` }, "train the best");
  return [
    el("h1", {}, formatName(study.name)),
    el(
      "p",
      { class: "sub" },
      `${study.storage} · `,
      compare,
      study.control ? [" · ", enqueue] : null,
      study.control && best !== undefined ? [" · ", train] : null,
    ),
    study.promotion ? null : el("div", { class: "card" }, stateBar(study.counts)),
    el("dl", { class: "tiles" }, studyTiles(study)),
    study.no_best && countTrials(study.counts)
      ? el("p", { class: "note", id: "no-best" }, study.no_best)
      : null,
    study.final_runs.map((run) => finalRun(key, run)),
  ];
}

/**
 * @param {string} key
 * @param {StudyView["final_runs"][number]} run
 */
function finalRun(key, run) {
  const final = run.name.replace(/-\d+$/, ""); // without the number of the attempt
  const address = trialAddress(key, final);
  return el(
    "p",
    { key: run.name, class: "note" },
    el("a", { href: address }, run.name),
    `: trial ${run.trial}, `,
    stateBadge(run.state),
    ` ${formatDuration(run.seconds)} `,
    logButton(key, { name: run.name, address, page: `Final run ${final}` }),
  );
}
