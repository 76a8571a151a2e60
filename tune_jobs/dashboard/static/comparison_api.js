// Requests about comparisons, and what the server answers (tune_jobs/dashboard/comparison_view.py).

import { request } from "./api.js";

/**
 * @typedef {object} Winner The best trial of a study.
 * @property {string} key
 * @property {string} study
 * @property {string} name Name of the study in figures.
 * @property {string} group Empty if it is in none.
 * @property {string} color
 * @property {string} dash How its line is drawn, as Plotly calls it.
 * @property {boolean} live Whether the study is being tuned.
 * @property {number} trial
 * @property {number | null} value
 * @property {(number | null)[]} replicates
 * @property {number} trials
 * @property {number} run_hours
 * @property {number} hours
 * @property {number} money
 * @property {string[]} params
 */

/** @typedef {{key: string, label: string}} Objective */

/**
 * @typedef {object} Comparison
 * @property {string} version
 * @property {false} unchanged
 * @property {Winner[]} winners
 * @property {string[]} differing
 * @property {string} statement
 * @property {string} outcome "better", "not shown", "unknown" or "nothing".
 * @property {Objective} objective
 * @property {Objective[]} objectives All that could be compared.
 * @property {{value: string, label: string}[]} groupings Ways to group the studies.
 * @property {string} axis What the race is drawn against.
 * @property {{name: string, label: string}[]} axes
 * @property {string[]} without_best Studies without a best trial, with the reason.
 * @property {string[]} notes What is left out or assumed.
 * @property {string[]} warnings
 * @property {{name: string, title: string, note: string}[]} figures
 */

/**
 * @param {[string, string][]} query
 * @returns {Promise<Comparison | {version: string, unchanged: true}>}
 */
export const fetchComparison = (query) => request(`api/compare?${new URLSearchParams(query)}`);

/**
 * @param {string} name
 * @param {[string, string][]} query
 * @returns {Promise<import("./api.js").Figure>}
 */
export const fetchComparedFigure = (name, query) =>
  request(`api/compare/figures/${name}?${new URLSearchParams(query)}`);
