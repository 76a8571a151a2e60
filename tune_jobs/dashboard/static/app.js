// The page: asks the server for plain data and shows it. Every text that comes from a study is put
// into the document as text, never as markup.

const POLL = 2000;
const main = document.getElementById("main");
const fresh = document.getElementById("fresh");
let leave = () => {};

// -- small pieces -------------------------------------------------------------------------------

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined).map((c) => c.nodeType ? c : String(c)));
  return node;
}

const digits = (value, n = 5) =>
  value === null || value === undefined ? "–" : Number(Number(value).toPrecision(n)).toString();

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.round(seconds);
  if (s < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

const hours = (value) => span(value * 3600);

async function get(path) {
  const answer = await fetch(path);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error || answer.statusText);
  return content;
}

function problem(error) {
  return el("p", { class: "note error", role: "alert" }, `This did not work: ${error.message}`);
}

function state(name) {
  return el("span", { class: `state ${name}` }, name.toLowerCase());
}

function stateBar(counts) {
  const total = Object.values(counts).reduce((a, b) => a + b, 0);
  const text = Object.entries(counts).filter(([, n]) => n).map(([s, n]) => `${n} ${s.toLowerCase()}`).join(", ");
  const bar = el("div", { class: "bar", role: "img", "aria-label": text || "no trials yet", title: text });
  for (const [name, count] of Object.entries(counts)) {
    if (count) {
      const part = el("span", { class: name });
      part.style.width = `${(100 * count) / total}%`;
      bar.append(part);
    }
  }
  return bar;
}

function tile(label, value, small) {
  return el("div", { class: "tile" }, el("dt", {}, label), el("dd", {}, value, small ? el("small", {}, small) : null));
}

// -- figures ------------------------------------------------------------------------------------

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function themed(layout) {
  const axis = { gridcolor: color("--grid"), zerolinecolor: color("--grid"), linecolor: color("--line") };
  const made = {
    ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("--ink"), family: "system-ui, sans-serif", size: 12 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: color("--soft"), activecolor: color("--accent") },
  };
  for (const name of Object.keys(made)) {
    if (/^[xy]axis/.test(name)) made[name] = { ...axis, ...made[name] };
  }
  return made;
}

const drawn = new Map();

function draw(node, figure) {
  drawn.set(node, figure);
  const config = { displaylogo: false, responsive: true, displayModeBar: "hover" };
  return window.Plotly.react(node, figure.data, themed(figure.layout), config);
}

function figureCard(name, title) {
  const wide = ["timeline", "parallel", "slice", "together"].includes(name);
  const node = el("div", { class: "figure", role: "figure", "aria-label": title, id: `figure-${name}` });
  const card = el("section", { class: wide ? "card wide" : "card" }, el("h2", {}, title), node);
  return { card, node };
}

function redraw() {
  for (const [node, figure] of drawn) if (node.isConnected) draw(node, figure); else drawn.delete(node);
}

// -- all studies --------------------------------------------------------------------------------

async function studiesPage() {
  document.title = "Studies · tune_jobs";
  const body = el("tbody");
  const columns = ["Study", "Trials", "", "Best", "Run time", "Live", "Rate", "Tuned by"];
  const find = el("input", { type: "search", id: "find", placeholder: "name", oninput: () => show() });
  const heading = el("tr", {}, ...columns.map((c) => el("th", { scope: "col" }, c || el("span", {}, "States"))));
  main.replaceChildren(
    el("h1", {}, "Studies"),
    el("div", { class: "tools" }, el("label", { for: "find" }, "Find"), find),
    el("div", { class: "card scroll" }, el("table", {}, el("caption", {}, "All studies of these storages; choose one to see its job runs."), el("thead", {}, heading), body)),
  );
  let studies = [];
  const show = () => {
    const wanted = find.value.toLowerCase();
    const rows = studies.filter((s) => s.name.toLowerCase().includes(wanted)).map((s) => {
      const total = Object.values(s.counts).reduce((a, b) => a + b, 0);
      return el("tr", {},
        el("td", { class: "text" }, el("a", { href: `#/study/${s.key}` }, s.name || "(no name)"), el("div", { class: "sub" }, s.storage)),
        el("td", { class: "number" }, total), el("td", {}, stateBar(s.counts)),
        el("td", { class: "number" }, digits(s.best)), el("td", { class: "number" }, hours(s.run_hours)),
        el("td", { class: "number" }, s.live), el("td", { class: "number" }, s.rate ? `${digits(s.rate, 3)} /h` : "–"),
        el("td", {}, s.owner || "nobody"));
    });
    if (!rows.length) rows.push(el("tr", {}, el("td", { colspan: columns.length }, studies.length ? "No study has such a name." : "There is no study here yet.")));
    body.replaceChildren(...rows);
  };
  return every(async () => {
    const answer = await get("/api/studies");
    const text = JSON.stringify(answer.studies);
    if (text !== studies.text) {
      studies = answer.studies;
      studies.text = text;
      show();
    }
  });
}

