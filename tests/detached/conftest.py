"""A study whose runs wait until they are released, and controllers in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oci_emulator import Emulator
from tune_jobs.config.study_config import load_study
from tune_jobs.config.study_file import build_tuner
from tune_jobs.detached.handle import DetachedStudy
from tune_jobs.detached.recipe import Call
from tune_jobs.storage.owner_identity import is_dead
from tune_jobs.tuner import Tuner

STUDY = """\
study: s
direction: maximize
command: [sh, train.sh]
metric: value
parameters: {x: {type: int, low: 1, high: 100}}
sampler: {name: random, seed: 1}
n_trials: 3
max_parallel: 3
duplicates: run
"""

WAITING = """\
echo $$ > FOLDER/live.$$
until [ -e FOLDER/go ]; do sleep 0.02; done
echo value: ${1#--x=}
"""

Detach = Callable[..., DetachedStudy]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """Emulator with an empty bucket ``tune-jobs``."""
    with Emulator(tmp_path / "oci") as running:
        yield running


@pytest.fixture
def tuner(tmp_path: Path) -> Tuner:
    """Tuner of a study.yaml whose runs wait for a file ``go``."""
    (tmp_path / "train.sh").write_text(WAITING.replace("FOLDER", str(tmp_path)))
    (tmp_path / "study.yaml").write_text(STUDY)
    return build_tuner(load_study("study.yaml"), Path("study.yaml"))


@pytest.fixture
def detach(tuner: Tuner) -> Iterator[Detach]:
    """Return a function that launches a controller, which the end of the test kills."""
    launched: list[DetachedStudy] = []

    def launch(then: str | None = None) -> DetachedStudy:
        config = load_study("study.yaml")
        launched.append(tuner.launch(Call(config.limits, then)))  # type: ignore[arg-type]
        return launched[-1]

    yield launch
    Path("go").touch()
    for each in launched:
        with contextlib.suppress(ProcessLookupError):
            if not is_dead(str(each.controller.run_id)):
                os.kill(find_pid(each), signal.SIGKILL)


def find_pid(detached: DetachedStudy) -> int:
    """Return the process id of a local controller."""
    return int(str(detached.controller.run_id).rsplit("|", 4)[2])


def wait_for_runs(folder: Path, count: int) -> list[int]:
    """Wait until runs are live; return their process ids."""
    while len(found := list(folder.glob("live.*"))) < count:
        os.sched_yield()
    return sorted(int(path.suffix[1:]) for path in found)
