"""Signals to the program, which a script started in the background."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import MakeTuner
from tests.study_files import SMALL_STUDY

STUDY = SMALL_STUDY + "n_trials: 2\nmax_parallel: 1\n"


class Background:
    """Program that a shell script started with ``&``, so that it ignores SIGINT."""

    def __init__(self, shell: subprocess.Popen[str]) -> None:
        self._shell = shell
        assert shell.stdout is not None
        self._lines = shell.stdout
        self.pid = int(self.read_line())

    def read_line(self) -> str:
        """Return the next line that was printed."""
        return self._lines.readline()

    def ignores(self, number: int) -> bool:
        """Return whether the program ignores a signal at this moment."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
        return bool(int(mask, 16) >> (number - 1) & 1)

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; return the exit code and what was printed."""
        os.kill(self.pid, number)
        rest, _ = self._shell.communicate(timeout=30)
        return self._shell.returncode, rest


@contextmanager
def in_background(words: str, prefix: str = "") -> Iterator[Background]:
    """Start a command of ``tune-jobs`` as a shell script does with ``&``."""
    program = f"{prefix} {shlex.quote(sys.executable)} -m tune_jobs.cli {words}"
    shell = subprocess.Popen(
        ["sh", "-c", f"{program} 2>&1 & echo $!; wait $!"], stdout=subprocess.PIPE, text=True
    )
    background = Background(shell)
    try:
        yield background
    finally:
        if shell.poll() is None:
            os.kill(background.pid, signal.SIGKILL)
            shell.communicate()


def test_a_dashboard_in_the_background_ends_with_sigterm(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(1)
    with in_background("dashboard s.db --port 0") as dashboard:
        assert dashboard.read_line().startswith("http://127.0.0.1:")
        assert dashboard.ignores(signal.SIGINT)
        assert dashboard.end(signal.SIGTERM) == (0, "")


def test_tuning_in_the_background_ends_with_sigterm(tmp_path: Path) -> None:
    Path("study.yaml").write_text(STUDY)
    Path("train.sh").write_text(
        f"echo $$ > {tmp_path}/pid.part; mv {tmp_path}/pid.part {tmp_path}/pid; exec sleep 120\n"
    )
    with in_background("run study.yaml", "nohup") as tuning:
        while not Path("pid").exists():
            os.sched_yield()
        assert tuning.ignores(signal.SIGINT)
        code, printed = tuning.end(signal.SIGTERM)
    assert (code, "run the same command again to resume" in printed) == (130, True)
    assert not Path("/proc", Path("pid").read_text().strip()).exists()