// -- one study ----------------------------------------------------------------------------------

async function studyPage(key) {
  const head = el("div"), figures = el("div", { class: "figures" });
  const table = trialsTable(key), bar = controls(key);
  main.replaceChildren(head, bar.node, figures, table.card);
  const cards = new Map();
  let version = null, control = false;
  return every(async () => {
    const study = await get(`/api/studies/${key}`);
    document.title = `${study.name} · tune_jobs`;
    control = study.control;
    bar.node.hidden = !control;
    bar.enable(Boolean(study.owner));
    if (study.version === version && !study.owner) return;
    head.replaceChildren(...studyHead(key, study));
    if (study.version === version) return;
    version = study.version;
    for (const { name, title } of study.figures) {
      if (!cards.has(name)) {
        cards.set(name, figureCard(name, title));
        figures.append(cards.get(name).card);
      }
    }
    await table.load(control && study.owner);
    for (const { name } of study.figures) {
      draw(cards.get(name).node, await get(`/api/studies/${key}/figures/${name}`));
    }
  });
}

function studyHead(key, study) {
  const told = study.counts.COMPLETE + study.counts.PRUNED + study.counts.FAIL;
  const best = study.best;
  const params = best ? Object.entries(best.params).map(([k, v]) => `${k}=${v}`).join(", ") : "";
  const tiles = el("dl", { class: "tiles" },
    tile("Trials", study.n_trials ? `${told} of ${study.n_trials}` : told, `${study.counts.RUNNING} running, ${study.counts.PRUNED} pruned, ${study.counts.FAIL} failed`),
    tile(`Best ${study.metrics.join(", ")}`, best ? digits(best.value, 6) : "–", best ? `trial ${best.trial}: ${params}` : study.directions.join(", ")),
    tile("Run time", hours(study.run_hours), study.money ? `cost ${digits(study.money)}` : null),
    tile("Slots", study.slots || "–", study.slots ? `${Math.round(100 * study.utilisation)} % running, ${Math.round(100 * study.provisioning)} % provisioning` : null),
    tile("Left", study.eta === null ? "–" : `about ${span(study.eta)}`, study.owner ? `tuned by ${study.owner}` : "nobody tunes it"),
  );
  const parts = [el("h1", {}, study.name), el("p", { class: "sub" }, `${study.storage} · `, el("a", { href: `#/compare/${key}` }, "compare"))];
  parts.push(el("div", { class: "card" }, stateBar(study.counts)), tiles);
  for (const run of study.runs) {
    parts.push(el("p", { class: "note" }, `${run.name}: trial ${run.trial}, `, state(run.state), ` ${span(run.seconds)} `, logButton(key, run.name)));
  }
  return parts;
}

function controls(key) {
  const said = el("span", { role: "status" });
  const ask = (content, label) => el("button", {
    type: "button",
    onclick: async () => {
      try {
        said.textContent = `${label}: asked for`;
        await command(key, content);
        said.textContent = `${label}: done`;
      } catch (error) { said.textContent = `${label}: ${error.message}`; }
    },
  }, label);
  const buttons = [
    ask({ command: "pause" }, "Pause"), ask({ command: "resume" }, "Resume"),
    ask({ command: "stop" }, "Stop, let runs finish"), ask({ command: "stop", runs: "cancel" }, "Stop now"),
  ];
  return {
    node: el("div", { class: "tools", hidden: true }, ...buttons, said),
    enable: (on) => { for (const button of buttons) button.disabled = !on; },
  };
}

async function command(key, content) {
  const answer = await fetch(`/api/studies/${key}/control`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
  });
  const asked = await answer.json();
  if (!answer.ok) throw new Error(asked.error);
  for (let tries = 0; tries < 60; tries += 1) {
    if ((await get(`/api/studies/${key}/control/${asked.asked}`)).done) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error("asked for, but not done yet");
}

// -- the table of trials ------------------------------------------------------------------------

