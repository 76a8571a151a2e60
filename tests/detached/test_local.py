"""Controllers that are background processes of this machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.detached.conftest import Detach, find_pid, wait_for_runs
from tune_jobs.core.attempts import AttemptState
from tune_jobs.notebook.monitor import StudyMonitor
from tune_jobs.storage.lease import StudyOwned
from tune_jobs.tuner import Tuner


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_the_next_controller_goes_on_with_the_same_runs(
    number: int, tuner: Tuner, detach: Detach, tmp_path: Path
) -> None:
    first = detach("train_best")
    runs = wait_for_runs(tmp_path, 3)
    assert os.getsid(find_pid(first)) != os.getsid(0)
    assert Path(first.controller.log).stat().st_mode & 0o077 == 0
    with pytest.raises(StudyOwned, match=f"process {find_pid(first)} on .* is tuning study 's'"):
        detach()
    assert not StudyMonitor("s", tuner.study._storage).wait(0.0)
    os.kill(find_pid(first), number)
    assert first.wait(60)
    second = detach("train_best")
    assert wait_for_runs(tmp_path, 3) == runs
    Path("go").touch()
    assert second.wait(60)
    assert "3 live runs adopted" in second.logs()
    assert [each.controller.finished is not None for each in (first, second)] == [True, True]
    assert [(a.name, a.state) for a in tuner.attempts()] == [
        *((f"trial-00000{n}-1", AttemptState.SUCCEEDED) for n in range(3)),
        ("final-1-1", AttemptState.SUCCEEDED),
    ]
    assert len(wait_for_runs(tmp_path, 4)) == 4
