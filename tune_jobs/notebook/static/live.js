// @ts-check
// The live view of a study in a notebook. The kernel displays the study as HTML; where the front
// end has widgets, this module puts a live view with buttons in place of that HTML. So a saved
// notebook shows the HTML wherever no kernel answers. All text is set as text, never as HTML.

/**
 * @typedef {{name: string, trial: string, state: string, curve: string}} Run
 * @typedef {{name: string, status: string, progress: string, done: number, total: number | null,
 *   tuned: boolean, paused: boolean, advice: string, problems: string[], notice: string}} Head
 * @typedef {{
 *   get(name: string): any, set(name: string, value: unknown): void, save_changes(): void,
 *   send(content: object): void, on(event: string, listener: () => void): void,
 *   off(event: string, listener: () => void): void}} Model
 */

const SVG = "http://www.w3.org/2000/svg";
const UNANSWERED_MS = 3000;

/**
 * Create an element with text or children.
 * @param {string} tag
 * @param {string} className
 * @param {...(string | Element)} children
 * @returns {HTMLElement}
 */
function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/**
 * Set the text of an element, unless it has it: an untouched node keeps a selection in it.
 * @param {Element} node
 * @param {string} text
 */
function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/**
 * Show pairs in a list of definitions; nodes of unchanged pairs stay.
 * @param {Element} list
 * @param {[string, string][]} pairs
 */
function showPairs(list, pairs) {
  while (list.children.length > 2 * pairs.length) {
    list.lastElementChild?.remove();
  }
  pairs.forEach(([label, value], i) => {
    if (list.children.length <= 2 * i) {
      list.append(element("dt", ""), element("dd", ""));
    }
    setText(list.children[2 * i], label);
    setText(list.children[2 * i + 1], value);
  });
}

/**
 * Build a panel that opens and closes; which ones are open is kept by the kernel.
 * @param {Model} model
 * @param {string} name
 */
function buildPanel(model, name) {
  const summary = element("summary", "");
  const content = element("div", `tj-${name}`);
  const panel = /** @type {HTMLDetailsElement} */ (element("details", "", summary, content));
  panel.open = model.get("opened").includes(name);
  panel.addEventListener("toggle", () => {
    /** @type {string[]} */
    const others = model.get("opened").filter((/** @type {string} */ each) => each !== name);
    if (panel.open !== model.get("opened").includes(name)) {
      model.set("opened", panel.open ? [...others, name] : others);
      model.save_changes();
    }
  });
  return { panel, summary, content };
}

/**
 * Show the live runs; the row of a run that is still live stays.
 * @param {Element} content
 * @param {Run[]} runs
 */
function showRuns(content, runs) {
  const names = new Set(runs.map((run) => run.name));
  for (const row of [...content.children]) {
    if (!names.has(row.getAttribute("data-run") ?? "")) {
      row.remove();
    }
  }
  for (const run of runs) {
    let row = [...content.children].find((each) => each.getAttribute("data-run") === run.name);
    if (!row) {
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("viewBox", "0 0 120 24");
      svg.setAttribute("width", "120");
      svg.setAttribute("height", "24");
      svg.setAttribute("aria-hidden", "true");
      svg.append(document.createElementNS(SVG, "polyline"));
      row = element("div", "tj-run", element("span", ""), svg, element("span", ""));
      row.setAttribute("data-run", run.name);
      content.append(row);
    }
    setText(row.children[0], run.trial);
    row.querySelector("polyline")?.setAttribute("points", run.curve);
    setText(row.children[2], run.state);
  }
}

/**
 * Build the buttons; what they do is said by the kernel.
 * @param {Model} model
 */
function buildTools(model) {
  const pause = /** @type {HTMLButtonElement} */ (element("button", "", "Pause"));
  const stop = /** @type {HTMLButtonElement} */ (element("button", "tj-danger", "Stop…"));
  const finish = element("button", "tj-danger", "Let live runs finish");
  const cancel = element("button", "tj-danger", "Cancel live runs");
  const keep = element("button", "", "Keep tuning");
  const question = element("span", "tj-tools", "Stop tuning?", finish, cancel, keep);
  const answer = element("span", "tj-muted");
  answer.setAttribute("role", "status");
  const tools = element("div", "tj-tools", pause, stop, question, answer);
  question.hidden = true;
  let unanswered = 0;

  /** @param {object} content */
  function send(content) {
    model.send(content);
    setText(answer, "sent");
    unanswered = window.setTimeout(() => {
      setText(answer, "sent; the kernel answers when it is idle");
    }, UNANSWERED_MS);
  }
  pause.addEventListener("click", () =>
    send({ command: model.get("head").paused ? "resume" : "pause" }),
  );
  stop.addEventListener("click", () => {
    question.hidden = false;
    keep.focus();
  });
  keep.addEventListener("click", () => {
    question.hidden = true;
    stop.focus();
  });
  for (const [button, runs] of /** @type {[HTMLElement, string][]} */ ([
    [finish, "finish"],
    [cancel, "cancel"],
  ])) {
    button.addEventListener("click", () => {
      question.hidden = true;
      stop.focus();
      send({ command: "stop", runs });
    });
  }

  /** @param {Head} head */
  function update(head) {
    tools.hidden = !head.tuned && !head.notice;
    setText(pause, head.paused ? "Resume" : "Pause");
    pause.disabled = stop.disabled = !head.tuned;
    if (!head.tuned) {
      question.hidden = true;
    }
    if (head.notice) {
      window.clearTimeout(unanswered);
      setText(answer, head.notice);
    }
  }

  function disable() {
    for (const button of tools.querySelectorAll("button")) {
      button.disabled = true;
    }
  }
  return { tools, update, disable };
}

