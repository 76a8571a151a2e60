// The output of a job run: follows a live run, and shows any part of a long log.
//
// Only new bytes are fetched, and they are appended, so what the user has selected stays selected.
// The view stays at the end of the log unless the user has scrolled up.

import { el } from "./dom.js";
import { formatBytes } from "./format.js";
import { POLL_MILLISECONDS } from "./polling.js";
import { Component } from "./preact.js";
import { fetchLogPart, fetchMatches, wholeLogPath } from "./trial_api.js";
import { errorNote } from "./widgets.js";

/** Characters that are kept in the document while a log is followed. */
const MOST_SHOWN = 2_000_000;

/** Bytes by which a log may grow between two looks before the view jumps to its new end. */
const MOST_BEHIND = 2_000_000;

const AT_END = 12;
const TAIL_LINES = 12;

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals understand these, pages do not
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))/g;

/** @param {string} text What a terminal would show, without its colors. */
const plain = (text) => text.replace(ESCAPES, "").replace(/\r+\n?/g, "\n");

/**
 * @typedef {object} LogProps
 * @property {string} studyKey
 * @property {string} run
 * @property {number} rank
 * @property {string} find The text to search for; empty for none.
 * @property {(changes: {rank?: number, find?: string}) => void} change Changes rank and search.
 * @property {(lines: string[]) => void} [showTail] Takes the last lines of the log.
 */

/**
 * @typedef {object} LogState
 * @property {"loading" | "shown" | "missing"} phase
 * @property {number} start
 * @property {number} end
 * @property {number} size
 * @property {boolean} ended
 * @property {number} nodes
 * @property {unknown} problem
 * @property {import("./trial_api.js").Matches | null} matches
 * @property {boolean} isSearching
 */

/** @type {LogState} */
const EMPTY = {
  phase: "loading",
  start: 0,
  end: 0,
  size: 0,
  ended: false,
  nodes: 1,
  problem: null,
  matches: null,
  isSearching: false,
};

/** @extends {Component<LogProps, LogState>} */
export class LogPanel extends Component {
  state = { ...EMPTY };
  /** @type {HTMLElement | null} */
  output = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;
  /** Number of the view that is shown; answers to an earlier one are dropped. */
  opened = 0;

  componentDidMount() {
    this.open();
  }

  /** @param {LogProps} before */
  componentDidUpdate(before) {
    const { studyKey, run, rank, find } = this.props;
    const isOther = before.studyKey !== studyKey || before.run !== run || before.rank !== rank;
    if (isOther) this.open();
    else if (before.find !== find) this.search();
  }

  componentWillUnmount() {
    this.opened += 1;
    clearTimeout(this.timer);
  }

  /** Show the end of the log, and search in it if that is wanted. */
  async open() {
    this.setState(({ nodes }) => ({ ...EMPTY, nodes }));
    await this.showEnd();
    if (this.props.find) await this.search();
  }

  /** @param {{from?: number, before?: number}} place */
  fetch(place = {}) {
    const { studyKey, run, rank } = this.props;
    return fetchLogPart(studyKey, run, { rank, ...place });
  }

  async showEnd() {
    this.opened += 1;
    const current = this.opened;
    clearTimeout(this.timer);
    try {
      const part = await this.fetch();
      if (current !== this.opened) return;
      this.output?.replaceChildren(plain(part.log));
      this.setState({ ...part, phase: part.exists ? "shown" : "missing", problem: null }, () =>
        this.scrollToEnd(),
      );
      this.props.showTail?.(tailLines(part.log));
    } catch (problem) {
      if (current !== this.opened) return;
      this.setState({ problem });
    }
    this.schedule(current);
  }

