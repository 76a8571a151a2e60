// The table of trials: virtual rows, sorted and selected here, filtered by the server.

import { trialAddress } from "./address.js";
import { moveColumn } from "./columns_menu.js";
import { el } from "./dom.js";
import { logButton } from "./log_dialog.js";
import { Component } from "./preact.js";
import { chooseColumns, compareRows, measureColumn, NUMBER, trialCell } from "./trial_columns.js";
import { VirtualRows } from "./virtual_rows.js";

/** @typedef {import("./api.js").Field} Field */
/** @typedef {import("./api.js").Cell} Cell */
/** @typedef {import("./trial_store.js").TrialStore} TrialStore */
/** @typedef {import("./study_settings.js").Settings} Settings */
/** @typedef {import("./study_settings.js").SortKey} SortKey */

/**
 * @typedef {object} Props
 * @property {string} studyKey
 * @property {TrialStore} store
 * @property {Settings} settings
 * @property {(changes: Partial<Settings>) => void} change
 * @property {(trial: number, state: Cell) => import("./dom.js").Child} action
 * @property {string} empty What is shown instead of rows.
 */

/**
 * Return the rows that the settings select, in their order.
 *
 * @param {TrialStore} store
 * @param {Settings} settings
 */
export function selectRows(store, { sort, selected, only }) {
  /** @type {Cell[][]} */
  const rows = [];
  for (const [number, row] of store.rows) {
    if (store.matching && !store.matching.has(number)) continue;
    if (only && selected.size && !selected.has(number)) continue;
    rows.push(row);
  }
  const known = sort.filter((key) => store.index(key.id) >= 0);
  return rows.sort(compareRows(known, (id) => store.index(id)));
}

/** @extends {Component<Props>} */
export class TrialsTable extends Component {
  /** @type {Cell[][]} */
  rows = [];
  /** @type {Field[]} */
  columns = [];
  /** @type {Map<string, number>} */
  widths = new Map();
  /** @type {Map<string, number>} */
  places = new Map();
  /** The trial whose row has the tab stops. */
  active = -1;
  /** Where a range of selected rows begins. */
  anchor = -1;
  /** @type {HTMLElement | null} */
  scroller = null;
  #arranged = "";
  #revision = -1;
  /** @type {number | null} */
  #shown = null;
  #virtual = new VirtualRows(() => this.setState({}));
  #unmount = () => {};
  /** @type {{trial: number, hidden: number} | null} */
  #kept = null;

  componentDidMount() {
    if (this.scroller) this.#unmount = this.#virtual.mount(this.scroller);
    this.componentDidUpdate();
  }

  componentWillUnmount() {
    this.#unmount();
  }

