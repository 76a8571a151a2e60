"""The widget of the live view, which `anywidget` draws with the module in ``static/``."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tune_jobs.notebook.state import StudyState

_STATIC = Path(__file__).parent / "static"


def can_make_widgets() -> bool:
    """Return whether ``anywidget`` is installed."""
    return find_spec("anywidget") is not None


def make_widget(host: str, state: StudyState) -> Any:
    """Return a widget that puts its view in place of the HTML of a class.

    Its traits are what `split_state` returns. A click on a button arrives as a message, such as
    ``{"command": "stop", "runs": "finish"}``, ``{"command": "hello"}`` when there is a view.

    Args:
        host: The end of the CSS class: of ``tune-jobs-HOST``.
        state: What it shows first.
    """
    return _widget_class()(host=host, **split_state(state))


@cache
def _widget_class() -> Any:
    anywidget: Any = import_module("anywidget")
    traitlets: Any = import_module("traitlets")
    names = ("head", "best", "facts", "runs", "failures")
    traits = {name: traitlets.Any({}).tag(sync=True) for name in names}
    return type(
        "StudyWidget",
        (anywidget.AnyWidget,),
        {
            "__module__": __name__,
            "_esm": (_STATIC / "live.js").read_text(encoding="utf-8"),
            "_css": (_STATIC / "live.css").read_text(encoding="utf-8"),
            "host": traitlets.Unicode().tag(sync=True),
            "opened": traitlets.List(traitlets.Unicode(), ["runs"]).tag(sync=True),
            **traits,
        },
    )


def split_state(state: StudyState, notice: str = "") -> dict[str, Any]:
    """Return a state as the traits of the widget, of which only those are sent that changed.

    Args:
        state: The state.
        notice: The answer to the last button.
    """
    return {
        "head": {
            "name": state.name,
            "status": state.status,
            "progress": state.progress,
            "done": state.done,
            "total": state.total,
            "tuned": state.is_tuned,
            "paused": state.is_paused,
            "advice": state.advice,
            "problems": list(state.problems),
            "notice": notice,
        },
        "best": [["best", state.best], *([f"best {name}", v] for name, v in state.params)],
        "facts": [list(fact) for fact in state.facts],
        "runs": {"shown": [vars(run) for run in state.runs], "total": state.n_live},
        "failures": {"shown": [list(each) for each in state.failures], "total": state.n_failed},
    }
