// Numbers and durations as text; a dash stands for a missing value.

const MISSING = "–";

/**
 * Format a number with at most `digits` significant digits.
 *
 * @param {number | null | undefined} value
 */
export function formatNumber(value, digits = 5) {
  if (value === null || value === undefined) return MISSING;
  return Number(Number(value).toPrecision(digits)).toString();
}

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
