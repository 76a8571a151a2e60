// The parts of a trial's page about its job runs: attempts, metrics, command, usage, outputs.

import { el, headingRow, numberCell } from "./dom.js";
import { FigureCard } from "./figures.js";
import {
  formatBytes,
  formatDuration,
  formatNumber,
  formatTime,
  formatTimeAfter,
} from "./format.js";
import { outputPath } from "./trial_api.js";
import { usageView } from "./usage_curves.js";
import { errorNote, stateBadge } from "./widgets.js";

/** @typedef {import("./trial_api.js").TrialView} TrialView */
/** @typedef {import("./trial_api.js").AttemptView} AttemptView */
/** @typedef {(changes: Record<string, string | number | null | undefined>) => void} Change */

const FEW_FIGURES = 6;

// -- attempts ------------------------------------------------------------------------------------

/**
 * @param {TrialView} view
 * @param {Change} change
 */
export function attemptsCard(view, change) {
  const { attempts, attempts_total: total } = view;
  if (!attempts.length) {
    return el(
      "section",
      { key: "attempts", class: "card" },
      el("h2", {}, "Attempts"),
      el("p", { class: "note" }, "There is no job run: nothing was started for it."),
    );
  }
  const isPriced = attempts.some(({ cost }) => cost !== null);
  const labels = [
    "Attempt",
    "State",
    "Requested",
    "Started",
    "Ended",
    "Provisioning",
    "Run time",
    ...(isPriced ? ["Cost"] : []),
    "Shape",
    "Exit code",
  ];
  const numbers = ["Attempt", "Provisioning", "Run time", "Cost", "Exit code"];
  const omitted =
    total > attempts.length ? `The last ${attempts.length} of ${total} attempts. ` : "";
  const hint = total > 1 ? "Select one to see its log, command, metrics and files." : "";
  return el(
    "section",
    { key: "attempts", class: "card", id: "attempts" },
    el("h2", {}, "Attempts"),
    el(
      "div",
      { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Attempts" },
      el(
        "table",
        {},
        omitted || hint ? el("caption", {}, omitted, hint) : null,
        el("thead", {}, headingRow(labels, numbers)),
        el(
          "tbody",
          {},
          attempts.map((attempt) =>
            attemptRow(attempt, attempt.name === view.run, attempts[0], change, total, isPriced),
          ),
        ),
      ),
    ),
    view.console
      ? el(
          "p",
          {},
          el(
            "a",
            { href: view.console, target: "_blank", rel: "noopener noreferrer" },
            "Open the last run in the cloud console",
          ),
        )
      : null,
  );
}

/**
 * @param {AttemptView} attempt
 * @param {boolean} isChosen
 * @param {AttemptView} last
 * @param {Change} change
 * @param {number} total
 * @param {boolean} isPriced Whether the table has a column of costs.
 */
function attemptRow(attempt, isChosen, last, change, total, isPriced) {
  const number = attempt.attempt;
  const choose = () => change({ attempt: attempt === last ? null : number, rank: null });
  const details = [
    attempt.name,
    attempt.nodes > 1 ? `${attempt.nodes} nodes` : "",
    attempt.budget === null ? "" : `budget ${attempt.budget}`,
    attempt.resumes.length ? `resumes from ${attempt.resumes[0]}` : "",
  ];
  const style = isChosen && total > 1 ? "chosen" : "";
  const row = el(
    "tr",
    { key: attempt.name, class: attempt.cause ? `caused ${style}` : style },
    numberCell(
      total > 1
        ? el(
            "button",
            {
              type: "button",
              class: "plain",
              "aria-pressed": isChosen,
              "aria-label": `Attempt ${number}`,
              onClick: choose,
            },
            number,
          )
        : number,
    ),
    el(
      "td",
      {},
      stateBadge(attempt.state),
      el("div", { class: "log-state" }, details.filter(Boolean).join(", ")),
    ),
    el("td", {}, formatTime(attempt.requested)),
    el("td", {}, formatTimeAfter(attempt.started, attempt.requested)),
    el("td", {}, formatTimeAfter(attempt.ended, attempt.requested)),
    numberCell(formatDuration(attempt.provisioning)),
    numberCell(formatDuration(attempt.seconds)),
    isPriced ? numberCell(formatNumber(attempt.cost, 3)) : null,
    el("td", { title: attempt.run_id }, attempt.shape),
    numberCell(attempt.exit_code ?? "–"),
  );
  return [row, causeRow(attempt, style, isPriced ? 9 : 8)];
}

/**
 * Return a row with the cause of an attempt's end: its first line, and the others to unfold.
 *
 * @param {AttemptView} attempt
 * @param {string} style
 * @param {number} width Columns that it spans.
 */
function causeRow({ name, cause }, style, width) {
  const [first, ...others] = cause.split("\n");
  if (!first) return null;
  const unfolded = others.length
    ? el(
        "details",
        {},
        el("summary", {}, first),
        el("pre", { class: "code", tabIndex: 0 }, others.join("\n")),
      )
    : first;
  return el(
    "tr",
    { key: `${name} cause`, class: `cause ${style}` },
    el("td", {}),
    el("td", { colSpan: width }, unfolded),
  );
}

// -- metrics -------------------------------------------------------------------------------------

/**
 * @param {TrialView} view
 * @param {import("./trial_api.js").MetricsView | null} metrics
 * @param {unknown} problem
 * @param {boolean} showsAll
 * @param {() => void} showAll
 */
export function metricsCards(view, metrics, problem, showsAll, showAll) {
  if (problem || !metrics?.figures.length) {
    if (!view.run) return null;
    const text = metrics ? "No metrics were reported yet." : "Loading…";
    return el(
      "section",
      { class: "card" },
      el("h2", {}, "Metrics by step"),
      problem ? errorNote(problem) : el("p", { class: "sub" }, text),
    );
  }
  const { figures, metrics: count } = metrics;
  const shown = showsAll ? figures : figures.slice(0, FEW_FIGURES);
  const more = count > figures.length ? ` (the first ${figures.length} of ${count})` : "";
  return [
    el(
      "div",
      { class: "figures metrics" },
      shown.map(({ name, title, figure }) =>
        el(FigureCard, { key: `${view.run} ${title}`, name, title, figure }),
      ),
    ),
    shown.length < figures.length
      ? el(
          "p",
          {},
          el(
            "button",
            { type: "button", onClick: showAll },
            `Show all ${figures.length} metrics${more}`,
          ),
        )
      : null,
  ];
}

// -- command -------------------------------------------------------------------------------------

/** @param {import("./trial_api.js").CommandView} command */
export function commandCard(command) {
  const { line, length, files, secrets, variables, resources } = command;
  const settings = Object.entries(resources).map(([name, value]) => `${name}: ${value}`);
  return el(
    "section",
    { key: "command", class: "card", id: "command" },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, "Command"),
      line === null ? null : copyButton("command-line", "Copy"),
    ),
    line === null
      ? el(
          "p",
          { class: "note" },
          `The command has ${length} characters, too many to show: \`tune-jobs show\` prints it.`,
        )
      : el("pre", { class: "code", id: "command-line", tabIndex: 0 }, line),
    secrets.length
      ? el(
          "ul",
          { class: "links" },
          secrets.map(({ name, reference }) =>
            el("li", { key: name }, `${name} is a secret: ${reference}`),
          ),
        )
      : null,
    variables.length
      ? el(
          "p",
          { class: "log-state" },
          `Every run also gets these variables: ${variables.join(", ")}.`,
        )
      : null,
    settings.length
      ? el("p", { class: "log-state" }, `Resources of this run: ${settings.join(", ")}.`)
      : null,
    files.map(({ path, content, length: size }) =>
      el(
        "details",
        { key: path },
        el("summary", {}, `File ${path}`),
        el(
          "pre",
          { class: "code", tabIndex: 0 },
          content ?? `${size} characters, too many to show`,
        ),
      ),
    ),
  );
}

