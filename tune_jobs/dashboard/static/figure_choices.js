// What a person chooses in the card of a figure: an objective, the parameters on its axes.

import { el } from "./dom.js";

/**
 * @typedef {object} Choice
 * @property {string} name Its parameter in requests.
 * @property {string} label
 * @property {string} value
 * @property {{value: string, label: string}[]} options
 */

/**
 * Return a selection for each choice.
 *
 * @param {string} title Title of the figure.
 * @param {Choice[]} choices
 * @param {(name: string, value: string) => void} change
 */
export function figureChoices(title, choices, change) {
  if (!choices.length) return null;
  const selections = choices.map(({ name, label, value, options }) =>
    el(
      "label",
      { key: name },
      `${label} `,
      el(
        "select",
        {
          "aria-label": `${label} of ${title}`,
          value,
          onChange: (/** @type {{currentTarget: HTMLSelectElement}} */ event) =>
            change(name, event.currentTarget.value),
        },
        options.map((option) =>
          el(
            "option",
            { key: option.value, value: option.value, selected: option.value === value },
            option.label,
          ),
        ),
      ),
    ),
  );
  return el("div", { class: "choices" }, selections);
}