/**
 * Build a view of the model.
 * @param {Model} model
 * @returns {{node: HTMLElement, disconnect: () => void, remove: () => void}}
 */
function buildView(model) {
  const name = element("b", "");
  const bar = /** @type {HTMLProgressElement} */ (element("progress", ""));
  const progress = element("span", "");
  const status = element("span", "tj-muted");
  const problems = element("div", "");
  const best = element("dl", "");
  const facts = element("dl", "");
  const runs = buildPanel(model, "runs");
  const failures = buildPanel(model, "failures");
  const failed = element("dl", "");
  failures.content.append(failed);
  const { tools, update: updateTools, disable } = buildTools(model);
  const advice = element("div", "tj-muted");
  const head = element("div", "tj-head", name, bar, progress, status);
  const node = element("section", "tune-jobs-live", head, problems, tools);
  node.append(best, facts, runs.panel, failures.panel, advice);
  bar.max = 100;

  function showHead() {
    /** @type {Head} */
    const now = model.get("head");
    setText(name, now.name);
    setText(progress, now.progress);
    setText(status, now.status);
    setText(advice, now.advice);
    bar.hidden = !now.total;
    bar.value = now.total ? Math.min(100, (100 * now.done) / now.total) : 0;
    bar.setAttribute("aria-label", now.progress);
    node.setAttribute("aria-label", `Study ${now.name}`);
    if (problems.children.length !== now.problems.length) {
      problems.replaceChildren(...now.problems.map(() => element("div", "tj-problem")));
    }
    now.problems.forEach((problem, i) => {
      setText(problems.children[i], problem);
    });
    updateTools(now);
  }
  function showBest() {
    showPairs(best, model.get("best"));
  }
  function showFacts() {
    showPairs(facts, model.get("facts"));
  }
  function showLive() {
    const { shown, total } = model.get("runs");
    setText(runs.summary, `live runs (${total})`);
    runs.panel.hidden = !shown.length;
    showRuns(runs.content, shown);
  }
  function showFailures() {
    const { shown, total } = model.get("failures");
    setText(failures.summary, `failed trials (${total})`);
    failures.panel.hidden = !shown.length;
    showPairs(failed, shown);
  }
  function showOpened() {
    runs.panel.open = model.get("opened").includes("runs");
    failures.panel.open = model.get("opened").includes("failures");
  }
  /** @type {[string, () => void][]} */
  const listeners = [
    ["change:head", showHead],
    ["change:best", showBest],
    ["change:facts", showFacts],
    ["change:runs", showLive],
    ["change:failures", showFailures],
    ["change:opened", showOpened],
  ];
  for (const [event, listener] of listeners) {
    listener();
    model.on(event, listener);
  }
  function remove() {
    for (const [event, listener] of listeners) {
      model.off(event, listener);
    }
  }
  function disconnect() {
    disable();
    setText(status, "the kernel has ended: Tuner.attach(...) shows the study again");
  }
  return { node, disconnect, remove };
}

/**
 * Put live views in place of the HTML that the kernel displays, also of what it displays later.
 * @param {{model: Model}} context
 */
function initialize({ model }) {
  const host = `tune-jobs-${model.get("host")}`;
  /** @type {Map<Element, ReturnType<typeof buildView>>} */
  const views = new Map();
  let saysHello = true;

  function adopt() {
    for (const place of document.getElementsByClassName(host)) {
      const view = views.get(place);
      if (view?.node.parentElement === place) {
        continue;
      }
      // The kernel has displayed newer HTML: the view of a place that is gone moves there, with
      // what is open, selected and focused in it.
      const gone = [...views.keys()].find((each) => !each.isConnected);
      const moved = view ?? (gone && views.get(gone)) ?? buildView(model);
      if (gone) {
        views.delete(gone);
      }
      views.set(place, moved);
      const focused = moved.node.contains(document.activeElement) ? document.activeElement : null;
      place.replaceChildren(moved.node);
      if (focused instanceof HTMLElement) {
        focused.focus({ preventScroll: true });
      }
      if (saysHello) {
        saysHello = false;
        model.send({ command: "hello" });
      }
    }
  }
  function disconnect() {
    for (const view of views.values()) {
      view.disconnect();
    }
  }
  const observer = new MutationObserver(adopt);
  observer.observe(document.body, { childList: true, subtree: true });
  adopt();
  // The event of a restarted kernel; a model that is heard again updates its views.
  model.on("comm_live_update", disconnect);
  return () => {
    observer.disconnect();
    model.off("comm_live_update", disconnect);
    disconnect();
    for (const view of views.values()) {
      view.remove();
    }
  };
}

/**
 * Show the model where a front end asks for a view of it.
 * @param {{model: Model, el: HTMLElement}} context
 */
function render({ model, el }) {
  const view = buildView(model);
  el.append(view.node);
  return view.remove;
}

export default { initialize, render };
