// The figures of a study: the most useful ones, and more that are loaded when a person opens them.
// What is chosen in them is in the address.

import { writeFigureSettings } from "./address.js";
import { fetchFigure } from "./api.js";
import { el } from "./dom.js";
import { figureChoices } from "./figure_choices.js";
import { showLocalTimes } from "./figure_times.js";
import { FigureCard } from "./figures.js";
import { frontTable } from "./front_table.js";
import { isOutage } from "./problems.js";
import { redraw } from "./screen.js";
import { errorNote } from "./widgets.js";

/** @typedef {import("./api.js").StudyView} StudyView */
/** @typedef {import("./api.js").Figure} Figure */
/** @typedef {{name: string, title: string, is_main: boolean}} Kind */

const MORE = "more";
const prefixFor = (/** @type {string} */ name) => `figure.${name}.`;

/**
 * Return the figures of a study: functions that draw them, load them, and follow an address.
 *
 * @param {string} key
 * @param {URLSearchParams} query What is chosen at first.
 * @param {(numbers: number[], isAdded: boolean) => void} onSelect Called with trials that are
 *   selected in a figure.
 */
export function studyFigures(key, query, onSelect) {
  /** @type {Map<string, Figure>} */
  const figures = new Map();
  /** The version of the study and the choices that a figure shows.
   * @type {Map<string, string>} */
  const loaded = new Map();
  /** @type {Map<string, unknown>} */
  const problems = new Map();
  /** @type {StudyView | null} */
  let study = null;
  let settings = query;
  const front = frontTable(key, choose);

  const isOpen = () => settings.get(MORE) === "1";

  /** @param {string} name */
  function chosenFor(name) {
    const prefix = prefixFor(name);
    const own = [...settings].filter(([setting]) => setting.startsWith(prefix));
    return Object.fromEntries(own.map(([setting, value]) => [setting.slice(prefix.length), value]));
  }

  /** @param {string} name */
  async function loadFigure(name) {
    const chosen = chosenFor(name);
    const wanted = JSON.stringify([study?.version, chosen]);
    if (loaded.get(name) === wanted) return;
    loaded.set(name, wanted);
    try {
      const figure = showLocalTimes(await fetchFigure(key, name, chosen));
      if (loaded.get(name) !== wanted) return; // something else was chosen meanwhile
      figures.set(name, figure);
      problems.delete(name);
    } catch (problem) {
      if (loaded.get(name) === wanted) loaded.delete(name);
      if (isOutage(problem)) throw problem;
      problems.set(name, problem);
    }
    redraw();
  }

  /** @param {StudyView} latest */
  async function load(latest) {
    study = latest;
    for (const { name, is_main } of latest.figures) {
      if (is_main || isOpen()) await loadFigure(name);
      if (name === "front") await front.load(latest.version);
    }
  }

  /** @param {Record<string, string>} changes */
  function change(changes) {
    const changed = new URLSearchParams(settings);
    for (const [name, value] of Object.entries(changes)) {
      if (value) changed.set(name, value);
      else changed.delete(name);
    }
    settings = changed;
    writeFigureSettings(settings);
    if (study) load(study).catch(() => {}); // the next update says what is wrong
    redraw();
  }

  /**
   * @param {string} figure
   * @param {Record<string, string>} values
   */
  function choose(figure, values) {
    const entries = Object.entries(values);
    change(Object.fromEntries(entries.map(([name, value]) => [prefixFor(figure) + name, value])));
  }

  /**
   * @param {Kind} kind
   * @param {ReadonlySet<number>} selected
   */
  function drawCard({ name, title }, selected) {
    const figure = figures.get(name);
    const choices = figureChoices(title, figure?.choices ?? [], (choice, value) =>
      choose(name, { [choice]: value }),
    );
    const problem = problems.get(name);
    const tools = problem ? [errorNote(problem), resetButton(name)] : choices;
    return [
      el(FigureCard, { key: name, name, title, figure, tools, selected, onSelect }),
      name === "front" ? front.draw(chosenFor(name)) : null,
    ];
  }

  /** @param {string} name */
  function resetButton(name) {
    const chosen = Object.keys(chosenFor(name));
    const reset = () => choose(name, Object.fromEntries(chosen.map((choice) => [choice, ""])));
    return chosen.length
      ? el("button", { type: "button", key: "reset", onClick: reset }, "Show the default")
      : null;
  }

  /**
   * @param {StudyView} shown
   * @param {ReadonlySet<number>} selected Trials that are highlighted.
   */
  function draw({ figures: kinds }, selected) {
    const more = kinds.filter((kind) => !kind.is_main);
    /** @param {Kind[]} of */
    const cards = (of) =>
      el(
        "div",
        { class: "figures" },
        of.map((kind) => drawCard(kind, selected)),
      );
    const onToggle = (/** @type {{currentTarget: HTMLDetailsElement}} */ { currentTarget }) => {
      if (currentTarget.open !== isOpen()) change({ [MORE]: currentTarget.open ? "1" : "" });
    };
    return el(
      "div",
      { key: "figures" },
      cards(kinds.filter((kind) => kind.is_main)),
      more.length
        ? el(
            "details",
            { class: "more", open: isOpen(), onToggle },
            el("summary", {}, `More figures (${more.length})`),
            isOpen() ? cards(more) : null,
          )
        : null,
    );
  }

  /** @param {URLSearchParams} address */
  function follow(address) {
    settings = address;
    if (study) load(study).catch(() => {}); // the next update says what is wrong
    redraw();
  }

  return { draw, load, follow };
}
