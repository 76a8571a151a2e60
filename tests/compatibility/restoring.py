"""Restore the recorded studies of ``data`` on this machine."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from tune_jobs.runtime.processes import read_boot_id

DATA = Path(__file__).parent / "data"


def localize(recorded: str, folder: Path) -> str:
    """Replace the placeholders of a recording by paths and names of this machine."""
    values = {
        "folder": str(folder),
        "package": "",
        "shell": shutil.which("sh") or "sh",
        "host": socket.gethostname()[:64],
        "boot": (read_boot_id() or "")[:8],
    }
    for name, value in values.items():
        recorded = recorded.replace(f"{{{name}}}", value)
    return recorded


def read_recording(name: str, folder: Path) -> str:
    """Return a recorded file, localized."""
    return localize((DATA / name).read_text(), folder)


def restore(kind: str, folder: Path) -> BaseStorage | str:
    """Restore database, journal, metric store and script; return the Optuna storage."""
    database = "study.db" if kind == "sqlite" else "journal.log.tune_jobs.db"
    connection = sqlite3.connect(folder / database)
    connection.executescript(read_recording(f"{kind}.sql", folder))
    connection.close()
    for line in (DATA / f"{kind}.store.jsonl").read_text().splitlines():
        file = json.loads(line)
        path = folder / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(localize(file["content"], folder))
    shutil.copy(DATA / "train.sh", folder)
    if kind == "sqlite":
        return f"sqlite:///{folder}/study.db"
    shutil.copy(DATA / "journal.jsonl", folder / "journal.log")
    return JournalStorage(JournalFileBackend(str(folder / "journal.log")))


def open_study(storage: BaseStorage | str, name: str = "main") -> optuna.Study:
    """Open a restored study with the sampler and pruner that it was recorded with."""
    return optuna.load_study(
        study_name=name,
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=7),
        pruner=optuna.pruners.ThresholdPruner(upper=0.7) if name == "main" else None,
    )
