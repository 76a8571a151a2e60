// Tables as CSV files.

/** How spreadsheets begin formulas, which a string from a study must not become. */
const FORMULA = /^[=+\-@\t\r]/;

/** @param {string | number | null | undefined} value */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value); // with all its digits
  const harmless = FORMULA.test(value) && !isNumeric(value) ? `'${value}` : value;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** @param {string} value */
const isNumeric = (value) => /^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(value);

/** @param {(string | number | null | undefined)[][]} rows */
export const formatCsv = (rows) => rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");

/**
 * Save text as a file.
 *
 * @param {string} name Becomes the name of the file.
 * @param {string} text
 */
export function saveCsv(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `${name.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) || "study"}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
