"""Record the studies and messages of an earlier version; see ``README.md`` beside this file.

    PYTHONPATH=<checkout of the earlier version> python record.py <empty folder>

Every study is left as a killed tuner leaves it: one attempt SUBMITTED whose run ends afterwards,
one INTENDED that was never started, and one trial waiting.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from tune_jobs import LocalBackend, Promotion, Tuner

DATA = Path(__file__).parent
SPACE = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
Storage = Callable[[Path], BaseStorage | str]

STORAGES: dict[str, Storage] = {
    "sqlite": lambda folder: f"sqlite:///{folder}/study.db",
    "journal": lambda folder: JournalStorage(JournalFileBackend(f"{folder}/journal.log")),
}


def build_tuner(folder: Path, study: optuna.Study, **options: Any) -> Tuner:
    """Return a tuner of one run at a time."""
    backend = LocalBackend(folder / "train.sh", env={"HERE": str(folder)})
    return Tuner(
        study,
        SPACE,
        backend,
        metric="value",
        step="epoch",
        store=str(folder / "runs"),
        max_parallel=1,
        **{"progress": False, **options},
    )


def run_in_child(work: Callable[[], object]) -> int:
    """Return the exit code of forked work; negative: the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -- studies ------------------------------------------------------------------------------------


def tune(folder: Path, storage: Storage) -> None:
    """Complete, pruned and failed trials, a final run, and a study with promotion."""
    study = optuna.create_study(
        study_name="main",
        storage=storage(folder),
        sampler=optuna.samplers.RandomSampler(seed=1),
        pruner=optuna.pruners.ThresholdPruner(upper=0.7),
    )
    for x in (0.25, 0.75, 0.95, 0.5):
        study.enqueue_trial({"x": x})
    tuner = build_tuner(folder, study)
    tuner.optimize(n_trials=4)
    tuner.train_best()
    promoted = optuna.create_study(
        study_name="promotion",
        storage=storage(folder),
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    for x in (0.25, 0.5, 0.125, 0.375):
        promoted.enqueue_trial({"x": x})
    build_tuner(folder, promoted, promotion=Promotion("epochs", 1, 4, factor=2)).optimize(
        n_trials=4
    )


class WhenSubmitted:
    """Progress that calls a function once, when an attempt is recorded as submitted."""

    def __init__(self, act: Callable[[Tuner], object]) -> None:
        self.tuner: Tuner | None = None
        self._act, self._done = act, False

    def update(self, *_: object, **__: object) -> None:
        assert self.tuner is not None
        if not self._done and any(a.state == "SUBMITTED" for a in self.tuner.attempts()):
            self._done = True
            self._act(self.tuner)

    def say(self, line: str) -> None: ...

    def close(self) -> None: ...


def be_killed(folder: Path, storage: Storage) -> None:
    """Start a run; ask for a second one and die before it is started, after the first ended."""
    study = optuna.load_study(study_name="main", storage=storage(folder))
    for x in (0.125, 0.375, 0.625):
        study.enqueue_trial({"x": x})
    progress = WhenSubmitted(lambda tuner: tuner.control("set", wait=0.0, max_parallel=2))
    tuner = progress.tuner = build_tuner(folder, study, progress=progress)
    submit, submitted = LocalBackend.submit, []

    def submit_once(self: LocalBackend, request: Any) -> Any:
        if not submitted:
            submitted.append(request.name)
            return submit(self, request)
        (folder / "go").touch()
        history = next((folder / "runs").glob(f"main-*/runs/{submitted[0]}/run.jsonl"))
        while '"ended"' not in history.read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)

    LocalBackend.submit = submit_once
    tuner.optimize(n_trials=2)


# -- messages -----------------------------------------------------------------------------------


