// Trial numbers as ranges, such as "0-5,7": in the address, and in what the server answers.

/** Numbers that ranges from an address may have. */
const MAX_NUMBERS = 200_000;

/**
 * @param {string} ranges
 * @returns {Set<number>}
 */
export function parseRanges(ranges) {
  /** @type {Set<number>} */
  const numbers = new Set();
  for (const part of ranges.split(",")) {
    const found = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part);
    if (!found) continue;
    const last = Number(found[2] ?? found[1]);
    for (let n = Number(found[1]); n <= last && numbers.size < MAX_NUMBERS; n += 1) numbers.add(n);
  }
  return numbers;
}

/** @param {Iterable<number>} numbers */
export function formatRanges(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  /** @type {string[]} */
  const parts = [];
  for (let i = 0; i < sorted.length; i += 1) {
    const first = sorted[i];
    while (sorted[i + 1] === sorted[i] + 1) i += 1;
    parts.push(first === sorted[i] ? String(first) : `${first}-${sorted[i]}`);
  }
  return parts.join(",");
}
