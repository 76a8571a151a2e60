// A note on a study or a trial: plain text, shown, and edited where control is allowed.

import { fetchNote, post, Refusal } from "./api.js";
import { el } from "./dom.js";
import { redraw } from "./screen.js";
import { errorMessage } from "./widgets.js";

/** @typedef {import("./api.js").Note} Note */

const MAX_CHARACTERS = 4000;

/**
 * Return a function that draws the note on a study, or on a trial of it.
 *
 * @param {string} key
 * @param {number | null} trial Null for the study.
 */
export function noteEditor(key, trial) {
  /** What is being written, and the version that it replaces.
   * @type {Note | null} */
  let draft = null;
  let problem = "";
  const subject = trial === null ? "this study" : `trial ${trial}`;

  /** @param {Note | null} next */
  function edit(next) {
    draft = next;
    problem = "";
    redraw();
  }

  async function open() {
    try {
      edit(await fetchNote(key, trial));
      document.getElementById("note-text")?.focus();
    } catch (error) {
      problem = errorMessage(error);
      redraw();
    }
  }

  /** @param {Event} event */
  async function save(event) {
    event.preventDefault();
    if (!draft) return;
    try {
      await post(key, "note", { trial, ...draft });
      edit(null);
    } catch (error) {
      problem = errorMessage(error);
      if (error instanceof Refusal && typeof error.content.version === "number") {
        const { text, version } = error.content;
        problem = `${problem}. It says now: ${text || "(nothing)"}`;
        draft = { ...draft, version };
      }
      redraw();
    }
  }

  const form = () =>
    el(
      "form",
      { onSubmit: save },
      el("textarea", {
        id: "note-text",
        "aria-label": `Note on ${subject}`,
        rows: 4,
        maxLength: MAX_CHARACTERS,
        value: draft?.text ?? "",
        /** @param {{currentTarget: HTMLTextAreaElement}} event */
        onInput: ({ currentTarget }) => {
          draft = { text: currentTarget.value, version: draft?.version ?? 0 };
        },
      }),
      el(
        "div",
        { class: "tools" },
        el("button", { class: "primary" }, "Save note"),
        el("button", { type: "button", onClick: () => edit(null) }, "Discard"),
      ),
    );

  /**
   * @param {string} text The note as it is.
   * @param {boolean} canEdit
   */
  return (text, canEdit) => {
    if (!text && !canEdit) return null;
    const button = el(
      "button",
      { type: "button", onClick: open },
      text ? "Edit note" : `Add a note on ${subject}`,
    );
    return el(
      "section",
      { key: "note", class: "user-note", "aria-label": `Note on ${subject}` },
      text && !draft ? el("p", { class: "note plain-text" }, text) : null,
      problem ? el("p", { class: "note error", role: "alert" }, problem) : null,
      draft ? form() : canEdit ? button : null,
    );
  };
}
