// Requests to the server, and what it answers (tune_jobs/dashboard/views.py).

/** @typedef {Record<string, number>} Counts Number of trials by state. */
/** @typedef {{data: object[], layout: Record<string, any>}} Figure Plotly's JSON. */

/**
 * @typedef {object} Head A study in the list of studies.
 * @property {string} key
 * @property {string} name
 * @property {string} storage
 * @property {Counts} counts
 * @property {number | null} best
 * @property {string} no_best Why there is no best trial; empty if there is one.
 * @property {number} run_hours
 * @property {number} live
 * @property {string | null} owner
 * @property {number | null} rate Finished trials per hour.
 */

/**
 * @typedef {object} StudyView The head of a study's page.
 * @property {string} name
 * @property {string} storage
 * @property {string} version Changes when the figures or the table do.
 * @property {boolean} control Whether the page may control the study.
 * @property {string | null} control_key What commands have to send; null if the page may send none.
 * @property {string[]} metrics
 * @property {string[]} directions
 * @property {Counts} counts
 * @property {{trial: number, value: number | null, params: Record<string, string>} | null} best
 * @property {{trial: number, values: (number | null)[]}[]} front Some of the best trials.
 * @property {string} no_best Why there is no best trial; empty if there is one.
 * @property {Counts} not_best Number of complete trials that cannot be the best, by reason.
 * @property {string | null} owner
 * @property {number} left_behind Job runs that no process watches any more.
 * @property {number} run_hours
 * @property {number} cost
 * @property {number} slots
 * @property {number} utilization
 * @property {number} provisioning
 * @property {number | null} n_trials
 * @property {number | null} eta Seconds.
 * @property {{name: string, title: string}[]} figures
 * @property {{name: string, trial: number, state: string, seconds: number | null}[]} final_runs
 */

/**
 * @typedef {object} TrialRow A trial with its last job run.
 * @property {number} number
 * @property {string} state
 * @property {(number | null)[]} values
 * @property {string} note Why it cannot be the best trial; empty if it can.
 * @property {number | null} step
 * @property {number | null} latest Value at the last step.
 * @property {string | null} run
 * @property {string} run_state
 * @property {number} attempt
 * @property {number | null} seconds
 * @property {number | null} cost
 * @property {string} cause
 * @property {number | null} continued_from
 * @property {string | null} console
 * @property {(string | number | null)[]} params
 */

/**
 * @typedef {object} TrialsPage
 * @property {number} total
 * @property {number} offset
 * @property {number} page Trials per page.
 * @property {string[]} params
 * @property {TrialRow[]} rows
 */

/**
 * @typedef {object} Winner
 * @property {string} study
 * @property {number} trial
 * @property {number | null} value
 * @property {number} trials
 * @property {number} run_hours
 * @property {number} hours
 * @property {number} money
 * @property {string[]} params
 */

/**
 * @typedef {object} Comparison
 * @property {Winner[]} winners
 * @property {string[]} differing
 * @property {string} statement
 * @property {string[]} without_best Studies without a best trial, with the reason.
 * @property {string[]} warnings
 * @property {{name: string, title: string, figure: Figure}[]} figures
 */

/** @typedef {{command: string, runs?: string, trial?: number}} Command */

const CONTROL_HEADER = "X-Tune-Jobs-Control";
const CONTROL_POLLS = 60;
const CONTROL_POLL_MILLISECONDS = 500;

/**
 * Request JSON; throws the server's message if there is no answer to show.
 *
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
async function request(path, options) {
  const response = await fetch(path, options);
  const content = await response.json();
  if (!response.ok) throw new Error(content.error || response.statusText);
  return content;
}

/** @returns {Promise<Head[]>} */
export const fetchStudies = async () => (await request("api/studies")).studies;

/**
 * @param {string} key
 * @returns {Promise<StudyView>}
 */
export const fetchStudy = (key) => request(`api/studies/${key}`);

/**
 * @param {string} key
 * @param {string} name
 * @returns {Promise<Figure>}
 */
export const fetchFigure = (key, name) => request(`api/studies/${key}/figures/${name}`);

/**
 * @param {string} key
 * @param {Record<string, string>} query
 * @returns {Promise<TrialsPage>}
 */
export const fetchTrials = (key, query) =>
  request(`api/studies/${key}/trials?${new URLSearchParams(query)}`);

/**
 * @param {string} key
 * @param {string} run
 * @returns {Promise<string>}
 */
export const fetchLog = async (key, run) =>
  (await request(`api/studies/${key}/runs/${encodeURIComponent(run)}/log`)).log;

/**
 * @param {Iterable<string>} keys
 * @returns {Promise<Comparison>}
 */
export const fetchComparison = (keys) =>
  request(`api/compare?${new URLSearchParams([...keys].map((key) => ["study", key]))}`);

/**
 * Send a command to the process that tunes a study, and wait until it has been applied.
 *
 * @param {string} key
 * @param {Command} command
 */
export async function sendCommand(key, command) {
  const { control_key } = await fetchStudy(key);
  const { asked } = await request(`api/studies/${key}/control`, {
    method: "POST",
    headers: { "Content-Type": "application/json", [CONTROL_HEADER]: control_key ?? "" },
    body: JSON.stringify(command),
  });
  for (let poll = 0; poll < CONTROL_POLLS; poll += 1) {
    if ((await request(`api/studies/${key}/control/${asked}`)).done) return;
    await new Promise((resolve) => setTimeout(resolve, CONTROL_POLL_MILLISECONDS));
  }
  throw new Error("requested, but not applied yet");
}
