// Changes of a JSON document, as json_patches.py describes them.

/**
 * @typedef {object} Patch
 * @property {unknown} [is] A new value.
 * @property {Record<string, Patch>} [in] Changes within an object.
 * @property {string[]} [gone] What an object has no longer.
 * @property {Record<string, Patch>} [at] Changes within items of a list.
 * @property {[number, number, unknown[]][]} [cut] Items of a list that others replace.
 */

/**
 * Return a document with changes. The old one stays as it is, and what has not changed is shared.
 *
 * @param {any} old
 * @param {Patch | null} patch Null if nothing has changed.
 * @returns {any}
 */
export function applyPatch(old, patch) {
  if (!patch) return old;
  if (patch.in) {
    const changed = { ...old };
    for (const [name, change] of Object.entries(patch.in)) {
      changed[name] = applyPatch(old[name], change);
    }
    for (const name of patch.gone ?? []) delete changed[name];
    return changed;
  }
  if (patch.at) {
    const changed = [...old];
    for (const [at, change] of Object.entries(patch.at)) {
      changed[Number(at)] = applyPatch(old[Number(at)], change);
    }
    return changed;
  }
  if (patch.cut) return replaceItems(old, patch.cut);
  return patch.is;
}

/**
 * @param {unknown[]} old
 * @param {[number, number, unknown[]][]} cuts
 */
function replaceItems(old, cuts) {
  /** @type {unknown[][]} */
  const parts = [];
  let next = 0;
  for (const [start, count, items] of cuts) {
    parts.push(old.slice(next, start), items);
    next = start + count;
  }
  return [...parts, old.slice(next)].flat();
}
