// Which studies the list shows, in which order: pure functions of its settings.

import { countTrials } from "./widgets.js";

/** @typedef {import("./api.js").Head} Head */

/**
 * @typedef {object} ListQuery What is in the address.
 * @property {string} sort
 * @property {string} order "asc" or "desc"
 * @property {string} find Part of a name.
 * @property {string} select Keys of selected studies, separated by commas.
 */

/** @type {ListQuery} */
export const DEFAULTS = { sort: "", order: "asc", find: "", select: "" };

/** How urgent it is to see it. */
const ACTIVITIES = ["left behind", "tuned", "running", "empty", "ended"];

/** What a column is sorted by; null is always last.
 * @type {Record<string, (study: Head) => string | number | null>} */
export const SORTS = {
  name: (study) => study.name.toLowerCase(),
  state: (study) => ACTIVITIES.indexOf(study.activity),
  trials: (study) => countTrials(study.counts),
  best: (study) => study.best,
  time: (study) => study.run_hours,
  live: (study) => study.live,
  rate: (study) => study.rate,
  last: (study) => study.last,
};

/**
 * @param {URLSearchParams} search
 * @returns {ListQuery}
 */
export function readListQuery(search) {
  const query = { ...DEFAULTS };
  for (const name of /** @type {(keyof ListQuery)[]} */ (Object.keys(query))) {
    query[name] = search.get(name) ?? query[name];
  }
  return query;
}

/**
 * Return the settings that differ from the default.
 *
 * @param {ListQuery} query
 * @returns {Record<string, string>}
 */
export function changedSettings(query) {
  const all = /** @type {[keyof ListQuery, string][]} */ (Object.entries(query));
  return Object.fromEntries(all.filter(([name, value]) => value !== DEFAULTS[name]));
}

/**
 * Return the studies that match, in their order, by storage.
 *
 * @param {Head[]} studies
 * @param {ListQuery} query
 * @returns {[string, Head[]][]}
 */
export function arrange(studies, { find, sort, order }) {
  const wanted = find.trim().toLowerCase();
  const found = studies.filter((study) => study.name.toLowerCase().includes(wanted));
  const by = Object.hasOwn(SORTS, sort) ? SORTS[sort] : null;
  if (by) found.sort((a, b) => compare(by(a), by(b), order === "desc"));
  /** @type {Map<string, Head[]>} */
  const groups = new Map();
  for (const study of found) {
    const group = groups.get(study.storage);
    if (group) group.push(study);
    else groups.set(study.storage, [study]);
  }
  return [...groups];
}

/**
 * @param {string | number | null} a
 * @param {string | number | null} b
 * @param {boolean} descending
 */
function compare(a, b, descending) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  const sign =
    typeof a === "string" && typeof b === "string"
      ? a.localeCompare(b, undefined, { numeric: true })
      : Number(a) - Number(b);
  return descending ? -sign : sign;
}