  /** @param {number} current */
  schedule(current) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.follow(current), POLL_MILLISECONDS);
  }

  /**
   * Append what is new, until the run has ended and its whole log is shown.
   *
   * @param {number} current
   * @returns {Promise<void>}
   */
  async follow(current) {
    if (current !== this.opened) return;
    const { phase, end, size, ended } = this.state;
    if (phase === "shown" && ended && end >= size) return;
    const isElsewhere = phase === "shown" && end < size; // an earlier part is being read
    if (document.hidden || isElsewhere) return this.schedule(current);
    if (phase !== "shown") return this.showEnd();
    try {
      const part = await this.fetch({ from: end });
      if (current !== this.opened) return;
      if (part.size < end || part.size - end > MOST_BEHIND) return this.showEnd();
      this.append(part);
      this.setState({ end: part.end, size: part.size, ended: part.ended, problem: null });
      if (part.end < part.size && part.log) return this.follow(current);
    } catch (problem) {
      if (current !== this.opened) return;
      this.setState({ problem });
    }
    this.schedule(current);
  }

  /** @param {import("./trial_api.js").LogPart} part */
  append(part) {
    const { output } = this;
    if (!output || !part.log) return;
    const isAtEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - AT_END;
    output.append(plain(part.log));
    if (!isAtEnd) return;
    this.trim(output);
    this.scrollToEnd();
  }

  /**
   * Drop the oldest text if there is very much; the user sees the newest.
   *
   * @param {HTMLElement} output
   */
  trim(output) {
    let length = output.textContent.length;
    let dropped = 0;
    while (length > MOST_SHOWN && output.childNodes.length > 1) {
      const text = output.firstChild?.textContent ?? "";
      length -= text.length;
      dropped += new TextEncoder().encode(text).length;
      output.firstChild?.remove();
    }
    if (dropped) this.setState(({ start }) => ({ start: start + dropped }));
  }

  scrollToEnd() {
    if (this.output) this.output.scrollTop = this.output.scrollHeight;
  }

  async showEarlier() {
    const { output } = this;
    const current = this.opened;
    const part = await this.attempt(this.fetch({ before: this.state.start }));
    if (!part || !output || current !== this.opened) return;
    const height = output.scrollHeight;
    output.prepend(plain(part.log));
    output.scrollTop += output.scrollHeight - height;
    this.setState({ start: part.start });
  }

  async showLater() {
    const current = this.opened;
    const part = await this.attempt(this.fetch({ from: this.state.end }));
    if (!part || current !== this.opened) return;
    this.output?.append(plain(part.log));
    this.setState({ end: part.end, size: part.size, ended: part.ended });
  }

  async search() {
    const { studyKey, run, rank, find } = this.props;
    if (!find) return this.setState({ matches: null });
    this.setState({ isSearching: true });
    const matches = await this.attempt(fetchMatches(studyKey, run, { rank, text: find }));
    if (find !== this.props.find) return;
    this.setState({ isSearching: false, matches: matches ?? null });
  }

  /** @param {number} at Offset of a match. */
  async showMatch(at) {
    this.opened += 1;
    const current = this.opened;
    const parts = await this.attempt(
      Promise.all([this.fetch({ before: at }), this.fetch({ from: at })]),
    );
    const { output } = this;
    if (!parts || !output || current !== this.opened) return;
    const [before, after] = parts;
    const length = this.props.find.length;
    const mark = document.createElement("mark");
    mark.append(plain(after.log.slice(0, length)));
    const start = before.log ? before.start : after.start;
    output.replaceChildren(plain(before.log), mark, plain(after.log.slice(length)));
    this.setState({ start, end: after.end, size: after.size, ended: after.ended }, () => {
      output.scrollTop = mark.offsetTop - output.offsetTop - output.clientHeight / 3;
    });
    this.schedule(current);
  }

  /**
   * Return what a request answers, or undefined after an error, which is shown.
   *
   * @template Answer
   * @param {Promise<Answer>} request
   * @returns {Promise<Answer | undefined>}
   */
  async attempt(request) {
    try {
      const answer = await request;
      this.setState({ problem: null });
      return answer;
    } catch (problem) {
      this.setState({ problem });
      return undefined;
    }
  }

  render() {
    const { run } = this.props;
    const { phase, problem } = this.state;
    /** @param {HTMLElement | null} node */
    const keep = (node) => {
      this.output = node ?? this.output;
    };
    const note =
      phase === "missing"
        ? el("p", { class: "note" }, this.state.ended ? MISSING_LOG : NO_LOG_YET)
        : null;
    return el(
      "section",
      { class: "card", id: "log-panel" },
      this.head(),
      problem ? errorNote(problem) : null,
      this.matchList(),
      note,
      el("section", {
        class: phase === "shown" ? "log-output" : "log-output short",
        hidden: phase !== "shown",
        // The keyboard must be able to scroll it.
        tabIndex: 0,
        "aria-label": `Output of ${run}`,
        ref: keep,
      }),
    );
  }

  head() {
    const { studyKey, run, rank, find, change } = this.props;
    const { phase, start, end, size, ended, nodes } = this.state;
    /** @param {{currentTarget: HTMLSelectElement}} event */
    const onRank = ({ currentTarget }) => change({ rank: Number(currentTarget.value) });
    /** @param {{currentTarget: HTMLInputElement}} event */
    const onFind = ({ currentTarget }) => change({ find: currentTarget.value.trim() });
    const isShown = phase === "shown";
    return [
      el(
        "div",
        { class: "card-head" },
        el("h2", {}, "Log"),
        el("span", { class: "log-state" }, logState(this.state)),
      ),
      el(
        "div",
        { class: "tools" },
        nodes > 1
          ? el(
              "label",
              {},
              "Node",
              el(
                "select",
                { value: rank, onChange: onRank },
                Array.from({ length: nodes }, (_, each) =>
                  el("option", { key: each, value: each }, `rank ${each}`),
                ),
              ),
            )
          : null,
        el("input", {
          type: "search",
          "aria-label": "Search the log",
          placeholder: "Search the log",
          value: find,
          maxLength: 200,
          onChange: onFind,
        }),
        el(
          "button",
          { type: "button", disabled: !isShown || start === 0, onClick: () => this.showEarlier() },
          "Earlier",
        ),
        el(
          "button",
          { type: "button", disabled: !isShown || end >= size, onClick: () => this.showLater() },
          "Later",
        ),
        el(
          "button",
          { type: "button", disabled: !isShown, onClick: () => this.showEnd() },
          ended ? "End" : "End, follow",
        ),
        isShown
          ? el("a", { href: wholeLogPath(studyKey, run, rank), download: "" }, "Download")
          : null,
      ),
    ];
  }

  matchList() {
    const { find } = this.props;
    const { matches, isSearching } = this.state;
    if (isSearching) return el("p", { class: "log-state" }, "Searching…");
    if (!find || !matches) return null;
    const shown = matches.matches.length;
    const more = matches.count > shown ? `, the first ${shown} are listed` : "";
    const count = matches.count === 1 ? "1 line matches" : `${matches.count} lines match`;
    return [
      el("p", { class: "log-state", role: "status" }, `${count}${more}.`),
      shown
        ? el(
            "ol",
            { class: "matches" },
            matches.matches.map(({ at, line }) =>
              el(
                "li",
                { key: at },
                el("button", { type: "button", onClick: () => this.showMatch(at) }, line),
              ),
            ),
          )
        : null,
    ];
  }
}

const NO_LOG_YET =
  "No output yet. It appears here once the run has printed something and its machine has sent it.";
const MISSING_LOG = "This run left no output: it may have ended before its script was started.";

/** @param {LogState} state */
function logState({ phase, start, end, size, ended }) {
  if (phase !== "shown") return phase === "loading" ? "Loading…" : "";
  const isWhole = start === 0 && end >= size;
  const part = isWhole ? formatBytes(size) : `${formatBytes(end - start)} of ${formatBytes(size)}`;
  if (ended) return part;
  return `${part}, ${end >= size ? "following" : "not at the end"}`;
}

/** @param {string} log */
const tailLines = (log) =>
  plain(log)
    .split("\n")
    .filter((line) => line.trim())
    .slice(-TAIL_LINES);
