// Requests about one trial or one job run (tune_jobs/dashboard/run_requests.py).

import { request } from "./api.js";

/** @typedef {number | string | null} Value A number; a string if it is not finite. */
/** @typedef {{text: string, trial: number | null, final: string | null}} Link */

/**
 * @typedef {object} AttemptView One job run; times are seconds since the epoch.
 * @property {string} name
 * @property {number} attempt
 * @property {string} state
 * @property {number} requested
 * @property {number | null} accepted
 * @property {number | null} started
 * @property {number | null} ended
 * @property {number | null} reported
 * @property {number | null} provisioning Seconds.
 * @property {number | null} seconds
 * @property {number | null} cost Null if it is not known.
 * @property {string} shape
 * @property {number} nodes
 * @property {number | null} exit_code
 * @property {string} cause
 * @property {string} run_id
 * @property {string[]} resumes Earlier runs whose checkpoints it may resume from.
 * @property {number | null} budget
 */

/**
 * @typedef {object} CommandView
 * @property {string | null} line As a shell takes it; null if it is too long to be sent.
 * @property {number} length
 * @property {{path: string, content: string | null, length: number}[]} files
 * @property {{name: string, reference: string}[]} secrets
 * @property {string[]} variables Names of variables that every run gets.
 * @property {Record<string, string>} resources
 */

/** @typedef {{name: string, value: string | null, beside: string | null, differs: boolean}} Param */

/**
 * @typedef {object} TrialView
 * @property {string} study
 * @property {string} title
 * @property {number} number
 * @property {string} final Name of the final run; empty for a trial.
 * @property {string} state
 * @property {{tone: string, text: string, since: number | null, details: string[]}} explanation
 * @property {boolean} control Whether the page may act on the study.
 * @property {boolean} is_best
 * @property {boolean} is_live
 * @property {number | null} beside The trial that it is compared with.
 * @property {boolean} beside_best Whether that is one of the best.
 * @property {number[]} front
 * @property {{name: string, direction: string, value: Value, beside: Value}[]} objectives
 * @property {{name: string, value: Value, beside: Value}[]} metrics
 * @property {{text: string, value: Value, by: Value, violated: boolean}[]} constraints
 * @property {Param[]} params
 * @property {{name: string, value: string}[]} arguments
 * @property {AttemptView[]} attempts The last one first.
 * @property {number} attempts_total
 * @property {string | null} run Name of the chosen attempt.
 * @property {CommandView | null} command
 * @property {number} run_hours
 * @property {number | null} seconds From start to end, of a trial without job runs.
 * @property {number | null} cost
 * @property {string} user_note
 * @property {string | null} owner The process that tunes the study.
 * @property {string | null} console
 * @property {Link[]} origin
 * @property {Link[]} descendants
 * @property {number | string | null} previous
 * @property {number | string | null} next
 */

/**
 * @typedef {object} MetricsView
 * @property {{name: string, title: string, figure: import("./api.js").Figure}[]} figures
 * @property {number} metrics
 * @property {number} total
 * @property {Record<string, Value>} last The last value of each metric.
 */

/**
 * @typedef {object} OutputsView
 * @property {{name: string, shown: string, size: number, modified: number | null}[]} files
 * @property {number} total
 * @property {number} bytes
 * @property {string} omitted
 * @property {string} uri
 */

/**
 * @typedef {object} LogPart
 * @property {string} log
 * @property {number} start Offset of its first byte.
 * @property {number} end
 * @property {number} size Of the whole log.
 * @property {boolean} exists
 * @property {boolean} ended Whether the run has.
 * @property {number} nodes Of the run; each has a log.
 */

/** @typedef {{matches: {at: number, line: string}[], count: number}} Matches */

/** @typedef {Record<string, string | number | null | undefined>} Query */

/** @param {Query} query Settings; those that are null or undefined are left out. */
function encodeQuery(query) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

/**
 * @param {string} key
 * @param {string} run
 * @param {string} what
 * @param {Query} query
 */
function runPath(key, run, what, query = {}) {
  return `api/studies/${key}/runs/${encodeURIComponent(run)}/${what}?${encodeQuery(query)}`;
}

/**
 * Fetches a view repeatedly: one that the page has already is not sent again.
 *
 * @template View
 */
export class VersionedView {
  /** @type {View | null} */
  view = null;
  #path = "";
  #version = "";

  /**
   * Fetch it; a path other than before begins anew.
   *
   * @param {string} path Ends with a query, which may be empty.
   * @returns {Promise<boolean>} Whether it has changed.
   */
  async fetch(path) {
    if (path !== this.#path) this.#version = "";
    this.#path = path;
    const answer = await request(`${path}&known=${this.#version}`);
    if (path !== this.#path || answer.version === this.#version) return false;
    this.#version = answer.version;
    this.view = answer.view;
    return true;
  }
}

/**
 * @param {string} key
 * @param {string} kind "trial" or "run".
 * @param {string} id
 * @param {Query} query
 */
export function trialPath(key, kind, id, query) {
  const folder = kind === "trial" ? "trials" : "final-runs";
  return `api/studies/${key}/${folder}/${encodeURIComponent(id)}?${encodeQuery(query)}`;
}

/**
 * @param {string} key
 * @param {string} run
 * @param {Query} query
 */
export const metricsPath = (key, run, query) => runPath(key, run, "metrics", query);

/**
 * @param {string} key
 * @param {string} run
 */
export const outputsPath = (key, run) => runPath(key, run, "outputs");

/**
 * @param {string} key
 * @param {string} run
 * @param {string} name
 */
export const outputPath = (key, run, name) => runPath(key, run, "outputs/file", { name });

/**
 * @param {string} key
 * @param {string} run
 * @param {number} rank
 */
export const wholeLogPath = (key, run, rank) => runPath(key, run, "log/file", { rank });

/**
 * Fetch the end of a log, what follows the byte `from`, or what comes before the byte `before`.
 *
 * @param {string} key
 * @param {string} run
 * @param {{rank: number, from?: number, before?: number}} query
 * @returns {Promise<LogPart>}
 */
export const fetchLogPart = (key, run, query) => request(runPath(key, run, "log", query));

/**
 * @param {string} key
 * @param {string} run
 * @param {{rank: number, text: string}} query
 * @returns {Promise<Matches>}
 */
export const fetchMatches = (key, run, query) => request(runPath(key, run, "log/matches", query));
