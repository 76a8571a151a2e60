"""Enqueue, withdraw and note in real PostgreSQL and MariaDB, while a study is tuned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.dashboard.test_acting import GOOD, SPACE, WAIT, Page, wait_until
from tests.databases import SERVERS, Server
from tune_jobs.storage.notes import Note, NoteConflict, read_note, write_note

T = TypeVar("T")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with SERVERS[request.param]() as running:
        yield running


def test_acting_on_a_study_that_is_tuned(
    server: Server, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    study = optuna.create_study(
        study_name="s",
        storage=server.url,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    tuner = make_tuner(WAIT, study=study, space=SPACE, max_parallel=2)
    working = threading.Thread(target=tuner.optimize, kwargs={"n_trials": 400})
    working.start()
    try:
        wait_until(lambda: sum(t.state == TrialState.RUNNING for t in study.trials) == 2)
        page = Page(server.url)
        kept = page.post("enqueue", params=GOOD)[1]["trial"]
        withdrawn = page.post("enqueue", params={**GOOD, "x": 0.02})[1]["trial"]
        answers = _at_once(lambda _: page.post("withdraw", trial=withdrawn))
        assert all(answer == (200, {"withdrawn": withdrawn}) for answer in answers)
        written = _at_once(lambda n: _write_first_note(study, f"text {n}"))
        (first,) = [text for text in written if text]
        assert read_note(study) == Note(first, 1)
        (tmp_path / "go").touch()
        wait_until(lambda: study.trials[kept].state == TrialState.COMPLETE)
        assert page.post("withdraw", trial=kept)[0] == 400
    finally:
        (tmp_path / "go").touch()
        tuner.stop()
        working.join()
    assert study.trials[withdrawn].state == TrialState.FAIL
    assert not study.trials[withdrawn].params


def _write_first_note(study: optuna.Study, text: str) -> str:
    """Return the text if it is the first note; an empty string if another thread was faster."""
    try:
        return write_note(study, text, 0).text
    except NoteConflict:
        return ""


def _at_once(call: Callable[[int], T]) -> list[T]:
    """Return the results of four calls from threads."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(call, range(4)))
