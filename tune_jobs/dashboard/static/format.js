// Numbers and durations as text; a dash stands for a missing value.

const MISSING = "–";

/**
 * Format a number with at most `digits` significant digits, or an integer with all of its digits.
 *
 * Integers that JavaScript does not have exactly are rounded: 123456789012345678 is "1.23457e17".
 *
 * @param {number | null | undefined} value
 */
export function formatNumber(value, digits = 5) {
  if (value === null || value === undefined) return MISSING;
  const number = Number(value);
  if (Number.isSafeInteger(number)) return String(number);
  const rounded = Number(number.toPrecision(digits));
  const isLong = Math.abs(rounded) >= 10 ** Math.max(digits, 15);
  return (isLong ? rounded.toExponential() : String(rounded)).replace("e+", "e");
}

/**
 * Return a number with its noun: "1 trial", "2 trials".
 *
 * @param {number} count
 * @param {string} noun
 */
export const formatCount = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/**
 * Return a study's name; a placeholder if there is nothing to see of it.
 *
 * @param {string} name
 */
export const formatName = (name) => (name.trim() ? name : "(no name)");

/**
 * Format a duration, as in "4.2 s", "3 min 20 s" or "2 h 5 min".
 *
 * @param {number | null | undefined} seconds
 */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined) return MISSING;
  const whole = Math.round(seconds);
  if (whole < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** @param {number} hours */
export const formatHours = (hours) => formatDuration(hours * 3600);

/** @param {number} share */
export const formatPercent = (share) => `${Math.round(100 * share)}%`;

/**
 * Format a number of bytes, as in "350 B" or "1.2 MB".
 *
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let number = bytes;
  let unit = 0;
  while (number >= 999.5 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit === 0 || number >= 99.5 ? Math.round(number) : Number(number.toPrecision(3))} ${units[unit]}`;
}

/**
 * Format a time in the browser's zone, as in "2026-11-26 20:31:05".
 *
 * @param {number | null | undefined} seconds Since the epoch.
 */
export function formatTime(seconds) {
  if (seconds === null || seconds === undefined) return MISSING;
  const at = new Date(seconds * 1000);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/**
 * Format a time without its day, if that is the day of an earlier time.
 *
 * @param {number | null | undefined} seconds Since the epoch.
 * @param {number} earlier
 */
export function formatTimeAfter(seconds, earlier) {
  const [day] = formatTime(earlier).split(" ");
  return formatTime(seconds).replace(`${day} `, "");
}

/**
 * Format how long ago something was, as in "3 min ago" or "12 d ago".
 *
 * @param {number | null | undefined} timestamp Seconds since the epoch.
 */
export function formatAgo(timestamp) {
  if (timestamp === null || timestamp === undefined) return MISSING;
  const seconds = Math.max(0, Date.now() / 1000 - timestamp);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
