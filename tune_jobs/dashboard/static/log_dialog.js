// A dialog with the log of a job run, as the page of its trial shows it, and what the run uses.

import { fetchUsage } from "./api.js";
import { byId, el } from "./dom.js";
import { LogPanel } from "./log_panel.js";
import { render } from "./preact.js";
import { usageView } from "./usage_curves.js";

const dialog = /** @type {HTMLDialogElement} */ (byId("log"));

dialog.addEventListener("close", () => render(null, dialog)); // it follows no longer
addEventListener("hashchange", () => dialog.close()); // another page

/**
 * @typedef {object} Run
 * @property {string} name
 * @property {string} address Of the page that says everything about it.
 * @property {string} page Name of that page.
 */

/**
 * Return a button that opens the log of a run.
 *
 * @param {string} key
 * @param {Run} run
 */
export function logButton(key, run) {
  return el(
    "button",
    {
      type: "button",
      class: "plain",
      "aria-label": `Log of ${run.name}`,
      onClick: () => openLog(key, run),
    },
    "log",
  );
}

/**
 * @param {string} key
 * @param {Run} run
 */
function openLog(key, run) {
  let place = { rank: 0, find: "" };
  /** @type {import("./api.js").RunUsage | null} */
  let usage = null;

  /** @param {{rank?: number, find?: string}} changes */
  function change(changes) {
    place = { ...place, ...changes };
    draw();
  }

  const draw = () => render(content(key, run, { ...place, change }, usage), dialog);

  draw();
  dialog.showModal();
  fetchUsage(key, run.name).then(
    (answer) => {
      usage = answer;
      if (dialog.open) draw();
    },
    () => {}, // the log matters more, and says what is wrong
  );
}

/**
 * @param {string} key
 * @param {Run} run
 * @param {Pick<import("./log_panel.js").LogProps, "rank" | "find" | "change">} place
 * @param {import("./api.js").RunUsage | null} usage
 */
function content(key, { name, address, page }, place, usage) {
  return [
    el(
      "div",
      { key: "head", class: "dialog-head" },
      el("h2", { id: "log-title" }, name),
      el("a", { href: address, onClick: () => dialog.close() }, page),
      el("button", { type: "button", onClick: () => dialog.close() }, "Close"),
    ),
    usage ? usageView(usage) : null,
    el(LogPanel, { key: name, studyKey: key, run: name, ...place }),
  ];
}
