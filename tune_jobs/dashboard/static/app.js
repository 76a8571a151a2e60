// The entry point: shows the page that the address names, and switches the theme.

import { readAddress } from "./address.js";
import { openComparison } from "./compare_page.js";
import { openTrialComparison } from "./compare_trials_page.js";
import { byId, main } from "./dom.js";
import { openEnqueue } from "./enqueue_page.js";
import { redrawFigures } from "./figures.js";
import { showScreen } from "./screen.js";
import { openStudies } from "./studies_page.js";
import { openStudy } from "./study_page.js";
import { openTraining } from "./training_page.js";
import { openTrial } from "./trial_page.js";

/**
 * @typedef {object} Page
 * @property {() => import("./dom.js").Child} draw Returns its elements, from its state.
 * @property {() => void} close Ends its updates.
 * @property {(query: URLSearchParams) => void} [follow] Shows what another address of it says.
 */

/** @type {Page | null} */
let current = null;
let currentPath = "";

function showPage() {
  const { path, query } = readAddress();
  if (current?.follow && path === currentPath) {
    current.follow(query);
    return;
  }
  current?.close();
  currentPath = path;
  current = openPage(path, query);
  showScreen(current.draw);
  main.focus({ preventScroll: true });
}

/**
 * @param {string} path
 * @param {URLSearchParams} query
 * @returns {Page}
 */
function openPage(path, query) {
  const [, page, argument = "", kind = "", id = ""] = path.split("/");
  markCurrentPage(page.startsWith("compare") ? "compare" : "studies");
  if (page === "study" && kind === "enqueue") return openEnqueue(argument, query);
  if (page === "study" && kind === "train") return openTraining(argument, id);
  if (page === "study" && id && (kind === "trial" || kind === "run")) {
    return openTrial(argument, kind, decodeURIComponent(id), query);
  }
  if (page === "study") return openStudy(argument, query);
  if (page === "compare") return openComparison();
  if (page === "compare-trials") return openTrialComparison();
  return openStudies(query);
}

/** @param {string} page */
function markCurrentPage(page) {
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.getAttribute("data-page") === page;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** @param {string} name "light" or "dark" */
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  /** @type {HTMLLinkElement} */ (byId("dark")).media = name === "dark" ? "all" : "not all";
  redrawFigures();
}

function toggleTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  setTheme(next);
}

/**
 * Draw the figures in the colors and in the width of paper, or of the screen again.
 *
 * @param {boolean} isPaper
 */
function drawForPaper(isPaper) {
  document.documentElement.classList.toggle("printing", isPaper);
  setTheme(isPaper ? "light" : chosenTheme());
}

function chosenTheme() {
  const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  return localStorage.getItem("theme") || preferred;
}

setTheme(chosenTheme());
byId("theme").addEventListener("click", toggleTheme);
addEventListener("beforeprint", () => drawForPaper(true));
addEventListener("afterprint", () => drawForPaper(false));
addEventListener("hashchange", showPage);
showPage();
