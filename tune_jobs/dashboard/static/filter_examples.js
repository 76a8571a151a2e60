// Filters that answer frequent questions, and the names that a filter may contain.

import { el } from "./dom.js";

/** @typedef {import("./study_settings.js").Settings} Settings */
/** @typedef {Pick<Settings, "where" | "sort">} Answer */
/** @typedef {{question: string, answer: Answer}} Example */

const NAMES_OF_BEST = [
  ["best", "the best value"],
  ["gap", "how far a trial is behind it: 0.01 is 1 %; a running one, at the same step"],
];

/**
 * Return the examples that a study has trials for.
 *
 * @param {import("./api.js").StudyView} study
 * @returns {Example[]}
 */
function listExamples({ best, cost, counts, directions }) {
  const examples = [];
  if (best) {
    examples.push({
      question: `Within 1 % of the best, the ${cost ? "cheapest" : "shortest run"} first`,
      answer: {
        where: 'state == "complete" and gap <= 0.01',
        sort: [{ id: cost ? "cost" : "seconds", descending: false }],
      },
    });
  }
  if (best && counts.RUNNING) {
    examples.push({
      question: "Running, and 10 % or more behind the best at the same step",
      answer: {
        where: 'state == "running" and gap >= 0.1',
        sort: [{ id: "latest", descending: directions[0] === "minimize" }],
      },
    });
  }
  return examples;
}

/**
 * Return the content of a menu.
 *
 * @param {object} props
 * @param {import("./api.js").StudyView} props.study
 * @param {import("./api.js").Field[]} props.fields
 * @param {(answer: Answer) => void} props.choose
 */
export function filterExamples({ study, fields, choose }) {
  const examples = listExamples(study).map(({ question, answer }) =>
    el(
      "li",
      { key: question },
      el(
        "button",
        { type: "button", class: "plain example", onClick: () => choose(answer) },
        question,
        el("code", {}, answer.where),
      ),
    ),
  );
  const explained = study.best ? NAMES_OF_BEST : [];
  return [
    examples.length ? el("ul", { class: "examples" }, examples) : null,
    el("h3", {}, "Names"),
    explained.map(([name, text]) => el("p", { key: name }, el("code", {}, name), ` ${text}`)),
    el(
      "p",
      { class: "names" },
      fields.map(({ id, name }) => el("code", { key: id }, name)),
    ),
  ];
}
