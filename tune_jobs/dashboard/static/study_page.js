// The page of one study: its state, controls, figures and trials.

import { fetchFigure, fetchStudy } from "./api.js";
import { studyControls } from "./controls.js";
import { el, main } from "./dom.js";
import { drawFigure, figureCard } from "./figures.js";
import { formatDuration, formatHours, formatNumber, formatPercent } from "./format.js";
import { logButton } from "./log_dialog.js";
import { startPolling } from "./polling.js";
import { trialsTable } from "./trials_table.js";
import { countTrials, stateBadge, stateBar, tile } from "./widgets.js";

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
    ...(study.no_best && countTrials(study.counts)
      ? [el("p", { class: "note", id: "no-best" }, study.no_best)]
      : []),
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

/**
 * Return the parameters of the best trial, or some values of the Pareto front.
 *
 * @param {StudyView} study
 */
function bestDetails({ best, front, directions }) {
  if (best) {
    const params = Object.entries(best.params).map(([name, value]) => `${name}=${value}`);
    return `trial ${best.trial}: ${params.join(", ")}`;
  }
  const values = front.map(
    (each) => `${each.values.map((v) => formatNumber(v)).join(", ")} (trial ${each.trial})`,
  );
  return values.join("; ") || directions.join(", ");
}

/** @param {StudyView} study */
function studyTiles(study) {
  const { counts, best } = study;
  const finished = counts.COMPLETE + counts.PRUNED + counts.FAIL;
  const excluded = Object.entries(study.not_best).map(([reason, count]) => `, ${count} ${reason}`);
  return [
    tile(
      "Trials",
      study.n_trials ? `${finished} of ${study.n_trials}` : finished,
      `${counts.RUNNING} ${study.left_behind ? "left behind" : "running"}, ${counts.PRUNED} pruned, ${counts.FAIL} failed` +
        excluded.join(""),
    ),
    tile(
      `Best ${study.metrics.join(", ")}`,
      best ? formatNumber(best.value, 6) : study.front.length ? "Pareto front" : "none",
      bestDetails(study),
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
