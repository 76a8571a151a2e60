// The page with the form for a configuration that the study runs next.

import { fetchEnqueueForm, fetchStudy, post, Refusal } from "./api.js";
import { el } from "./dom.js";
import { formatName } from "./format.js";
import { ask } from "./question_dialog.js";
import { redraw } from "./screen.js";
import { errorMessage, errorNote, studyLink } from "./widgets.js";

/** @typedef {import("./api.js").EnqueueForm} EnqueueForm */
/** @typedef {import("./api.js").SpaceField} SpaceField */

/**
 * Open the page.
 *
 * @param {string} key
 * @param {URLSearchParams} query `from`: a trial's number, or "best".
 * @returns {import("./app.js").Page}
 */
export function openEnqueue(key, query) {
  /** @type {EnqueueForm | null} */
  let form = null;
  let isAllowed = false;
  /** What the fields have, by parameter; absent where it is left to the sampler.
   * @type {Map<string, string>} */
  const values = new Map();
  /** The same request sent again, as its answer was lost, enqueues nothing new. */
  let request = newRequest();
  /** @type {unknown} */
  let problem = null;
  /** @type {{trial: number, text: string}[]} */
  const enqueued = [];

  /** @param {string} from */
  async function load(from) {
    try {
      const [loaded, study] = await Promise.all([fetchEnqueueForm(key, from), fetchStudy(key)]);
      form = loaded;
      isAllowed = study.control;
      document.title = `Enqueue · ${formatName(loaded.name)} · tune_jobs`;
      values.clear();
      for (const { name, type, value } of loaded.parameters) {
        if (type !== "constant" && value !== null) values.set(name, String(value));
      }
      problem = null;
    } catch (error) {
      problem = error;
    }
    redraw();
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  function change(name, value) {
    if (value) values.set(name, value);
    else values.delete(name);
    request = newRequest();
    redraw();
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (form) await send(readParams(form.parameters, values), false);
  }

  /**
   * @param {Record<string, any>} params
   * @param {boolean} again
   */
  async function send(params, again) {
    problem = null;
    try {
      const { trial, starts } = await post(key, "enqueue", { params, again, request });
      enqueued.push({ trial, text: `Enqueued as trial ${trial}: ${starts}.` });
      request = newRequest();
    } catch (error) {
      if (error instanceof Refusal && error.content.same_as !== undefined && !again) {
        const { same_as } = error.content;
        const question =
          `Trial ${same_as} has the same configuration. Run it once more, for example because ` +
          "its result is noisy?";
        const isWanted = await ask(question, "Enqueue again");
        if (isWanted) return send(params, true);
      } else problem = error;
    }
    redraw();
  }

  /** @param {number} trial */
  async function withdraw(trial) {
    const entry = enqueued.find((each) => each.trial === trial);
    try {
      await post(key, "withdraw", { trial });
      if (entry) entry.text = `Trial ${trial} was withdrawn before it started.`;
    } catch (error) {
      if (entry) entry.text = `${errorMessage(error)}.`;
    }
    redraw();
  }

  function draw() {
    const back = studyLink(key, form?.name ?? null);
    return [
      el("h1", { key: "title" }, "Enqueue a configuration"),
      el("p", { key: "back", class: "sub" }, back),
      problem ? el("div", { key: "problem" }, errorNote(problem)) : null,
      form ? introduction(form, isAllowed) : problem ? null : el("p", { class: "sub" }, "Loading…"),
      form ? formCard(form, { values, change, submit, isAllowed, load }) : null,
      el(
        "div",
        { key: "answers", role: "status" },
        enqueued.map(({ trial, text }) => answer(trial, text, withdraw)),
      ),
    ];
  }

  load(query.get("from") ?? "");
  return { draw, close: () => {}, follow: (address) => load(address.get("from") ?? "") };
}

/** @param {{from: number | null, unknown: string}} form */
function describeOrigin({ from, unknown }) {
  if (unknown) return `There is no trial ${unknown} whose values could be taken`;
  return from === null ? "" : `Values of trial ${from}`;
}

const newRequest = () => Array.from(crypto.getRandomValues(new Uint32Array(3))).join("-");

/**
 * @param {number} trial
 * @param {string} text
 * @param {(trial: number) => void} withdraw
 */
function answer(trial, text, withdraw) {
  const button = el("button", { type: "button", onClick: () => withdraw(trial) }, "Withdraw");
  return el(
    "p",
    { key: trial, class: "note" },
    `${text} `,
    text.startsWith("Enqueued") ? button : null,
  );
}

/**
 * @param {EnqueueForm} form
 * @param {boolean} isAllowed
 */
function introduction(form, isAllowed) {
  const notes = [
    isAllowed ? "" : "Control is off: start the dashboard with --allow-control to enqueue.",
    form.owner ? "" : "No process tunes this study now: what is enqueued waits until one does.",
    form.limits,
  ].filter(Boolean);
  return el(
    "div",
    { key: "notes" },
    notes.map((text) => el("p", { key: text, class: "note warning" }, text)),
  );
}

/**
 * @typedef {object} Editing
 * @property {Map<string, string>} values
 * @property {(name: string, value: string) => void} change
 * @property {(event: Event) => void} submit
 * @property {boolean} isAllowed
 * @property {(from: string) => void} load
 */

/**
 * @param {EnqueueForm} form
 * @param {Editing} editing
 */
function formCard(form, { values, change, submit, isAllowed, load }) {
  const constraints = form.constraints.map((source) => el("code", { key: source }, source));
  const start = (/** @type {string} */ label, /** @type {string} */ from) =>
    el("button", { key: label, type: "button", onClick: () => load(from) }, label);
  return el(
    "form",
    { key: "form", class: "card enqueue", onSubmit: submit },
    el(
      "div",
      { class: "tools" },
      el("span", { class: "from" }, describeOrigin(form)),
      form.best === null ? null : start(`Start from the best (trial ${form.best})`, "best"),
      start("Clear", ""),
    ),
    el(
      "div",
      { class: "fields" },
      form.parameters.map((field) => fieldRow(field, values, change)),
    ),
    constraints.length ? el("p", { class: "sub constraints" }, "Must hold: ", constraints) : null,
    el("p", { class: "sub" }, "A field that is left empty is chosen by the sampler."),
    el("button", { class: "primary", disabled: !isAllowed || !values.size }, "Enqueue"),
  );
}

/**
 * @param {SpaceField} field
 * @param {Map<string, string>} values
 * @param {(name: string, value: string) => void} change
 */
function fieldRow(field, values, change) {
  const { name, type, when, allowed, log } = field;
  const hints = [
    type === "constant" ? "constant" : allowed,
    log ? "log scale" : "",
    when ? `only if ${when}` : "",
  ];
  const value = values.get(name) ?? "";
  const id = `field-${name}`;
  return el(
    "div",
    { key: name, class: "field" },
    el("label", { for: id }, name),
    fieldInput(field, id, value, (next) => change(name, next)),
    el("small", { id: `${id}-hint` }, hints.filter(Boolean).join(", ")),
  );
}

/**
 * @param {SpaceField} field
 * @param {string} id
 * @param {string} value
 * @param {(value: string) => void} change
 */
function fieldInput(field, id, value, change) {
  const described = { id, "aria-describedby": `${id}-hint` };
  if (field.type === "constant") {
    return el("input", { ...described, value: String(field.value), disabled: true });
  }
  if (field.type === "choice") {
    const options = (field.choices ?? []).map((label, place) =>
      el("option", { key: place, value: String(place) }, label),
    );
    return el(
      "select",
      {
        ...described,
        value,
        /** @param {{currentTarget: HTMLSelectElement}} event */
        onChange: ({ currentTarget }) => change(currentTarget.value),
      },
      el("option", { value: "" }, "(the sampler chooses)"),
      options,
    );
  }
  return el("input", {
    ...described,
    value,
    inputMode: "decimal",
    placeholder: "the sampler chooses",
    /** @param {{currentTarget: HTMLInputElement}} event */
    onInput: ({ currentTarget }) => change(currentTarget.value.trim()),
  });
}

/**
 * Return what the server gets: numbers as numbers, and choices by their place.
 *
 * @param {SpaceField[]} fields
 * @param {Map<string, string>} values
 */
function readParams(fields, values) {
  /** @type {Record<string, any>} */
  const params = {};
  for (const { name, type } of fields) {
    const value = values.get(name);
    if (value === undefined) continue;
    if (type === "choice") params[name] = { choice: Number(value) };
    else params[name] = Number.isFinite(Number(value)) ? Number(value) : value;
  }
  return params;
}
