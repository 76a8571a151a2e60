// The parts of a trial's page about the trial itself: its state, parameters, values and origin.

import { trialAddress } from "./address.js";
import { el, headingRow, numberCell } from "./dom.js";
import { formatDuration, formatHours, formatNumber } from "./format.js";
import { errorNote, stateBadge, tile } from "./widgets.js";

/** @typedef {import("./trial_api.js").TrialView} TrialView */
/** @typedef {import("./trial_api.js").Value} Value */
/** @typedef {(changes: Record<string, string | number | null | undefined>) => void} Change */

/** @param {Value} value */
const showValue = (value) => (typeof value === "number" ? formatNumber(value, 7) : (value ?? "–"));

// -- head ------------------------------------------------------------------------------------

/**
 * @param {string} key
 * @param {TrialView} view
 * @param {unknown} problem Why the last update failed; null if it did not.
 * @param {string[]} tail The last lines of the log of the last attempt.
 * @param {import("./dom.js").Child} action What can be done to the trial in its state.
 */
export function trialHead(key, view, problem, tail, action) {
  const best = view.is_best && !view.final;
  return [
    el(
      "p",
      { class: "sub" },
      el("a", { href: `#/study/${key}` }, view.study),
      view.control && !view.final ? links(key, view.number) : null,
    ),
    el(
      "div",
      { class: "trial-head" },
      el("h1", {}, view.title),
      stateBadge(view.state),
      best
        ? el("span", { class: "feasible" }, view.objectives.length > 1 ? "on the front" : "best")
        : null,
      action,
      neighbors(key, view),
    ),
    problem ? errorNote(problem) : null,
    explanation(view, tail),
    el("dl", { class: "tiles" }, headTiles(view)),
  ];
}

/**
 * @param {string} key
 * @param {number} trial
 */
const links = (key, trial) => [
  " · ",
  el("a", { href: `#/study/${key}/enqueue?from=${trial}` }, "enqueue again, edited"),
  " · ",
  el("a", { href: `#/study/${key}/train/${trial}` }, "train this configuration"),
];

/**
 * @param {string} key
 * @param {TrialView} view
 */
function neighbors(key, { previous, next, final }) {
  const what = final ? "run" : "trial";
  /**
   * @param {number | string | null} id
   * @param {string} label
   */
  const link = (id, label) =>
    id === null
      ? null
      : el(
          "a",
          {
            key: label,
            href: trialAddress(key, id),
            rel: label.toLowerCase() === "next" ? "next" : "prev",
          },
          `${label} ${what}`,
        );
  return el(
    "nav",
    { "aria-label": "Neighboring trials" },
    link(previous, "Previous"),
    link(next, "Next"),
  );
}

/**
 * @param {TrialView} view
 * @param {string[]} tail
 */
function explanation({ explanation: { tone, text, since, details } }, tail) {
  const going = since === null ? "" : ` (for ${formatDuration(Date.now() / 1000 - since)})`;
  // A cause of several lines has the last ones of the log.
  const lines = tone === "bad" && !details.length ? tail : [];
  return el(
    "div",
    { class: `explanation ${tone}`, id: "explanation" },
    el("p", {}, text, going, /[.!?)]$/.test(text) || going ? "" : "."),
    details.length ? el("pre", { class: "code", tabIndex: 0 }, details.join("\n")) : null,
    lines.length
      ? [
          el("p", { class: "log-state" }, "The last lines of its log:"),
          el("pre", { class: "code", id: "last-lines", tabIndex: 0 }, lines.join("\n")),
        ]
      : null,
  );
}

/** @param {TrialView} view */
function headTiles(view) {
  const { objectives, attempts, attempts_total: total } = view;
  const last = attempts.find((each) => each.name === view.run);
  const shown = (view.final ? [] : objectives)
    .slice(0, 4)
    .map(({ name, value, direction }) => tile(name, showValue(value), direction));
  const provisioning = last?.provisioning;
  return [
    ...shown,
    tile(
      "Run time",
      formatDuration(last ? last.seconds : view.seconds),
      provisioning === null || provisioning === undefined
        ? null
        : `after ${formatDuration(provisioning)} of provisioning`,
    ),
    tile("Attempts", total, total > 1 ? `${formatHours(view.run_hours)} in all` : null),
    view.cost === null ? null : tile("Cost", formatNumber(view.cost, 3), "of all attempts"),
  ];
}

// -- parameters and values ---------------------------------------------------------------------

/**
 * @param {string} key
 * @param {TrialView} view
 * @param {Change} change
 */
