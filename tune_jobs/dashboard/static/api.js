// Requests to the server, and what it answers (tune_jobs/dashboard/views.py).

import { applyPatch } from "./json_patches.js";
import { RequestError } from "./problems.js";

/** @typedef {Record<string, number>} Counts Number of trials by state. */
/**
 * @typedef {object} Figure Plotly's JSON, and what can be chosen in it.
 * @property {object[]} data
 * @property {Record<string, any>} layout
 * @property {import("./figure_choices.js").Choice[]} [choices]
 */

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
 * @property {string} activity "tuned", "left behind", "running", "empty" or "ended".
 * @property {string} direction One for each objective, separated by commas.
 * @property {number | null} rate Finished trials per hour.
 * @property {number | null} last When its last job run ended, in seconds since the epoch.
 */

/**
 * @typedef {object} Promotion Configurations, and how far they were promoted.
 * @property {number} configurations
 * @property {number} finished
 * @property {{budget: number, reached: number}[]} rungs
 * @property {number} pruned
 * @property {number} failed
 */

/**
 * @typedef {object} FrontRow
 * @property {number} trial
 * @property {number[]} values
 * @property {(string | number | null)[]} params
 */

/**
 * @typedef {object} Front The Pareto front.
 * @property {number} total
 * @property {string[]} metrics
 * @property {string[]} params
 * @property {FrontRow[]} rows
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
 * @property {number} run_hours Of its job runs; without job runs, the time of its trials.
 * @property {boolean} has_runs
 * @property {number} cost
 * @property {number} controller_hours Of detached controllers that are job runs.
 * @property {number} slots
 * @property {number} utilization
 * @property {number} provisioning
 * @property {number | null} n_trials
 * @property {number | null} max_parallel
 * @property {Note} user_note
 * @property {number | null} eta Seconds.
 * @property {{name: string, title: string, is_main: boolean}[]} figures
 * @property {number} front_size Trials of the Pareto front.
 * @property {{metric: string, value: number, trial: number}[]} best_by_objective
 * @property {{feasible: number, infeasible: number} | null} feasibility Of trials with constraints.
 * @property {Promotion | null} promotion
 * @property {{name: string, trial: number, state: string, seconds: number | null}[]} final_runs
 */

/** @typedef {string | number | null} Cell */

/**
 * @typedef {object} Field A column of the table of trials.
 * @property {string} id
 * @property {string} label
 * @property {"number" | "seconds" | "state" | "text" | "link"} kind
 * @property {"trial" | "param" | "attribute" | "constraint"} group
 * @property {string} name Its name in the filter.
 */

/**
 * @typedef {object} TrialsAnswer What the page lacks (tune_jobs/dashboard/trial_rows.py).
 * @property {string} cursor What the page has now.
 * @property {boolean} reset Whether all earlier rows are void.
 * @property {number} total
 * @property {number} window Trials that come by themselves, of a larger study.
 * @property {Field[]} [columns]
 * @property {Cell[][]} rows
 * @property {number[]} removed
 * @property {boolean} more
 * @property {string} [matching] Trials that match the filter, as ranges.
 * @property {boolean} [filtered] Whether these are of its rows alone.
 * @property {string} [problem] What is wrong with the filter.
 */

/**
 * @typedef {object} Command
 * @property {string} command
 * @property {string} [runs]
 * @property {number} [trial]
 * @property {number} [max_parallel]
 * @property {number} [n_trials]
 */

const CONTROL_HEADER = "X-Tune-Jobs-Control";
const CONTROL_POLLS = 60;
const CONTROL_POLL_MILLISECONDS = 500;

/** The last answers, so that what has not changed since is not sent again.
 * @type {Map<string, {tag: string, content: any}>} */
const answers = new Map();
const MAX_ANSWERS = 100;
/** The name of patches, and the status of an answer that is one, see answers.py. */
const PATCH = "json-patch-of-tune-jobs";
const IM_USED = 226;

/**
 * Request JSON; throws the server's message if there is no answer to show.
 *
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
export async function request(path, options) {
  const known = options ? undefined : answers.get(path);
  const response = await send(path, options ?? { headers: askForChanges(known?.tag) });
  if (known && response.status === 304) return known.content;
  const answer = await readJson(response);
  const content = known && response.status === IM_USED ? applyPatch(known.content, answer) : answer;
  if (!response.ok) {
    throw new Refusal(content.error || response.statusText, response.status, content);
  }
  const tag = response.headers.get("ETag");
  if (tag && !options) remember(path, tag, content);
  return content;
}

/**
 * Return the headers of a request for what has changed since the last answer.
 *
 * @param {string | undefined} tag The tag of that answer.
 * @returns {Record<string, string>}
 */
const askForChanges = (tag) => ({ "A-IM": PATCH, ...(tag ? { "If-None-Match": tag } : {}) });

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new RequestError("no answer", 0);
  }
}

/** @param {Response} response */
async function readJson(response) {
  try {
    return await response.json();
  } catch {
    const status = response.ok ? 502 : response.status;
    throw new RequestError(`${response.status} ${response.statusText}`.trim(), status);
  }
}

