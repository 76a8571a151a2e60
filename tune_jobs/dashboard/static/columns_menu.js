// The menu with which columns of the table are chosen and put in order.

import { el } from "./dom.js";
import { chooseColumns, NUMBER } from "./trial_columns.js";

/** @typedef {import("./api.js").Field} Field */

/**
 * @typedef {object} Props
 * @property {Field[]} fields
 * @property {string[] | null} chosen
 * @property {(columns: string[] | null) => void} change
 */

/**
 * Return what the menu has.
 *
 * @param {Props} props
 */
export function columnsMenu({ fields, chosen, change }) {
  const shown = chooseColumns(fields, chosen)
    .map((field) => field.id)
    .filter((id) => id !== NUMBER);
  const byId = new Map(fields.map((field) => [field.id, field]));
  const hidden = fields
    .map((field) => field.id)
    .filter((id) => id !== NUMBER && !shown.includes(id));
  const items = [...shown, ...hidden].map((id) =>
    menuItem(/** @type {Field} */ (byId.get(id)), shown, change),
  );
  return [
    el("button", { type: "button", onClick: () => change(null) }, "Default columns"),
    el("ul", {}, items),
  ];
}

/**
 * @param {Field} field
 * @param {string[]} shown
 * @param {(columns: string[]) => void} change
 */
function menuItem(field, shown, change) {
  const at = shown.indexOf(field.id);
  const toggle = () =>
    change(at < 0 ? [...shown, field.id] : shown.filter((id) => id !== field.id));
  /** @param {number} by */
  const mover = (by) => ({
    type: /** @type {"button"} */ ("button"),
    "aria-label": `Move ${field.label} ${by < 0 ? "to the left" : "to the right"}`,
    "aria-disabled": at < 0 || at + by < 0 || at + by >= shown.length,
    onClick: () => {
      if (at >= 0) change(moveColumn(shown, field.id, shown[at + by]));
    },
  });
  const box = { type: "checkbox", checked: at >= 0, onChange: toggle };
  return el(
    "li",
    { key: field.id },
    el("label", {}, el("input", box), el("span", {}, field.label)),
    el("button", mover(-1), "←"),
    el("button", mover(1), "→"),
  );
}

/**
 * Return the columns with one moved to the place of another.
 *
 * @param {string[]} columns
 * @param {string} id
 * @param {string | undefined} target
 */
export function moveColumn(columns, id, target) {
  const to = target === undefined ? -1 : columns.indexOf(target);
  if (to < 0 || !columns.includes(id)) return columns;
  const others = columns.filter((each) => each !== id);
  others.splice(to, 0, id);
  return others;
}