class RecordedSocket(socket.socket):
    """Socket that notes what passes."""

    file = Path()

    def sendall(self, data: bytes, *_: Any) -> None:
        self._note("tuner", data)
        super().sendall(data)

    def recv(self, *arguments: Any) -> bytes:
        data = super().recv(*arguments)
        self._note("host", data)
        return data

    def _note(self, sender: str, data: bytes) -> None:
        with self.file.open("a") as file:
            for line in data.splitlines():
                message = json.loads(line)
                if message.get("do") == "hello":
                    message["env"] = {"PATH": "/bin:/usr/bin"}
                file.write(json.dumps({"from": sender, "message": message}) + "\n")


def talk(folder: Path, storage: Storage) -> None:
    """Runs that succeed, are canceled and fail; one whose tuner is killed, and the next tuner."""
    RecordedSocket.file = folder / "protocol.jsonl"
    socket.socket = RecordedSocket  # type: ignore[misc]
    study = optuna.create_study(
        study_name="talk",
        storage=storage(folder),
        pruner=optuna.pruners.ThresholdPruner(upper=0.7),
        load_if_exists=True,
    )
    if not study.trials:
        for x in (0.25, 0.75, 0.95, 0.125):
            study.enqueue_trial({"x": x})
        progress = WhenSubmitted(
            lambda tuner: (
                os.kill(os.getpid(), signal.SIGKILL)
                if tuner.attempts()[-1].trial == 3
                else setattr(progress, "_done", False)
            )
        )
    else:
        progress = WhenSubmitted(lambda tuner: (folder / "go").touch())
    tuner = progress.tuner = build_tuner(folder, study, progress=progress)
    tuner.optimize(n_trials=4 - sum(t.state.is_finished() for t in study.trials))


# -- what is kept -------------------------------------------------------------------------------


def anonymize(text: str, folder: Path) -> str:
    """Replace the paths and the machine by placeholders."""
    package = os.environ["PYTHONPATH"]
    shell = shutil.which("sh") or "sh"
    for found, placeholder in (
        (str(folder), "{folder}"),
        (package, "{package}"),
        (f'"{shell}"', '"{shell}"'),
        (f'\\"{shell}\\"', '\\"{shell}\\"'),
    ):
        text = text.replace(found, placeholder)
    return re.sub(r"'[^'|]*\|[0-9a-f]{8}\|", "'{host}|{boot}|", text)


def dump(database: Path, folder: Path) -> str:
    """Return the statements that build a database."""
    return anonymize("\n".join(sqlite3.connect(database).iterdump()) + "\n", folder)


def pack_store(folder: Path) -> Iterable[str]:
    """Return a line for each file of the metric store."""
    for path in sorted((folder / "runs").glob("**/*")):
        if path.is_file() and path.name not in (".tuner.lock", "tune_jobs.py"):
            content = path.read_text()
            if path.name == "provenance.json":
                content = json.dumps({**json.loads(content), "versions": {}})
            line = {"path": str(path.relative_to(folder)), "content": content}
            yield anonymize(json.dumps(line), folder) + "\n"


def main(root: Path) -> None:
    """Record everything."""
    for kind, storage in STORAGES.items():
        folder = root / kind
        folder.mkdir(parents=True)
        shutil.copy(DATA / "train.sh", folder)
        assert run_in_child(partial(tune, folder, storage)) == 0
        assert run_in_child(partial(be_killed, folder, storage)) == -signal.SIGKILL
        ledger = "study.db" if kind == "sqlite" else "journal.log.tune_jobs.db"
        (DATA / f"{kind}.sql").write_text(dump(folder / ledger, folder))
        (DATA / f"{kind}.store.jsonl").write_text("".join(pack_store(folder)))
    (DATA / "journal.jsonl").write_text((root / "journal/journal.log").read_text())
    folder = root / "talk"
    folder.mkdir()
    shutil.copy(DATA / "train.sh", folder)
    assert run_in_child(partial(talk, folder, STORAGES["sqlite"])) == -signal.SIGKILL
    assert run_in_child(partial(talk, folder, STORAGES["sqlite"])) == 0
    kept = anonymize((folder / "protocol.jsonl").read_text(), folder)
    (DATA / "protocol.jsonl").write_text(kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