/**
 * Return a button that copies the text of an element.
 *
 * @param {string} id
 * @param {string} label
 */
function copyButton(id, label) {
  /** @param {{currentTarget: HTMLButtonElement}} event */
  const onClick = async ({ currentTarget: button }) => {
    const copied = await copyText(document.getElementById(id));
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => {
      button.textContent = label;
    }, 2000);
  };
  return el("button", { type: "button", onClick }, label);
}

/**
 * Copy the text of an element; where the browser forbids it (without https), select it.
 *
 * @param {HTMLElement | null} node
 */
async function copyText(node) {
  if (!node) return false;
  try {
    await navigator.clipboard.writeText(node.textContent);
    return true;
  } catch {
    getSelection()?.selectAllChildren(node);
    return false;
  }
}

// -- usage and outputs -----------------------------------------------------------------------------

/**
 * @param {TrialView} view
 * @param {import("./trial_page.js").RunFacts} facts
 */
export function usageCard(view, { usage, problems }) {
  const shown = usage ? usageView(usage) : null;
  const text = usage
    ? "Nothing is known: the run was too short to be measured, or measuring is not possible there."
    : "Loading…";
  return el(
    "section",
    { key: "usage", class: "card", id: "usage" },
    el("h2", {}, `Usage${view.attempts_total > 1 ? ` of ${view.run}` : ""}`),
    problems.usage ? errorNote(problems.usage) : (shown ?? el("p", { class: "sub" }, text)),
  );
}

/**
 * @param {string} key
 * @param {string} run
 * @param {import("./trial_api.js").OutputsView | null} outputs
 * @param {unknown} problem
 */
export function outputsCard(key, run, outputs, problem) {
  return el(
    "section",
    { key: "outputs", class: "card", id: "outputs" },
    el("h2", {}, "Outputs"),
    problem
      ? errorNote(problem)
      : outputs
        ? fileTable(key, run, outputs)
        : el("p", { class: "sub" }, "Loading…"),
  );
}

/**
 * @param {string} key
 * @param {string} run
 * @param {import("./trial_api.js").OutputsView} outputs
 */
function fileTable(key, run, { files, total, bytes, omitted, uri }) {
  if (!files.length) {
    return el(
      "p",
      { class: "sub" },
      "The run has left no files. What it writes to its outputs folder, ",
      uri,
      ", is listed here.",
    );
  }
  const more =
    total > files.length
      ? ` The first ${files.length} are listed; \`tune-jobs outputs\` has all.`
      : "";
  return [
    el(
      "p",
      { class: "log-state" },
      `${total} ${total === 1 ? "file" : "files"}, ${formatBytes(bytes)}.${more}`,
    ),
    el(
      "div",
      {
        class: "scroll",
        style: { maxHeight: "320px" },
        tabIndex: 0,
        role: "region",
        "aria-label": "Outputs",
      },
      el(
        "table",
        { class: "facts" },
        el("thead", {}, headingRow(["File", "Size", "Modified"], ["Size"])),
        el(
          "tbody",
          {},
          files.map(({ name, shown, size, modified }) =>
            el(
              "tr",
              { key: name },
              el("td", {}, el("a", { href: outputPath(key, run, name), download: "" }, shown)),
              numberCell(formatBytes(size)),
              el("td", {}, formatTime(modified)),
            ),
          ),
        ),
      ),
    ),
    omitted ? el("p", { class: "note" }, omitted) : null,
  ];
}
