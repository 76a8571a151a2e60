// Differences of two commands and of two logs, by jsdiff (diff.js), which is loaded when needed.

import { el } from "./dom.js";

/** Time after which texts are taken to be too different. */
const TIMEOUT_MILLISECONDS = 1500;

/** Equal lines that are shown around those that differ. */
const CONTEXT = 3;

/** Lines of a difference that are shown. */
const MAX_LINES = 3000;

/** @typedef {{sign: "+" | "-" | " " | "…", text: string}} Line */

export async function loadDiff() {
  await import("./diff.js");
  return globalThis.Diff;
}

/**
 * Return the lines that differ with some around them; null if it takes too long to find them.
 *
 * @param {string} before
 * @param {string} after
 * @returns {Promise<Line[] | null>}
 */
export async function compareLogs(before, after) {
  const diff = await loadDiff();
  const parts = diff.diffLines(before, after, { timeout: TIMEOUT_MILLISECONDS });
  if (!parts) return null;
  /** @type {Line[]} */
  const lines = [];
  parts.forEach((part, place) => {
    const texts = part.value.replace(/\n$/, "").split("\n");
    const sign = part.added ? "+" : part.removed ? "-" : " ";
    if (sign !== " ") {
      for (const text of texts) lines.push({ sign, text });
      return;
    }
    const head = place === 0 ? 0 : CONTEXT;
    const tail = place === parts.length - 1 ? 0 : CONTEXT;
    const hidden = texts.length - head - tail;
    if (hidden <= 1) {
      for (const text of texts) lines.push({ sign, text });
      return;
    }
    for (const text of texts.slice(0, head)) lines.push({ sign, text });
    lines.push({ sign: "…", text: `${hidden} equal lines` });
    for (const text of tail ? texts.slice(-tail) : []) lines.push({ sign, text });
  });
  return lines;
}

/** @param {Line[]} lines */
export function drawLines(lines) {
  const rest = lines.length - MAX_LINES;
  return [
    ...lines
      .slice(0, MAX_LINES)
      .map(({ sign, text }, place) =>
        el("div", { key: place, class: LINE_CLASSES[sign] }, `${sign} ${text}`),
      ),
    rest > 0 ? el("div", { class: "gap" }, `… ${rest} more lines`) : null,
  ];
}

/** @type {Record<string, string>} */
const LINE_CLASSES = { "+": "added", "-": "removed", " ": "", "…": "gap" };

/**
 * Return the words of two commands with those marked that only one of them has.
 *
 * @param {string[]} before
 * @param {string[]} after
 */
export async function compareCommands(before, after) {
  const diff = await loadDiff();
  return diff.diffArrays(before, after, { timeout: TIMEOUT_MILLISECONDS }) ?? null;
}

/** @param {ArrayChange[]} parts */
export function drawWords(parts) {
  return parts.flatMap((part, place) => {
    const text = `${part.value.join(" ")} `;
    if (part.added) return el("ins", { key: place, class: "added" }, text);
    if (part.removed) return el("del", { key: place, class: "removed" }, text);
    return text;
  });
}
