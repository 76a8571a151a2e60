// What went wrong with a request, and how a page says it: a title, what it means, what to do.

import { el } from "./dom.js";

/** A request that the server refused or could not answer. */
export class RequestError extends Error {
  /**
   * @param {string} message What the server said.
   * @param {number} status HTTP status; 0 if there was no answer.
   * @param {string} [missing] What does not exist, such as "study"; empty if that is a part of one.
   */
  constructor(message, status, missing = "") {
    super(message);
    this.status = status;
    this.missing = missing;
  }
}

/**
 * @typedef {object} Explanation
 * @property {string} title
 * @property {string} meaning
 * @property {string} advice
 * @property {[string, string] | null} link Text and address of what helps; null if nothing does.
 */

/** @type {Record<number, Explanation>} */
const EXPLANATIONS = {
  0: {
    title: "The server does not answer",
    meaning: "It was stopped, or the connection to it is interrupted.",
    advice: "If it was stopped, start tune-jobs dashboard again. This page keeps trying.",
    link: null,
  },
  401: {
    title: "The token is no longer valid",
    meaning: "The server was started again with another token, or the browser has lost its cookie.",
    advice: "Open the link that tune-jobs dashboard printed when it started, or enter its token.",
    link: ["Enter the token", "./"],
  },
  403: {
    title: "The server refuses this request",
    meaning: "It does not accept this host name or this page.",
    advice: "Open the link that tune-jobs dashboard printed when it started.",
    link: null,
  },
  404: {
    title: "This study does not exist",
    meaning: "It was deleted, or its storage is not among those that the server shows.",
    advice: "Nothing of it can be shown any more.",
    link: ["All studies", "#/"],
  },
  500: {
    title: "The server failed",
    meaning: "This is a fault of the dashboard, not of your study.",
    advice: "The terminal of tune-jobs dashboard shows what failed. This page keeps trying.",
    link: null,
  },
  502: {
    title: "Something else answered",
    meaning: "The answer is not one of this dashboard: a proxy or a sign-in page is in between.",
    advice: "Reload the page, and sign in again if you are asked to.",
    link: null,
  },
  503: {
    title: "The storage does not answer",
    meaning: "Its studies cannot be read now. Runs that are under way are not affected.",
    advice: "This page keeps trying.",
    link: null,
  },
};

/** @type {Explanation} */
const MISSING_PART = {
  title: "This does not exist",
  meaning: "",
  advice: "The address may be mistyped, or what it shows was removed.",
  link: null,
};

/** @type {Explanation} */
const UNKNOWN = {
  title: "This cannot be shown",
  meaning: "",
  advice: "",
  link: null,
};

/**
 * Return whether other requests would fail, too: of the server or the storage.
 *
 * @param {unknown} error
 */
export const isOutage = (error) =>
  error instanceof RequestError && [0, 401, 503].includes(error.status);

/** @param {unknown} error */
export const isGone = (error) =>
  error instanceof RequestError && error.status === 404 && error.missing === "study";

/**
 * Return whether a part of a study does not exist, such as a trial, while the study does.
 *
 * @param {unknown} error
 */
export const isMissingPart = (error) =>
  error instanceof RequestError && error.status === 404 && !isGone(error);

/** @param {unknown} error */
export const errorMessage = (error) => (error instanceof Error ? error.message : String(error));

/**
 * @param {unknown} error
 * @returns {Explanation}
 */
export function explain(error) {
  if (!(error instanceof RequestError)) return UNKNOWN;
  if (isMissingPart(error)) return MISSING_PART;
  return EXPLANATIONS[error.status] ?? UNKNOWN;
}

/**
 * Return a panel that explains an error.
 *
 * @param {unknown} error
 * @param {(() => void) | null} retry Tries again; null if that does not help.
 * @param {"h1" | "h2"} heading The first if it takes the place of a page.
 */
export function errorPanel(error, retry = null, heading = "h2") {
  const { title, meaning, advice, link } = explain(error);
  const message = errorMessage(error);
  return el(
    "section",
    { class: "panel problem", role: "alert" },
    el(heading, {}, title),
    meaning ? el("p", {}, meaning) : null,
    message ? el("p", { class: "said" }, message) : null,
    advice ? el("p", {}, advice) : null,
    el(
      "div",
      { class: "tools" },
      link ? el("a", { class: "button primary", href: link[1] }, link[0]) : null,
      retry && !isGone(error)
        ? el("button", { type: "button", onClick: retry }, "Try again now")
        : null,
    ),
  );
}
