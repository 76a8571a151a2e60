// The entry point: shows the page that the fragment of the address names, and switches the theme.
//
//   #/                   the list of studies
//   #/study/KEY          one study
//   #/compare/KEY,KEY    studies compared

import { showComparison } from "./compare_page.js";
import { byId, main } from "./dom.js";
import { forgetFigures, redrawFigures } from "./figures.js";
import { showStudies } from "./studies_page.js";
import { showStudy } from "./study_page.js";
import { errorNote } from "./widgets.js";

/** Stops the updates of the page that is shown. */
let leavePage = () => {};

async function showPage() {
  leavePage();
  leavePage = () => {};
  forgetFigures();
  const [, page = "", argument = ""] = location.hash.split("/");
  markCurrentPage(page === "compare" ? "compare" : "studies");
  try {
    if (page === "study") leavePage = showStudy(argument);
    else if (page === "compare") await showComparison(argument.split(",").filter(Boolean));
    else leavePage = showStudies();
  } catch (error) {
    main.replaceChildren(errorNote(error));
  }
  main.focus({ preventScroll: true });
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
  redrawFigures();
}

function toggleTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  setTheme(next);
}

const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
setTheme(localStorage.getItem("theme") || preferred);
byId("theme").addEventListener("click", toggleTheme);
addEventListener("hashchange", showPage);
showPage();
