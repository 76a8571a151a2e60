"""The live view, without a browser: what it displays, sends and saves."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.notebook.test_state import live_study
from tune_jobs.errors import StudyError
from tune_jobs.notebook import live
from tune_jobs.notebook.describing import describe_study
from tune_jobs.notebook.live import LiveView
from tune_jobs.notebook.state import StudyState


class Shown:
    """A study whose state the test decides, and what a view displays of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = describe_study(live_study(2), "monitor", now=1.0)
        self.failure: Exception | None = None
        self.sent: list[tuple[str, Mapping[str, str]]] = []
        self.displayed: list[dict[str, str]] = []
        self.updated = threading.Condition()
        display: Any = pytest.importorskip("IPython.display")
        monkeypatch.setattr(display, "display", self._display)
        monkeypatch.setattr(live, "SECONDS", 0.01)

    def _display(self, bundle: dict[str, str], **options: Any) -> Shown:
        assert options == {"raw": True, "display_id": True}
        self.update(bundle, raw=True)
        return self

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        with self.updated:
            self.displayed.append(bundle)
            self.updated.notify_all()

    def look(self) -> StudyState:
        if self.failure:
            raise self.failure
        return self.state

    def send(self, command: str, argument: Mapping[str, str]) -> None:
        if self.failure:
            raise self.failure
        self.sent.append((command, argument))

    def wait_for(self, text: str) -> str:
        """Return the last HTML once it has the text."""
        with self.updated:
            assert self.updated.wait_for(lambda: text in self.displayed[-1]["text/html"], 60)
            return self.displayed[-1]["text/html"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    return Shown(monkeypatch)


def end(shown: Shown) -> StudyState:
    return replace(shown.state, is_tuned=False, n_live=0, runs=(), status="no process is tuning it")


def test_the_html_follows_the_study_until_it_ends(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "can_make_widgets", lambda: False)
    view = LiveView(shown.look, shown.send)
    view.show()
    first = shown.displayed[0]
    assert "1 done" in first["text/plain"]
    assert "widget" not in str(sorted(first))
    shown.state = replace(shown.state, done=2)
    shown.wait_for("2 done")
    shown.failure = StudyError("the database is locked")
    shown.wait_for("cannot be read: StudyError: &#x27;the database is locked")
    shown.failure = None
    shown.state = end(shown)
    page = shown.wait_for("no process is tuning it")
    assert "live runs" not in page
    thread = view._thread
    if thread is not None:
        thread.join(60)
    assert view._thread is None
    shown.displayed.clear()
    view.show()  # of a study that has ended: once, and nothing follows it
    assert len(shown.displayed) == 1
    assert view._thread is None


def test_a_view_of_an_unchanged_study_is_not_displayed_again(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "can_make_widgets", lambda: False)
    looks = threading.Semaphore(0)

    def look() -> StudyState:
        looks.release()
        return replace(shown.state, at=time.time())

    view = LiveView(look, shown.send)
    view.show()
    for _ in range(10):
        assert looks.acquire(timeout=60)
    assert len(shown.displayed) <= 2
    shown.state = end(shown)
    shown.wait_for("no process")


def test_the_widget_gets_what_changed_and_its_buttons_send(shown: Shown) -> None:
    view = LiveView(shown.look, shown.send)
    view.show()
    widget = view._widget
    sent: list[set[str]] = []
    changed = threading.Event()

    def note(change: Any) -> None:
        sent.append({change["name"]})
        changed.set()

    widget.observe(note, names=["head", "best", "facts", "runs", "failures"])
    shown.state = replace(shown.state, facts=(("cost", "12"),))
    assert changed.wait(60)
    assert sent == [{"facts"}]
    press = widget._handle_custom_msg
    press({"command": "pause"}, [])
    press({"command": "stop", "runs": "cancel"}, [])
    for nonsense in (
        {"command": "stop", "runs": "explode"},
        {"command": "stop"},
        {"command": "set", "n_trials": 9},
        {"command": ["pause"]},
        {},
        "pause",
    ):
        press(nonsense, [])
    assert shown.sent == [("pause", {}), ("stop", {"runs": "cancel"})]
    shown.failure = StudyError("no process is tuning study 's'")
    press({"command": "resume"}, [])
    assert "no process is tuning" in view._notice
    shown.failure, shown.state = None, end(shown)
    shown.wait_for("no process")


def test_what_the_user_opened_is_saved(shown: Shown) -> None:
    view = LiveView(shown.look, shown.send)
    view.show()
    view._widget.opened = ["failures"]
    shown.state = replace(shown.state, is_tuned=False)
    page = shown.wait_for("<details open><summary>failed trials")
    assert "<details><summary>live runs" in page


def test_the_look_of_a_large_study_is_rare(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float | None] = []
    view = LiveView(shown.look, shown.send)

    class Wake(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            if len(pauses) == 3:
                shown.state = end(shown)
            return True

    spent = iter(range(100))
    monkeypatch.setattr(time, "thread_time", lambda: next(spent) * 0.05)
    view._wake = Wake()
    view.show()
    shown.wait_for("no process")
    assert pauses[1:3] == [pytest.approx(5.0), pytest.approx(5.0)]
