"""Studies and progress as HTML without scripts: what a saved notebook shows anywhere.

Everything of a study is escaped. Sites such as GitHub strip styles and SVG: tables remain.
"""

from __future__ import annotations

import html
import time

from tune_jobs.core.formatting import html_table
from tune_jobs.core.snapshot import Snapshot
from tune_jobs.notebook.state import CURVE_HEIGHT, CURVE_WIDTH, LiveRun, StudyState

_MUTED = "color:var(--jp-ui-font-color2,#666)"
_LEFT = "text-align:left;vertical-align:top"


def draw_state(state: StudyState, opened: tuple[str, ...] = ("runs",), classes: str = "") -> str:
    """Return a study's state as HTML.

    Args:
        state: The state.
        opened: Which of ``runs`` and ``failures`` are open.
        classes: CSS classes of the element.
    """
    best = [("best", state.best), *((f"best {name}", value) for name, value in state.params)]
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.at))
    parts = [
        f"<div><b>{_escape(state.name)}</b> {_bar(state.done, state.total)} "
        f"{_escape(state.progress)} <span style='{_MUTED}'>{_escape(state.status)}</span></div>",
        *(f"<div>⚠ {_escape(problem)}</div>" for problem in state.problems),
        html_table([*best, *state.facts]),
        _draw_runs(state, "runs" in opened),
        _draw_failures(state, "failures" in opened),
        f"<div style='{_MUTED}'>{_escape(state.advice)} · as of {at}</div>",
    ]
    return f"<div class='{html.escape(classes)}'>{''.join(parts)}</div>"


def draw_progress(now: Snapshot, note: str = "") -> str:
    """Return the progress of a call in a line of HTML."""
    facts = [
        f"{now.live} running" if now.live else "",
        f"{now.failed} failed" if now.failed else "",
    ]
    rows = dict(now.counts())
    facts += [f"cost {rows['cost']}"] if "cost" in rows else []
    facts += [f"{rows['left']} left"] if now.eta else []
    best = rows.get(f"best {now.metric}", "")
    shown = [rows["trials"], best and f"best {now.metric} {best}", *facts, note]
    text = " · ".join(_escape(part) for part in shown if part)
    return f"<div><b>{_escape(now.study)}</b> {_bar(now.done, now.n_trials)} {text}</div>"


def _bar(done: int, total: int | None) -> str:
    if not total:
        return ""
    share = min(100, round(100 * done / total))
    return f"<progress max='100' value='{share}' style='vertical-align:middle'>{share}%</progress>"


def _draw_runs(state: StudyState, is_open: bool) -> str:
    if not state.runs:
        return ""
    rows = "".join(
        f"<tr><td style='{_LEFT}'>{_escape(run.trial)}</td><td>{_draw_curve(run)}</td>"
        f"<td style='{_LEFT}'>{_escape(run.state)}</td></tr>"
        for run in state.runs
    )
    return _details(f"live runs ({state.n_live})", f"<table>{rows}</table>", is_open)


def _draw_curve(run: LiveRun) -> str:
    if not run.curve:
        return ""
    return (
        f"<svg width='{CURVE_WIDTH}' height='{CURVE_HEIGHT}' role='img' "
        f"viewBox='0 0 {CURVE_WIDTH} {CURVE_HEIGHT}'><polyline points='{_escape(run.curve)}' "
        "fill='none' stroke='#2563eb' stroke-width='1.5'/></svg>"
    )


def _draw_failures(state: StudyState, is_open: bool) -> str:
    if not state.failures:
        return ""
    return _details(f"failed trials ({state.n_failed})", html_table(state.failures), is_open)


def _details(summary: str, content: str, is_open: bool) -> str:
    shown = " open" if is_open else ""
    return f"<details{shown}><summary>{_escape(summary)}</summary>{content}</details>"


def _escape(text: str) -> str:
    return html.escape(text)
