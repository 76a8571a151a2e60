// Small pieces that several pages show.

import { el } from "./dom.js";

/**
 * Return a note about an error.
 *
 * @param {unknown} error
 */
export function errorNote(error) {
  return el("p", { class: "note error", role: "alert" }, `Error: ${errorMessage(error)}`);
}

/** @param {unknown} error */
export const errorMessage = (error) => (error instanceof Error ? error.message : String(error));

/**
 * Return the state of a trial or a job run as a badge.
 *
 * @param {string} name
 */
export function stateBadge(name) {
  return el("span", { class: `state ${name}` }, name.toLowerCase());
}

/**
 * Return a bar with a part for each state, as long as its share of the trials.
 *
 * @param {import("./api.js").Counts} counts
 */
export function stateBar(counts) {
  const present = Object.entries(counts).filter(([, count]) => count);
  const total = countTrials(counts);
  const label = present.map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ");
  const bar = el("div", {
    class: "bar",
    role: "img",
    "aria-label": label || "no trials yet",
    title: label,
  });
  for (const [state, count] of present) {
    const part = el("span", { class: state });
    part.style.width = `${(100 * count) / total}%`;
    bar.append(part);
  }
  return bar;
}

/** @param {import("./api.js").Counts} counts */
export const countTrials = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

/**
 * Return a labelled value, with details in small print.
 *
 * @param {string} label
 * @param {string | number} value
 * @param {string | null} details
 */
export function tile(label, value, details) {
  const small = details ? el("small", {}, details) : null;
  return el("div", { class: "tile" }, el("dt", {}, label), el("dd", {}, value, small));
}