/**
 * @param {string} path
 * @param {string} tag
 * @param {any} content
 */
function remember(path, tag, content) {
  answers.delete(path);
  answers.set(path, { tag, content });
  const oldest = answers.keys().next().value;
  if (answers.size > MAX_ANSWERS && oldest !== undefined) answers.delete(oldest);
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
 * @param {Record<string, string>} chosen
 * @returns {Promise<Figure>}
 */
export const fetchFigure = (key, name, chosen) =>
  request(`api/studies/${key}/figures/${name}?${new URLSearchParams(chosen)}`);

/**
 * @param {string} key
 * @returns {Promise<Front>}
 */
export const fetchFront = (key) => request(`api/studies/${key}/front`);

/**
 * @param {string} key
 * @param {Record<string, string>} query
 * @returns {Promise<TrialsAnswer>}
 */
export const fetchTrials = (key, query) =>
  request(`api/studies/${key}/trials?${new URLSearchParams(query)}`, {});

/**
 * @typedef {object} RunUsage
 * @property {string} summary Empty if nothing is known.
 * @property {Record<string, [number, number][]>} curves Seconds and share, by what is used.
 * @property {Record<string, string>} peaks The peak of each curve.
 */

/**
 * @param {string} key
 * @param {string} run
 * @returns {Promise<RunUsage>}
 */
export const fetchUsage = (key, run) =>
  request(`api/studies/${key}/runs/${encodeURIComponent(run)}/usage`);

/**
 * @typedef {object} Note
 * @property {string} text
 * @property {number} version
 */

/** An answer that says no: `content` has what the server knows about it. */
export class Refusal extends RequestError {
  /**
   * @param {string} message
   * @param {number} status
   * @param {any} content
   */
  constructor(message, status, content) {
    super(message, status, content?.missing);
    this.content = content;
  }
}

/**
 * Send something that changes a study. Throws a `Refusal` if it is not done.
 *
 * @param {string} key
 * @param {string} path Below that of the study.
 * @param {object} content
 * @returns {Promise<any>}
 */
export async function post(key, path, content) {
  const { control_key } = await fetchStudy(key);
  return request(`api/studies/${key}/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", [CONTROL_HEADER]: control_key ?? "" },
    body: JSON.stringify(content),
  });
}

/**
 * Send a command to the process that tunes a study, and wait until it has been applied.
 *
 * @param {string} key
 * @param {Command} command
 * @returns {Promise<string>} What it changed; empty if that needs no words.
 */
export async function sendCommand(key, command) {
  const { asked, changes } = await post(key, "control", command);
  let waiting = "";
  for (let poll = 0; poll < CONTROL_POLLS; poll += 1) {
    const answer = await request(`api/studies/${key}/control/${asked}`);
    if (answer.done) return changes;
    waiting = answer.waiting;
    if (answer.ended) break;
    await new Promise((resolve) => setTimeout(resolve, CONTROL_POLL_MILLISECONDS));
  }
  throw new Error(waiting);
}

/**
 * @param {string} key
 * @param {number | null} trial Null for the note on the study.
 * @returns {Promise<Note>}
 */
export const fetchNote = (key, trial) =>
  request(`api/studies/${key}/note${trial === null ? "" : `?trial=${trial}`}`);

/**
 * @typedef {object} SpaceField A parameter in the form for a configuration.
 * @property {string} name
 * @property {"float" | "int" | "choice" | "constant"} type
 * @property {string} when Condition under which it exists; empty if it always does.
 * @property {string} allowed
 * @property {string | number | null} value Of a choice, its place among the choices.
 * @property {string[]} [choices]
 * @property {boolean} [log]
 */

/**
 * @typedef {object} EnqueueForm
 * @property {string} name
 * @property {string | null} owner
 * @property {number | null} best
 * @property {number | null} from
 * @property {string} unknown The trial that was asked for, and that there is not; empty otherwise.
 * @property {string} limits What the form does not know of the space; empty if it knows all.
 * @property {string[]} constraints
 * @property {SpaceField[]} parameters
 */

/**
 * @param {string} key
 * @param {string} from Number of a trial, "best", or empty.
 * @returns {Promise<EnqueueForm>}
 */
export const fetchEnqueueForm = (key, from) =>
  request(`api/studies/${key}/enqueue?${new URLSearchParams({ from })}`);

/**
 * @typedef {object} Training
 * @property {number} trial
 * @property {string | null} file
 * @property {string} obstacle Why the page cannot start it; empty if it can.
 * @property {{where: string, text: string}[]} commands
 * @property {number | null} seconds Of the trial's last run.
 * @property {number | null} cost
 * @property {boolean} running Whether the command that was started is at work.
 * @property {number | null} code Its exit code.
 * @property {string} output
 * @property {{name: string, state: string, cause: string}[]} runs
 */

/**
 * @param {string} key
 * @param {string} trial
 * @returns {Promise<Training>}
 */
export const fetchTraining = (key, trial) => request(`api/studies/${key}/train/${trial}`);
