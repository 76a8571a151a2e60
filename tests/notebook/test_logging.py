"""Everything that is displayed is logged, and only the display prints."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from tests.recording_display import RecordingDisplay
from tests.simulation import fails, simulated

WARN = """\
import logging, sys
from tune_jobs.notebook.panels import open_progress
from tune_jobs.tuning.messages import Messages
{setup}
Messages(open_progress({progress})).warn("the service does not respond")
"""


def test_displayed_lines_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    tuner, _ = simulated(fails)
    display = tuner.progress = RecordingDisplay()
    with caplog.at_level(logging.INFO, logger="tune_jobs"):
        tuner.optimize(n_trials=12, target=-0.6)
        tuner.train_best()
    logged = [record.getMessage() for record in caplog.records]
    assert len(display.lines) >= 3
    assert [line for line in display.lines if line not in logged] == []
    assert {record.name.partition(".")[0] for record in caplog.records} == {"tune_jobs"}


@pytest.mark.parametrize(
    ("setup", "progress", "expected"),
    [
        ("", False, []),
        ("", True, ["the service does not respond"]),
        ("logging.basicConfig()", False, ["WARNING:tune_jobs.tuning:the service does not respond"]),
    ],
)
def test_messages_are_printed_by_the_display_or_the_application(
    setup: str, progress: bool, expected: list[str]
) -> None:
    program = WARN.format(setup=setup, progress=progress)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (0, "", expected)
