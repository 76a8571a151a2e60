"""A real full disk, a real lack of memory, a clock that is really set: nothing simulated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# Prints how each trial ended, as one line of JSON at the end.
TUNE = """
import json, sys
import optuna
from tune_jobs import LocalBackend, Tuner
study = optuna.create_study(
    study_name="s", storage=sys.argv[1], load_if_exists=True,
    pruner=optuna.pruners.NopPruner(), sampler=optuna.samplers.RandomSampler(seed=1),
)
def space(trial):
    return {"x": trial.suggest_float("x", 0, 1)}
backend = LocalBackend(["sh", sys.argv[2]])
tuner = Tuner(study, space, backend, metric="value", store=sys.argv[3], max_parallel=2)
tuner.optimize(n_trials=int(sys.argv[4]))
attempts = tuner.attempts()
print(json.dumps([
    {"state": t.state.name, "cause": t.user_attrs.get("tune_jobs:cause", ""),
     "seconds": [a.finished - a.started for a in attempts if a.trial == t.number]}
    for t in study.trials
]))
"""


class Tuning:
    """A tuner in a process of its own, whose output is read as it comes."""

    def __init__(self, command: Sequence[str], folder: Path, env: dict[str, str] | None) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Tuning:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.__exit__(None, None, None)

    def wait_for_line(self, part: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if part in line:
                return line
        raise AssertionError(f"no line with {part!r} in:\n" + "".join(self.lines))

    def read_trials(self) -> list[dict[str, Any]]:
        trials: list[dict[str, Any]] = json.loads(self.wait_for_line('[{"state"'))
        assert self.process.wait() == 0
        return trials


def start_tuning(
    folder: Path,
    script: str,
    n_trials: int,
    *,
    store: Path | None = None,
    prefix: Sequence[str] = (),
    env: dict[str, str] | None = None,
) -> Tuning:
    (folder / "tune.py").write_text(TUNE)
    (folder / "train.sh").write_text(script)
    url, store = f"sqlite:///{folder}/s.db", store or folder / "store"
    command = [sys.executable, "tune.py", url, "train.sh", str(store), str(n_trials)]
    return Tuning([*prefix, *command], folder, env)


# -- a disk that is full --------------------------------------------------------------------------


def can_mount() -> bool:
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "t",
        "/mnt",
    ]
    return bool(shutil.which("unshare")) and not subprocess.run(command, check=False).returncode


def test_a_full_disk_pauses_the_study_until_it_has_room(tmp_path: Path) -> None:
    if not can_mount():
        pytest.skip("a file system can be mounted by root, or in a user namespace")
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=2m small {small}; exec "$@"'
    fill = f"head -c 2100000 /dev/zero > {small}/ballast 2> {tmp_path}/full"  # by the first run
    script = f"[ -e {tmp_path}/full ] || {fill}\necho value=${{1#--x=}}\n"
    tuning = start_tuning(
        tmp_path,
        script,
        3,
        store=small / "store",
        prefix=["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"],
    )
    with tuning:
        tuning.wait_for_line("the disk is full")
        assert "No space left" in (tmp_path / "full").read_text()
        # The mount is seen by the processes of that namespace only.
        ballast = Path(f"/proc/{tuning.process.pid}/root{small}/ballast")
        ballast.unlink()
        trials = tuning.read_trials()
    assert [t["state"] for t in trials] == ["COMPLETE"] * 3


# -- no memory ------------------------------------------------------------------------------------

GROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """Make a control group of 64 MB; a process joins by writing its PID to the file returned."""
    root = next((group for group in GROUPS if (group / "cgroup.procs").exists()), None)
    limits = ("memory.limit_in_bytes", "memory.max")
    try:
        assert root is not None
        group = root / f"tune_jobs_{os.getpid()}"
        group.mkdir()
    except (AssertionError, OSError) as error:
        pytest.skip(f"control groups are made by root only: {error}")
    try:
        limit = next((group / name for name in limits if (group / name).exists()), None)
        if limit is None:
            pytest.skip("there is no controller of memory")
        limit.write_text(str(64 << 20))
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def test_a_run_that_the_kernel_kills_for_its_memory_fails(
    tmp_path: Path, small_memory: Path
) -> None:
    python = f"{sys.executable} -S -c 'a = [b\"x\" * (1 << 20) for _ in range(500)]'"
    script = f"echo value=1; echo $$ > {small_memory}; exec {python}"
    with start_tuning(tmp_path, script, 1) as tuning:
        trials = tuning.read_trials()
    assert trials[0]["state"] == "FAIL"
    assert "out of memory: the kernel" in trials[0]["cause"]
    assert "its peak was" in trials[0]["cause"]


# -- a clock that is set --------------------------------------------------------------------------


def find_clock_library() -> str | None:
    """Return the library that sets the clock of a process from a file, if it is installed."""
    folders = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    return next(map(str, folders), None)


@pytest.mark.parametrize("steps", [("+3h", "-6h"), ("-2d", "+400d")])
def test_a_clock_that_is_set_changes_nothing(tmp_path: Path, steps: Sequence[str]) -> None:
    library = find_clock_library()
    if library is None:
        pytest.skip("the package faketime is not installed")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    env = {
        **os.environ,
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    # Each run sets the clock before it waits and reports, and the study continues.
    turns = " ".join(f"'{step}'" for step in steps)
    script = (
        f'set -- "$1" {turns}; value=${{1#--x=}}; shift\n'
        f'for step in "$@"; do echo "$step" > {clock}; sleep 0.3; done; echo value=$value\n'
    )
    with start_tuning(tmp_path, script, 6, env=env) as tuning:
        trials = tuning.read_trials()
    assert [t["state"] for t in trials] == ["COMPLETE"] * 6
    seconds = [run for trial in trials for run in trial["seconds"]]
    assert len(seconds) == 6, "one run for each trial"
    assert 0.3 < min(seconds) <= max(seconds) < 600
    summary = next(line for line in reversed(tuning.lines) if "6 of 6 done" in line)
    assert "elapsed -" not in summary
    assert "h" not in summary.partition("elapsed")[2].partition(",")[0]
