// Repeated updates of a page. A page that cannot be updated says so, and since when.

import { byId, el } from "./dom.js";
import { render } from "./preact.js";
import { errorMessage, errorPanel, explain, isGone } from "./problems.js";
import { replaceScreen } from "./screen.js";

export const POLL_MILLISECONDS = 2000;

const status = byId("fresh");
const banner = byId("stale");

/**
 * Update a page now and every two seconds while it is visible.
 *
 * The header shows when it was last updated. After a failure, a banner says that the page is out of
 * date; an explanation takes the place of a page that has nothing to show.
 *
 * @param {() => Promise<void>} update
 * @returns {() => void} Stops the updates.
 */
export function startPolling(update) {
  let stopped = false;
  /** @type {Date | null} */
  let updated = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const poll = async () => {
    clearTimeout(timer);
    try {
      if (!document.hidden) {
        await update();
        if (stopped) return;
        updated = new Date();
        showFresh(updated);
      }
    } catch (error) {
      if (stopped) return;
      if (isGone(error)) updated = null;
      showProblem(error, updated, poll);
    }
    if (!stopped) timer = setTimeout(poll, POLL_MILLISECONDS);
  };
  const wake = () => document.hidden || poll();
  document.addEventListener("visibilitychange", wake);
  poll();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", wake);
    status.textContent = "";
    clearProblem();
  };
}

/** @param {Date} updated */
function showFresh(updated) {
  status.textContent = `updated at ${updated.toLocaleTimeString()}`;
  clearProblem();
}

function clearProblem() {
  render(null, banner);
  replaceScreen(null);
}

/**
 * @param {unknown} error
 * @param {Date | null} updated When the page was last updated; null if it has nothing to show.
 * @param {() => void} retry
 */
function showProblem(error, updated, retry) {
  if (updated === null) {
    status.textContent = "";
    render(null, banner);
    replaceScreen(() => errorPanel(error, retry, "h1"));
    return;
  }
  const { title, link } = explain(error);
  status.textContent = `not updated since ${updated.toLocaleTimeString()}`;
  const content = [
    el("strong", {}, `Not updated since ${updated.toLocaleTimeString()}, retrying. `),
    el("span", {}, `${title}: ${errorMessage(error)} `),
    link ? el("a", { href: link[1] }, link[0]) : null,
    el("button", { type: "button", onClick: retry }, "Try again now"),
  ];
  render(el("div", { class: "stale" }, content), banner);
}
