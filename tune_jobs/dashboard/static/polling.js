// Repeated updates of a page.

import { byId } from "./dom.js";
import { errorMessage } from "./widgets.js";

export const POLL_MILLISECONDS = 2000;

const status = byId("fresh");

/**
 * Update a page now and every two seconds while it is visible; the header shows whether the last
 * update succeeded.
 *
 * @param {() => Promise<void>} update
 * @returns {() => void} Stops the updates.
 */
export function startPolling(update) {
  let stopped = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const poll = async () => {
    try {
      if (!document.hidden) {
        await update();
        status.textContent = `updated at ${new Date().toLocaleTimeString()}`;
      }
    } catch (error) {
      status.textContent = `update failed: ${errorMessage(error)}`;
    }
    if (!stopped) timer = setTimeout(poll, POLL_MILLISECONDS);
  };
  poll();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
