// A dialog with the output of a job run, which follows a live run.

import { fetchLog } from "./api.js";
import { byId, el } from "./dom.js";
import { POLL_MILLISECONDS } from "./polling.js";
import { errorMessage } from "./problems.js";
import { showUsage } from "./usage_curves.js";

const dialog = /** @type {HTMLDialogElement} */ (byId("log"));
const follow = /** @type {HTMLInputElement} */ (byId("log-follow"));
const title = byId("log-title");
const output = byId("log-text");

byId("log-close").addEventListener("click", () => dialog.close());

/**
 * Return a button that opens the log of a run.
 *
 * @param {string} key
 * @param {string} run
 */
export function logButton(key, run) {
  const label = `Log of ${run}`;
  const open = () => openLog(key, run);
  return el(
    "button",
    { type: "button", class: "plain", "aria-label": label, onClick: open },
    "log",
  );
}

/**
 * @param {string} key
 * @param {string} run
 */
function openLog(key, run) {
  title.textContent = run;
  output.textContent = "…";
  dialog.showModal();
  showUsage(byId("log-usage"), key, run);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const load = async () => {
    try {
      const log = await fetchLog(key, run);
      if (log !== output.textContent) {
        output.textContent = log || "(no output yet)";
        output.scrollTop = output.scrollHeight;
      }
    } catch (error) {
      output.textContent = errorMessage(error);
    }
    if (dialog.open && follow.checked) timer = setTimeout(load, POLL_MILLISECONDS);
  };
  dialog.onclose = () => clearTimeout(timer);
  follow.onchange = load;
  load();
}