function trialsTable(key) {
  const asked = { offset: 0, sort: "number", order: "desc", state: "", text: "" };
  const head = el("thead"), body = el("tbody"), place = el("span", { role: "status" });
  let canCancel = false;
  const reload = () => load(canCancel).catch((error) => body.replaceChildren(el("tr", {}, el("td", {}, problem(error)))));
  const states = el("select", { id: "state", onchange: (e) => { asked.state = e.target.value; asked.offset = 0; reload(); } },
    ...["", "COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"].map((s) => el("option", { value: s }, s ? s.toLowerCase() : "all")));
  const text = el("input", { type: "search", id: "text", placeholder: "parameter or cause", oninput: (e) => { asked.text = e.target.value; asked.offset = 0; reload(); } });
  const back = el("button", { type: "button", onclick: () => { asked.offset -= 50; reload(); } }, "Newer");
  const on = el("button", { type: "button", onclick: () => { asked.offset += 50; reload(); } }, "Older");
  const card = el("section", { class: "card" }, el("h2", {}, "Trials"),
    el("div", { class: "tools" }, el("label", { for: "state" }, "State"), states, el("label", { for: "text" }, "Find"), text, back, on, place),
    el("div", { class: "scroll" }, el("table", { id: "trials" }, el("caption", {}, "Trials with their last job run; a heading sorts."), head, body)));

  function heading(label, sort, cls) {
    if (!sort) return el("th", { scope: "col", class: cls }, label);
    const current = asked.sort === sort;
    const order = current ? (asked.order === "desc" ? "descending" : "ascending") : null;
    return el("th", { scope: "col", class: cls, "aria-sort": order }, el("button", {
      type: "button",
      onclick: () => {
        asked.order = current && asked.order === "desc" ? "asc" : "desc";
        asked.sort = sort;
        asked.offset = 0;
        reload();
      },
    }, label, current ? (asked.order === "desc" ? " ▼" : " ▲") : ""));
  }

  async function load(cancellable) {
    canCancel = cancellable;
    const page = await get(`/api/studies/${key}/trials?${new URLSearchParams(asked)}`);
    head.replaceChildren(el("tr", {},
      heading("Trial", "number", "number"), heading("State", "state"), heading("Value", "value", "number"), heading("Latest", null, "number"),
      heading("Run"), heading("Took", "seconds", "number"), heading("Cost", "money", "number"),
      ...page.params.map((p) => heading(p, `param:${p}`)), heading("Why", null, "text"), heading("Log")));
    body.replaceChildren(...page.rows.map((row) => trialRow(key, row, canCancel)));
    if (!page.rows.length) body.replaceChildren(el("tr", {}, el("td", { colspan: 9 + page.params.length }, "No trials.")));
    back.disabled = page.offset === 0;
    on.disabled = page.offset + page.page >= page.total;
    place.textContent = page.total ? `${page.offset + 1} to ${Math.min(page.offset + page.page, page.total)} of ${page.total}` : "";
  }
  return { card, load };
}

function trialRow(key, row, canCancel) {
  const run = el("td", {});
  if (row.run) {
    run.append(state(row.run_state), row.attempt > 1 ? ` attempt ${row.attempt}` : "");
    if (row.goes_on_from !== null) run.append(` after ${row.goes_on_from}`);
    if (row.console) run.append(" ", el("a", { href: row.console, target: "_blank", rel: "noopener noreferrer" }, "console"));
  }
  const actions = el("td", {}, row.run ? logButton(key, row.run) : null);
  if (canCancel && row.state === "RUNNING") {
    actions.append(" ", el("button", {
      type: "button", class: "plain", "aria-label": `Cancel trial ${row.number}`,
      onclick: async (e) => {
        e.target.disabled = true;
        try { await command(key, { command: "cancel", trial: row.number }); } catch (error) { e.target.textContent = error.message; }
      },
    }, "cancel"));
  }
  return el("tr", {},
    el("td", { class: "number" }, row.number), el("td", {}, state(row.state)),
    el("td", { class: "number" }, row.values.map((v) => digits(v, 6)).join(", ") || "–"),
    el("td", { class: "number" }, row.latest === null ? "–" : `${digits(row.latest)} @ ${row.step}`),
    run, el("td", { class: "number" }, span(row.seconds)), el("td", { class: "number" }, digits(row.money, 3)),
    ...row.params.map((p) => el("td", {}, p === null ? "–" : typeof p === "number" ? digits(p) : String(p))),
    el("td", { class: "text" }, row.cause), actions);
}

// -- the log of a run ---------------------------------------------------------------------------

function logButton(key, run) {
  return el("button", { type: "button", class: "plain", "aria-label": `Log of ${run}`, onclick: () => openLog(key, run) }, "log");
}

const dialog = document.getElementById("log");