export function paramsCard(key, view, change) {
  const { params, beside, arguments: given } = view;
  const differing = params.filter(({ differs }) => differs).length;
  const other =
    beside === null ? null : el("a", { href: trialAddress(key, beside) }, `trial ${beside}`);
  const isShort = (/** @type {string | null} */ value) => (value?.length ?? 0) < 200;
  /** @param {string | null} value */
  const cell = (value) =>
    isShort(value) ? (value ?? "–") : el("div", { class: "long", tabIndex: 0 }, value);
  const rows = params.map((param) =>
    el(
      "tr",
      { key: param.name, class: param.differs ? "differs" : "" },
      el("th", { scope: "row" }, param.name),
      el("td", { class: "own" }, cell(param.value)),
      other
        ? el(
            "td",
            {},
            cell(param.beside),
            param.differs ? el("span", { class: "sub" }, " differs") : null,
          )
        : null,
    ),
  );
  const extra = given.map(({ name, value }) =>
    el(
      "tr",
      { key: `argument ${name}` },
      el("th", { scope: "row" }, name, " (argument)"),
      el("td", {}, cell(value)),
      other ? el("td", {}) : null,
    ),
  );
  return el(
    "section",
    { key: "params", class: "card", id: "params" },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, "Parameters"),
      besideChoice(view, change),
      other ? el("span", { class: "log-state" }, `${differing} of ${params.length} differ`) : null,
      other && !view.final
        ? el(
            "a",
            { href: `#/compare-trials/${key}:${beside},${key}:${view.number}` },
            "compare curves, commands and logs",
          )
        : null,
    ),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "facts" },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "Parameter"),
            el("th", { scope: "col" }, view.title),
            other
              ? el("th", { scope: "col" }, other, view.beside_best ? besideName(view) : "")
              : null,
          ),
        ),
        el(
          "tbody",
          {},
          rows.length || extra.length
            ? [rows, extra]
            : el("tr", {}, el("td", { colSpan: 3 }, "No parameters were suggested.")),
        ),
      ),
    ),
  );
}

/** @param {TrialView} view */
const besideName = ({ objectives }) => (objectives.length > 1 ? " (on the front)" : " (best)");

/**
 * Return a choice among the trials of the front, if there are several.
 *
 * @param {TrialView} view
 * @param {Change} change
 */
function besideChoice({ front, number, beside, beside_best: isBest, final }, change) {
  const others = front.filter((each) => final || each !== number);
  if (others.length < 2 && (isBest || beside === null)) return null;
  const shown = beside === null || others.includes(beside) ? others : [beside, ...others];
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const onChange = ({ currentTarget }) => change({ beside: currentTarget.value });
  return el(
    "label",
    { class: "log-state" },
    "beside trial ",
    el(
      "select",
      { value: beside ?? "", onChange },
      shown.map((each) => el("option", { key: each, value: each }, each)),
    ),
  );
}

/**
 * @param {TrialView} view
 * @param {Record<string, Value>} last The last values of the run; those of a final run are its own.
 */
export function valuesCard(view, last) {
  const { objectives, metrics, constraints, beside, final } = view;
  const rows = [
    ...objectives.map((each) => ({ ...each, note: each.direction })),
    ...metrics.map((each) => ({ ...each, note: "" })),
  ];
  const labels = ["Metric", "Value", ...(beside === null ? [] : [`Trial ${beside}`])];
  return el(
    "section",
    { key: "values", class: "card", id: "values" },
    el("h2", {}, "Values"),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "facts" },
        el("thead", {}, headingRow(labels, labels.slice(1))),
        el(
          "tbody",
          {},
          rows.map(({ name, value, beside: other, note }) =>
            el(
              "tr",
              { key: name },
              el(
                "th",
                { scope: "row" },
                name,
                note ? el("span", { class: "sub" }, ` ${note}`) : null,
              ),
              numberCell(showValue(final ? (last[name] ?? null) : value)),
              beside === null ? null : numberCell(showValue(other)),
            ),
          ),
        ),
      ),
    ),
    constraints.length ? constraintList(constraints) : null,
  );
}

/** @param {TrialView["constraints"]} constraints */
function constraintList(constraints) {
  return [
    el("h3", {}, "Constraints"),
    el(
      "ul",
      { class: "links", id: "constraints" },
      constraints.map(({ text, value, by, violated }) =>
        el(
          "li",
          { key: text },
          `${text}: `,
          value === null ? "" : `${showValue(value)}, `,
          violated
            ? el("span", { class: "violated" }, `violated by ${showValue(by)}`)
            : el("span", { class: "feasible" }, "satisfied"),
        ),
      ),
    ),
  ];
}

// -- origin ----------------------------------------------------------------------------------------

/**
 * @param {string} key
 * @param {TrialView} view
 */
export function historyCard(key, { origin, descendants }) {
  /** @param {import("./trial_api.js").Link} link */
  const item = ({ text, trial, final }) => {
    const id = trial ?? final;
    return el(
      "li",
      {},
      text,
      " ",
      id === null ? null : el("a", { href: trialAddress(key, id) }, String(id)),
    );
  };
  return el(
    "section",
    { key: "history", class: "card", id: "history" },
    el("h2", {}, "Where it came from, and what came of it"),
    el("ul", { class: "links" }, origin.map(item), descendants.map(item)),
  );
}
