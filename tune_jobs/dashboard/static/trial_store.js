// The rows of a study's trials that the page has. The server sends only those that changed.

import { fetchTrials } from "./api.js";
import { formatRanges, parseRanges } from "./ranges.js";

/** @typedef {import("./api.js").Field} Field */
/** @typedef {import("./api.js").Cell} Cell */
/** @typedef {import("./study_settings.js").Settings} Settings */

/** Rows of one answer, see `MAX_ROWS` of trial_rows.py. */
const MAX_REQUESTED = 4000;

/** @typedef {Pick<Settings, "where" | "state" | "text">} Filter */

/** The trials of one study, as far as they have been loaded. */
export class TrialStore {
  /** @type {Field[]} */
  fields = [];
  /** @type {Map<number, Cell[]>} */
  rows = new Map();
  /** Numbers of the trials that match the filter; null without one.
   * @type {Set<number> | null} */
  matching = null;
  /** What is wrong with the filter; empty if nothing is. */
  problem = "";
  total = 0;
  window = Number.POSITIVE_INFINITY;
  /** Changes whenever something else does. */
  revision = 0;
  isLoaded = false;

  #cursor = "";
  /** The filter of `matching`. */
  #filter = "";
  /** @type {Promise<void>} */
  #last = Promise.resolve();

  /** @param {string} key */
  constructor(key) {
    this.key = key;
  }

  /** @param {string} id */
  index(id) {
    return this.fields.findIndex((field) => field.id === id);
  }

  /**
   * Load what changed, and which trials match; one request at a time.
   *
   * @param {() => Filter} filter Returns the filter at the time of a request.
   * @param {() => void} onRows Called after each answer.
   */
  load(filter, onRows) {
    const loading = this.#last.then(() => this.#load(filter, onRows));
    this.#last = loading.catch(() => {});
    return loading;
  }

  /**
   * @param {() => Filter} filter
   * @param {() => void} onRows
   */
  async #load(filter, onRows) {
    let more = true;
    while (more) {
      more = await this.#request(filter());
      onRows();
    }
    if (await this.#fill()) onRows();
  }

  /** @param {Filter} filter */
  async #request({ where, state, text }) {
    const query = { where, state, text };
    const name = JSON.stringify(query);
    const isKnown = name === this.#filter && this.#cursor !== "" && this.problem === "";
    const answer = await fetchTrials(this.key, {
      cursor: this.#cursor,
      ...query,
      filtered: isKnown ? "1" : "",
    });
    if (answer.reset) {
      this.rows = new Map();
      this.fields = [];
    }
    if (answer.columns) this.fields = answer.columns;
    this.#put(answer.rows);
    for (const number of answer.removed) this.rows.delete(number);
    this.#match(answer, Boolean(answer.filtered) && !answer.reset);
    this.#filter = name;
    this.#cursor = answer.cursor;
    this.total = answer.total;
    this.window = answer.window;
    this.isLoaded = true;
    this.revision += 1;
    return answer.more;
  }

  /** @param {Cell[][]} rows */
  #put(rows) {
    for (const row of rows) this.rows.set(/** @type {number} */ (row[0]), row);
  }

  /**
   * @param {import("./api.js").TrialsAnswer} answer
   * @param {boolean} isChange Whether the answer is about its rows alone.
   */
  #match(answer, isChange) {
    this.problem = answer.problem ?? "";
    if (this.problem) return; // what matched before stays
    if (answer.matching === undefined) this.matching = null;
    else if (!isChange || !this.matching) this.matching = parseRanges(answer.matching);
    else {
      for (const row of answer.rows) this.matching.delete(/** @type {number} */ (row[0]));
      for (const number of parseRanges(answer.matching)) this.matching.add(number);
    }
  }

  /** Get rows of trials that match and are too old to have come by themselves. */
  async #fill() {
    if (!this.matching || this.total <= this.window) return false;
    const missing = [...this.matching].filter((number) => !this.rows.has(number));
    if (!missing.length) return false;
    const newest = missing.sort((a, b) => b - a).slice(0, MAX_REQUESTED);
    const numbers = formatRanges(newest);
    this.#put((await fetchTrials(this.key, { cursor: this.#cursor, numbers })).rows);
    this.revision += 1;
    return true;
  }
}