function openLog(key, run) {
  const text = document.getElementById("log-text");
  document.getElementById("log-title").textContent = run;
  text.textContent = "…";
  dialog.showModal();
  let timer = null;
  const load = async () => {
    try {
      const answer = await get(`/api/studies/${key}/runs/${encodeURIComponent(run)}/log`);
      if (answer.log !== text.textContent) {
        text.textContent = answer.log || "(it has printed nothing yet)";
        text.scrollTop = text.scrollHeight;
      }
    } catch (error) { text.textContent = error.message; }
    if (dialog.open && document.getElementById("log-follow").checked) timer = setTimeout(load, POLL);
  };
  dialog.onclose = () => clearTimeout(timer);
  document.getElementById("log-follow").onchange = load;
  load();
}

document.getElementById("log-close").addEventListener("click", () => dialog.close());

// -- comparison ---------------------------------------------------------------------------------

async function comparePage(keys) {
  document.title = "Compare · tune_jobs";
  const chosen = new Set(keys.filter(Boolean));
  const list = el("div", { class: "tools" }), result = el("div");
  main.replaceChildren(el("h1", {}, "Compare studies"), el("p", { class: "sub" }, "Choose two or more studies with one objective and the same direction."),
    el("section", { class: "card" }, el("h2", {}, "Studies"), list), result);
  const show = async () => {
    if (!chosen.size) { result.replaceChildren(); return; }
    try { result.replaceChildren(...comparison(await get(`/api/compare?${new URLSearchParams([...chosen].map((k) => ["study", k]))}`))); }
    catch (error) { result.replaceChildren(problem(error)); return; }
    for (const node of result.querySelectorAll(".figure")) await draw(node, node.figure);
  };
  const { studies } = await get("/api/studies");
  list.replaceChildren(...studies.map((s) => el("label", {}, el("input", {
    type: "checkbox", value: s.key, checked: chosen.has(s.key),
    onchange: (e) => { if (e.target.checked) chosen.add(s.key); else chosen.delete(s.key); show(); },
  }), s.name || "(no name)")));
  await show();
  return () => {};
}

function comparison(answer) {
  const table = el("table", {}, el("caption", {}, "The best trial of each study, and where the winners differ."),
    el("thead", {}, el("tr", {}, ...["Study", "Trial", "Value", "Trials", "Run time", "Took", "Cost", ...answer.differing].map((c) => el("th", { scope: "col" }, c)))),
    el("tbody", {}, ...answer.winners.map((w) => el("tr", {},
      el("td", { class: "text" }, w.study), el("td", { class: "number" }, w.trial), el("td", { class: "number" }, digits(w.value, 6)),
      el("td", { class: "number" }, w.trials), el("td", { class: "number" }, hours(w.run_hours)), el("td", { class: "number" }, hours(w.hours)),
      el("td", { class: "number" }, w.money ? digits(w.money, 3) : "–"), ...w.params.map((p) => el("td", {}, p))))));
  const figures = el("div", { class: "figures" });
  for (const { name, title, figure } of answer.figures) {
    const { card, node } = figureCard(name, title);
    node.figure = figure;
    figures.append(card);
  }
  return [el("p", { class: "note", id: "statement" }, answer.statement),
    ...answer.warnings.map((w) => el("p", { class: "note warning" }, w)),
    el("section", { class: "card scroll" }, el("h2", {}, "Winners"), table), figures];
}

// -- going from page to page --------------------------------------------------------------------

function every(work) {
  let stopped = false, timer = null;
  const turn = async () => {
    try {
      if (!document.hidden) {
        await work();
        fresh.textContent = `up to date at ${new Date().toLocaleTimeString()}`;
      }
    } catch (error) { fresh.textContent = `not up to date: ${error.message}`; }
    if (!stopped) timer = setTimeout(turn, POLL);
  };
  turn();
  return () => { stopped = true; clearTimeout(timer); };
}

async function go() {
  leave();
  leave = () => {};
  drawn.clear();
  const [, page = "", ...rest] = location.hash.split("/");
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.dataset.page === (page === "compare" ? "compare" : "studies");
    if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  try {
    if (page === "study") leave = await studyPage(rest[0]);
    else if (page === "compare") leave = await comparePage((rest[0] || "").split(","));
    else leave = await studiesPage();
  } catch (error) { main.replaceChildren(problem(error)); }
  main.focus({ preventScroll: true });
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  redraw();
}

const preferred = matchMedia("(prefers-color-scheme: dark)");
theme(localStorage.getItem("theme") || (preferred.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  theme(next);
});
addEventListener("hashchange", go);
if (window.Plotly) go(); else document.querySelector("script[defer]").addEventListener("load", go);
