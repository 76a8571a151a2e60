// The tiles in the head of a study's page.

import { formatCount, formatDuration, formatHours, formatNumber, formatPercent } from "./format.js";
import { tile } from "./widgets.js";

/** @typedef {import("./api.js").StudyView} StudyView */

/**
 * Return the parameters of the best trial, or the best value of each objective.
 *
 * @param {StudyView} study
 */
function bestDetails({ best, best_by_objective: bests, directions }) {
  if (best) {
    const params = Object.entries(best.params).map(([name, value]) => `${name}=${value}`);
    return `trial ${best.trial}: ${params.join(", ")}`;
  }
  const values = bests.map(
    ({ metric, value, trial }) => `best ${metric} ${formatNumber(value)} (trial ${trial})`,
  );
  return values.join("; ") || directions.join(", ");
}

/**
 * Return the tile that says how many trials there are, or configurations with promotion.
 *
 * @param {StudyView} study
 */
function trialsTile(study) {
  const { counts, promotion, feasibility } = study;
  const live = `${counts.RUNNING} ${study.left_behind ? "left behind" : "running"}`;
  const waiting = counts.WAITING ? [`${counts.WAITING} waiting`] : [];
  const excluded = Object.entries(study.not_best)
    .filter(([reason]) => reason !== "infeasible" || !feasibility)
    .map(([reason, count]) => `${count} ${reason}`);
  if (feasibility) {
    excluded.push(`${feasibility.feasible} feasible, ${feasibility.infeasible} infeasible`);
  }
  if (promotion) {
    const { rungs, configurations, finished } = promotion;
    const reached = rungs.map(({ reached: count }, i) => `${count} on rung ${i + 1}`);
    const ended = promotion.pruned ? [`${promotion.pruned} pruned`] : [];
    return tile(
      "Configurations",
      study.n_trials ? `${finished} of ${study.n_trials}` : configurations,
      [...reached, live, ...waiting, ...ended, `${promotion.failed} failed`, ...excluded].join(
        ", ",
      ),
    );
  }
  const finished = counts.COMPLETE + counts.PRUNED + counts.FAIL;
  return tile(
    "Trials",
    study.n_trials ? `${finished} of ${study.n_trials}` : `${finished} finished`,
    [live, ...waiting, `${counts.PRUNED} pruned`, `${counts.FAIL} failed`, ...excluded].join(", "),
  );
}

/** @param {StudyView} study */
function bestTile(study) {
  const { best, metrics, front_size: size } = study;
  if (metrics.length > 1) {
    return tile("Pareto front", size ? formatCount(size, "trial") : "none", bestDetails(study));
  }
  return tile(
    `Best ${metrics[0]}`,
    best ? formatNumber(best.value, 6) : "none",
    bestDetails(study),
  );
}

/**
 * Return the tiles in the head of a study's page.
 *
 * @param {StudyView} study
 */
export function studyTiles(study) {
  return [
    trialsTile(study),
    bestTile(study),
    tile(
      study.has_runs || study.owner ? "Run time" : "Time of trials",
      formatHours(study.run_hours),
      [
        study.cost ? `cost ${formatNumber(study.cost)}` : "",
        study.controller_hours ? `controllers ${formatHours(study.controller_hours)}` : "",
      ]
        .filter(Boolean)
        .join(", ") || null,
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
