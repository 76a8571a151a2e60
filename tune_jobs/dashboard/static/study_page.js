// The page of one study: its state, controls, figures and trials.

import { fetchFigure, fetchStudy } from "./api.js";
import { studyControls } from "./controls.js";
import { el, main } from "./dom.js";
import { drawFigure, figureCard } from "./figures.js";
import { formatDuration, formatHours, formatNumber, formatPercent } from "./format.js";
import { logButton } from "./log_dialog.js";
import { startPolling } from "./polling.js";
import { trialsTable } from "./trials_table.js";
import { stateBadge, stateBar, tile } from "./widgets.js";

/** @typedef {import("./api.js").StudyView} StudyView */

/**
 * Show a study.
 *
 * @param {string} key
 * @returns {() => void} Stops its updates.
 */
export function showStudy(key) {
  const head = el("div");
  const controls = studyControls(key);
  const figures = el("div", { class: "figures" });
  const table = trialsTable(key);
  main.replaceChildren(head, controls.node, figures, table.card);
  /** @type {Map<string, ReturnType<typeof figureCard>>} */
  const cards = new Map();
  /** @type {string | null} */
  let version = null;
  return startPolling(async () => {
    const study = await fetchStudy(key);
    document.title = `${study.name} · tune_jobs`;
    controls.node.hidden = !study.control;
    controls.enable(Boolean(study.owner));
    if (study.version === version && !study.owner) return;
    head.replaceChildren(...studyHead(key, study));
    if (study.version === version) return;
    version = study.version;
    for (const { name, title } of study.figures) {
      if (cards.has(name)) continue;
      const card = figureCard(name, title);
      cards.set(name, card);
      figures.append(card.card);
    }
    await table.load(study.control && Boolean(study.owner));
    for (const { name } of study.figures) {
      const card = cards.get(name);
      if (card) await drawFigure(card.node, await fetchFigure(key, name));
    }
  });
}

/**
 * @param {string} key
 * @param {StudyView} study
 */
function studyHead(key, study) {
  const compare = el("a", { href: `#/compare/${key}` }, "compare");
  return [
    el("h1", {}, study.name),
    el("p", { class: "sub" }, `${study.storage} · `, compare),
    el("div", { class: "card" }, stateBar(study.counts)),
    el("dl", { class: "tiles" }, ...studyTiles(study)),
    ...study.final_runs.map((run) =>
      el(
        "p",
        { class: "note" },
        `${run.name}: trial ${run.trial}, `,
        stateBadge(run.state),
        ` ${formatDuration(run.seconds)} `,
        logButton(key, run.name),
      ),
    ),
  ];
}

/** @param {StudyView} study */
function studyTiles(study) {
  const { counts, best } = study;
  const finished = counts.COMPLETE + counts.PRUNED + counts.FAIL;
  const params = Object.entries(best?.params ?? {}).map(([name, value]) => `${name}=${value}`);
  return [
    tile(
      "Trials",
      study.n_trials ? `${finished} of ${study.n_trials}` : finished,
      `${counts.RUNNING} running, ${counts.PRUNED} pruned, ${counts.FAIL} failed`,
    ),
    tile(
      `Best ${study.metrics.join(", ")}`,
      best ? formatNumber(best.value, 6) : "–",
      best ? `trial ${best.trial}: ${params.join(", ")}` : study.directions.join(", "),
    ),
    tile(
      "Run time",
      formatHours(study.run_hours),
      study.cost ? `cost ${formatNumber(study.cost)}` : null,
    ),
    tile(
      "Slots",
      study.slots || "–",
      study.slots
        ? `${formatPercent(study.utilization)} running, ` +
            `${formatPercent(study.provisioning)} provisioning`
        : null,
    ),
    tile(
      "Time left",
      study.eta === null ? "–" : `about ${formatDuration(study.eta)}`,
      study.owner ? `tuned by ${study.owner}` : "not being tuned",
    ),
  ];
}