  componentDidUpdate() {
    for (const row of this.scroller?.querySelectorAll("tr[data-trial]") ?? []) {
      const isActive = row.getAttribute("data-trial") === String(this.active);
      for (const stop of row.querySelectorAll(STOPS)) {
        /** @type {HTMLElement} */ (stop).tabIndex = isActive ? 0 : -1;
      }
    }
    const kept = this.#kept;
    this.#kept = null;
    if (kept) {
      const index = this.find(kept.trial);
      if (index >= 0) this.#virtual.scrollTo(index, kept.hidden);
    }
    const { trial } = this.props.settings;
    if (trial === this.#shown) return;
    const index = trial === null ? -1 : this.find(trial);
    if (trial !== null && index < 0) return; // not loaded yet
    this.#shown = trial;
    if (index >= 0) this.#virtual.reveal(index, "center");
  }

  /** @param {number} number */
  find(number) {
    return this.rows.findIndex((row) => row[0] === number);
  }

  /** Sort and filter again if anything of it changed; the rows that are seen stay in place. */
  arrange() {
    const { store, settings } = this.props;
    const { where, state, text, sort, only, columns, selected } = settings;
    const arranged = JSON.stringify([where, state, text, sort, columns, only]);
    const isNew = arranged !== this.#arranged;
    if (!isNew && this.#revision === store.revision && !only) return;
    const { index, hidden } = this.#virtual.readTop();
    const above = this.rows[index];
    if (!isNew && this.#revision !== store.revision && above && (index || hidden))
      this.#kept = { trial: Number(above[0]), hidden };
    this.#arranged = arranged;
    this.#revision = store.revision;
    this.rows = selectRows(store, { ...settings, selected });
    this.columns = chooseColumns(store.fields, columns);
    this.places = new Map(store.fields.map((field, i) => [field.id, i]));
    const reads = this.rows.slice(0, 400).map((row) => this.reader(row));
    for (const field of this.columns) {
      const width = Math.max(this.widths.get(field.id) ?? 0, measureColumn(field, reads));
      this.widths.set(field.id, width);
    }
    if (this.find(this.active) < 0) this.active = Number(this.rows[0]?.[0] ?? -1);
  }

  /**
   * @param {Cell[]} row
   * @returns {import("./trial_columns.js").Read}
   */
  reader(row) {
    return (id) => row[this.places.get(id) ?? -1] ?? null;
  }

  /**
   * Select a row, or with the shift key all from the one before.
   *
   * @param {number} number
   * @param {boolean} isRange
   */
  toggle(number, isRange) {
    const { settings, change } = this.props;
    const selected = new Set(settings.selected);
    const [from, to] = [this.find(this.anchor), this.find(number)].sort((a, b) => a - b);
    const numbers =
      isRange && from >= 0 ? this.rows.slice(from, to + 1).map((r) => r[0]) : [number];
    const isAdded = !selected.has(number);
    for (const each of numbers) {
      if (isAdded) selected.add(Number(each));
      else selected.delete(Number(each));
    }
    this.anchor = number;
    change({ selected });
  }

  /** Move between rows by the keyboard: each row is one place, and has the same tab stops.
   * @param {KeyboardEvent} event */
  move(event) {
    const page = Math.floor((this.scroller?.clientHeight ?? 0) / 34) - 2;
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -1e9,
      End: 1e9,
    };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    const target = /** @type {HTMLElement} */ (event.target);
    const row = target.closest("tr[data-trial]");
    if (step === undefined || !row || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const index = Math.min(Math.max(this.find(this.active) + step, 0), this.rows.length - 1);
    const place = [...row.querySelectorAll(STOPS)].indexOf(target);
    this.active = Number(this.rows[index][0]);
    this.#virtual.reveal(index);
    this.setState({}, () => this.focusActive(place));
  }

  /** @param {number} place */
  focusActive(place) {
    requestAnimationFrame(() => {
      const row = this.scroller?.querySelector(`tr[data-trial="${this.active}"]`);
      const stops = row?.querySelectorAll(STOPS) ?? [];
      const stop = /** @type {HTMLElement | undefined} */ (stops[place] ?? stops[0]);
      stop?.focus({ preventScroll: true });
    });
  }

  /** @param {FocusEvent} event */
  follow(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest("tr[data-trial]");
    const number = Number(row?.getAttribute("data-trial") ?? this.active);
    if (number === this.active) return;
    this.active = number;
    this.setState({});
  }

  render() {
    this.arrange();
    const { before, after, indexes } = this.#virtual.see(this.rows.length);
    const total = 40 + 110 + this.columns.reduce((sum, { id }) => sum + this.width(id), 0);
    /** @param {HTMLElement | null} node */
    const keep = (node) => {
      this.scroller = node;
    };
    return el(
      "div",
      { class: "scroll rows", ref: keep },
      el(
        "table",
        {
          id: "trials",
          style: { width: `${total}px` },
          "aria-rowcount": this.rows.length + 1,
          "aria-label": "Trials with their last job run",
          onKeyDown: (/** @type {KeyboardEvent} */ event) => this.move(event),
          onFocusIn: (/** @type {FocusEvent} */ event) => this.follow(event),
        },
        this.columnWidths(),
        el("thead", {}, this.headings()),
        el(
          "tbody",
          {},
          before ? spacer("before", before) : null,
          indexes.map((i) => (this.rows[i] ? this.row(this.rows[i], i) : null)),
          after ? spacer("after", after) : null,
        ),
      ),
      this.rows.length ? null : el("p", { class: "sub empty" }, this.props.empty),
    );
  }

  /** @param {string} id */
  width(id) {
    return this.widths.get(id) ?? 80;
  }

  columnWidths() {
    /** @param {number} width */
    const style = (width) => ({ style: { width: `${width}px` } });
    return el(
      "colgroup",
      {},
      el("col", { key: "select", ...style(40) }),
      this.columns.map(({ id }) => el("col", { key: id, ...style(this.width(id)) })),
      el("col", { key: "actions", ...style(110) }),
    );
  }

  headings() {
    const { settings, change } = this.props;
    const all = this.rows.length > 0 && this.rows.every((r) => settings.selected.has(Number(r[0])));
    const toggleAll = () =>
      change({ selected: all ? new Set() : new Set(this.rows.map((row) => Number(row[0]))) });
    const box = { type: "checkbox", checked: all, "aria-label": "Select all rows" };
    return el(
      "tr",
      { "aria-rowindex": 1 },
      el("td", { key: "select" }, el("input", { ...box, onChange: toggleAll })),
      this.columns.map((field) => this.heading(field)),
      el("th", { key: "actions", scope: "col" }, "Log"),
    );
  }

  /** @param {Field} field */
  heading(field) {
    const { sort, columns } = this.props.settings;
    const rank = sort.findIndex((key) => key.id === field.id);
    const { descending } = sort[rank] ?? { descending: false };
    const mark = rank < 0 ? "" : descending ? " ▼" : " ▲";
    const isNumber = field.kind === "number" && field.group !== "attribute";
    return el(
      "th",
      {
        key: field.id,
        scope: "col",
        class: isNumber || field.kind === "seconds" ? "number" : "",
        // Only the most important column may say that it is sorted.
        "aria-sort": rank === 0 ? (descending ? "descending" : "ascending") : undefined,
        draggable: field.id !== NUMBER,
        onDragStart: (event) => event.dataTransfer?.setData("text/plain", field.id),
        onDragOver: (event) => event.preventDefault(),
        onDrop: (event) => {
          event.preventDefault();
          const moved = event.dataTransfer?.getData("text/plain") ?? "";
          const ids = chooseColumns(this.props.store.fields, columns).map((each) => each.id);
          const order = moveColumn(ids, moved, field.id).filter((id) => id !== NUMBER);
          this.props.change({ columns: order });
        },
      },
      el(
        "button",
        {
          type: "button",
          title: `${field.label}: click to sort, with Shift to sort by several columns`,
          onClick: (/** @type {MouseEvent} */ event) =>
            this.sortBy(field.id, event.shiftKey || event.ctrlKey),
        },
        el("span", {}, field.label),
        mark,
        rank >= 0 && sort.length > 1 ? el("sup", {}, rank + 1) : null,
      ),
    );
  }

  /**
   * @param {string} id
   * @param {boolean} isAdded Whether the other columns stay.
   */
  sortBy(id, isAdded) {
    const { settings, change } = this.props;
    const now = settings.sort.find((key) => key.id === id);
    const key = { id, descending: !now?.descending };
    if (!isAdded) change({ sort: [key] });
    else if (now) change({ sort: settings.sort.map((each) => (each.id === id ? key : each)) });
    else change({ sort: [...settings.sort, key] });
  }

  /**
   * @param {Cell[]} row
   * @param {number} index
   */
  row(row, index) {
    const { settings, studyKey, action } = this.props;
    const number = Number(row[0]);
    const read = this.reader(row);
    const isSelected = settings.selected.has(number);
    const run = read("run");
    const classes = [
      isSelected ? "selected" : "",
      settings.trial === number ? "target" : "",
      number === this.active ? "active" : "",
    ];
    return el(
      "tr",
      {
        key: number,
        "data-trial": number,
        "aria-rowindex": index + 2,
        class: classes.filter(Boolean).join(" ") || undefined,
      },
      el(
        "td",
        { key: "select" },
        el("input", {
          type: "checkbox",
          checked: isSelected,
          "aria-label": `Select trial ${number}`,
          onClick: (/** @type {MouseEvent} */ event) => this.toggle(number, event.shiftKey),
        }),
      ),
      this.columns.map((field) => trialCell(field, read, (n) => trialAddress(studyKey, n))),
      el(
        "td",
        { key: "actions" },
        run
          ? logButton(studyKey, {
              name: String(run),
              address: trialAddress(studyKey, number),
              page: `Trial ${number}`,
            })
          : null,
        " ",
        action(number, read("state")),
      ),
    );
  }
}

/** What has a tab stop in a row. */
const STOPS = "a, button, input";

/**
 * @param {string} key
 * @param {number} height
 */
const spacer = (key, height) =>
  el("tr", { key, "aria-hidden": true, class: "spacer", style: { height: `${height}px` } });
