// The page of one trial, or of one final run: why it is in its state, and everything that is known.

import { writeAddress } from "./address.js";
import { fetchUsage } from "./api.js";
import { el } from "./dom.js";
import { formatName } from "./format.js";
import { LogPanel } from "./log_panel.js";
import { noteEditor } from "./note_editor.js";
import { startPolling } from "./polling.js";
import { errorMessage, isMissingPart } from "./problems.js";
import { attemptsCard, commandCard, metricsCards, outputsCard, usageCard } from "./run_parts.js";
import { redraw } from "./screen.js";
import { trialActions } from "./trial_actions.js";
import { metricsPath, outputsPath, trialPath, VersionedView } from "./trial_api.js";
import { historyCard, paramsCard, trialHead, valuesCard } from "./trial_parts.js";

/** Updates of a live run after which its outputs and its usage are read again. */
const SLOW_UPDATES = 5;

/**
 * @typedef {object} RunFacts What is read of the chosen job run; each may be unknown.
 * @property {import("./api.js").RunUsage | null} usage
 * @property {Record<string, unknown>} problems Errors by what could not be read.
 * @property {string[]} tail The last lines of its log.
 */

/**
 * Open the page of a trial or a final run.
 *
 * @param {string} key
 * @param {string} kind "trial" or "run".
 * @param {string} id Number of the trial, or name of the final run.
 * @param {URLSearchParams} search
 * @returns {import("./app.js").Page}
 */
export function openTrial(key, kind, id, search) {
  let query = search;
  const drawAction = trialActions(key);
  const drawNote = kind === "trial" ? noteEditor(key, Number(id)) : null;
  /** @type {VersionedView<import("./trial_api.js").TrialView>} */
  const trial = new VersionedView();
  /** @type {VersionedView<import("./trial_api.js").MetricsView>} */
  const metrics = new VersionedView();
  /** @type {VersionedView<import("./trial_api.js").OutputsView>} */
  const outputs = new VersionedView();
  /** @type {RunFacts} */
  let facts = { usage: null, problems: {}, tail: [] };
  /** @type {unknown} */
  let problem = null;
  let run = "";
  let updates = 0;
  let showsAllMetrics = false;

  async function update() {
    const path = trialPath(key, kind, id, {
      attempt: query.get("attempt"),
      beside: query.get("beside"),
    });
    try {
      const changed = await trial.fetch(path);
      problem = null;
      if (changed && trial.view)
        document.title = `${trial.view.title} · ${formatName(trial.view.study)}`;
      redraw();
      await updateRun(changed);
    } catch (error) {
      problem = error;
      if (!isMissingPart(error)) throw error;
    } finally {
      redraw();
    }
  }

  /** @param {boolean} changed Whether the trial has changed. */
  async function updateRun(changed) {
    const chosen = trial.view?.run ?? "";
    const isOther = chosen !== run;
    if (isOther) {
      run = chosen;
      metrics.view = null;
      outputs.view = null;
      facts = { usage: null, problems: {}, tail: [] };
    }
    if (!run) return;
    const isLive = trial.view?.attempts.some((each) => each.name === run && !each.reported);
    updates += 1;
    const beside = query.get("beside");
    const isDue = isOther || changed || (isLive && updates % SLOW_UPDATES === 0);
    if (isDue || isLive) {
      await read("metrics", () => metrics.fetch(metricsPath(key, run, { beside })));
    }
    if (!isDue) return;
    await read("outputs", () => outputs.fetch(outputsPath(key, run)));
    await read("usage", async () => {
      const of = run;
      const usage = await fetchUsage(key, of);
      if (of === run) facts.usage = usage;
    });
  }

  /**
   * @param {string} name
   * @param {() => Promise<unknown>} request
   */
  async function read(name, request) {
    const of = facts;
    try {
      await request();
      of.problems[name] = undefined;
    } catch (error) {
      of.problems[name] = error;
    }
    redraw();
  }

  /** @param {Record<string, string | number | null | undefined>} changes */
  function change(changes) {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "" || value === 0) next.delete(name);
      else next.set(name, String(value));
    }
    query = next;
    writeAddress(`/study/${key}/${kind}/${id}`, Object.fromEntries(query), true);
    redraw();
    update().catch(() => {});
  }

  /** @param {string[]} lines */
  function showTail(lines) {
    facts.tail = lines;
    redraw();
  }

  function draw() {
    const view = trial.view;
    if (!view) return problem ? missing(key, kind, id, problem) : loading();
    const chosen = view.attempts.find((each) => each.name === view.run);
    const tail = view.run === view.attempts[0]?.name ? facts.tail : [];
    const action = view.final ? null : drawAction(view, view, "danger");
    return [
      el("div", { key: "head" }, trialHead(key, view, problem, tail, action)),
      drawNote?.(view.user_note, view.control),
      el(
        "div",
        { key: "pair", class: "pair" },
        paramsCard(key, view, change),
        valuesCard(view, metrics.view?.last ?? {}),
      ),
      attemptsCard(view, change),
      el(
        "div",
        { key: "metrics" },
        metricsCards(view, metrics.view, facts.problems.metrics, showsAllMetrics, () => {
          showsAllMetrics = true;
          redraw();
        }),
      ),
      view.command ? commandCard(view.command) : null,
      chosen
        ? el(LogPanel, {
            key: "log",
            studyKey: key,
            run: chosen.name,
            rank: Number(query.get("rank") ?? 0),
            find: query.get("find") ?? "",
            change,
            showTail,
          })
        : null,
      chosen
        ? el(
            "div",
            { key: "files", class: "pair" },
            usageCard(view, facts),
            outputsCard(key, view.run ?? "", outputs.view, facts.problems.outputs),
          )
        : null,
      historyCard(key, view),
    ];
  }

  /** @param {URLSearchParams} address */
  function follow(address) {
    query = address;
    redraw();
    update().catch(() => {});
  }

  return { draw, close: startPolling(update), follow };
}

const loading = () => el("p", { class: "sub", role: "status" }, "Loading the trial…");

/**
 * Return what is shown instead of a trial that does not exist, or of a study that is gone.
 *
 * @param {string} key
 * @param {string} kind
 * @param {string} id
 * @param {unknown} problem
 */
function missing(key, kind, id, problem) {
  const title = kind === "trial" ? `Trial ${id}` : `Final run ${id}`;
  return el(
    "section",
    { class: "card" },
    el("h1", {}, `${title} cannot be shown`),
    el("p", { class: "note error", role: "alert" }, errorMessage(problem)),
    el(
      "p",
      {},
      el("a", { href: `#/study/${key}` }, "All trials of the study"),
      " · ",
      el("a", { href: "#/" }, "All studies"),
    ),
  );
}
