"""``tune-jobs ps``: what runs where, of whom, since when, on which storage.

From three places: the processes of this machine, the leases and records of a storage, and the tags
of job runs on OCI. What is not on this machine is seen from any other one.
"""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from tune_jobs.backends.local.connection import HOST_MODULE
from tune_jobs.cli.commands import Commands
from tune_jobs.cli.dashboard import is_study_file
from tune_jobs.cli.exit_codes import SUCCESS
from tune_jobs.cli.output import print_result
from tune_jobs.config.backend import make_backend
from tune_jobs.config.study_config import load_study
from tune_jobs.config.study_file import resolve_storage
from tune_jobs.core.formatting import count, duration
from tune_jobs.dashboard.reading import open_source
from tune_jobs.detached.local_process import CONTROLLER_MODULE
from tune_jobs.detached.recipe import read_facts
from tune_jobs.errors import ConfigError
from tune_jobs.metric_store.store import study_folder
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.processes import find_by_argument
from tune_jobs.storage.activity import read_activity

_COLUMNS = ("what", "study", "where", "by", "since", "state", "storage")


@dataclass(frozen=True)
class Running:
    """Something that runs.

    Args:
        what: ``controller-1``, ``tuner``, ``runs``, ``host``, or the name of a job run.
        study: Name of its study; with its uid where only that is known.
        where: Process and machine, or OCID.
        by: Who started it, as far as that is known.
        since: Seconds since the epoch; None if unknown.
        state: What it does.
        storage: Storage of its study, without its password.
    """

    what: str
    study: str
    where: str
    by: str = ""
    since: float | None = None
    state: str = ""
    storage: str = ""


def add_ps_command(commands: Commands) -> None:
    """Add the command of this module."""
    ps = commands.add("ps", _ps, "show what runs where, of whom and since when")
    ps.add_argument(
        "study",
        nargs="?",
        metavar="STUDY",
        help="a study.yaml or a storage (default: this machine)",
    )
    ps.add_argument(
        "--compartment", metavar="OCID", help="show all job runs of tune_jobs in a compartment"
    )


def _ps(options: argparse.Namespace) -> int:
    found: list[Running] = []
    if options.study is None and options.compartment is None:
        found += list_processes()
    if options.study is not None:
        found += _list_study(options.study)
    if options.compartment is not None:
        if not options.compartment.startswith("ocid1."):
            raise ConfigError(
                f"--compartment {options.compartment!r} is not an OCID: it must begin with 'ocid1.'"
            )
        found += _list_job_runs(Connection(), options.compartment)
    facts = [dataclasses.asdict(each) for each in found]
    print_result(options, facts, _format(found, time.time()) if found else "nothing runs")
    return SUCCESS


def _list_study(reference: str) -> list[Running]:
    """Return what runs of a study.yaml, or of all studies of a storage."""
    if not is_study_file(reference):
        return _list_storage(reference)
    config, path = load_study(reference), Path(reference)
    found = _list_storage(resolve_storage(config, path), config.study)
    backend = make_backend(config, path.absolute().parent)
    if backend.name == "data_science":
        from tune_jobs.backends.data_science.backend import DataScienceBackend

        assert isinstance(backend, DataScienceBackend)
        if (compartment := backend.compartment) is not None:
            listed = _list_job_runs(backend.connection, compartment)
            found = [_check_listed(each, listed) for each in found]
            known = {each.where for each in found}
            found += [
                dataclasses.replace(each, study=config.study)
                for each in listed
                if each.where not in known and _is_folder(each.study, config.study)
            ]
    return found


def _is_folder(tag: str, study: str) -> bool:
    """Return whether a tag is the folder of a study in the metric store, whatever its uid."""
    return tag == study_folder(study, tag.rpartition("-")[2])


def _check_listed(recorded: Running, listed: Sequence[Running]) -> Running:
    """Return a controller as the service knows it, if it is recorded as a job run."""
    if not recorded.where.startswith("ocid1."):
        return recorded
    states = {each.where: each.state for each in listed}
    ended = "it has ended: the next `tune-jobs run` continues"
    return dataclasses.replace(recorded, state=states.get(recorded.where, ended))


# -- this machine -------------------------------------------------------------------------------


def list_processes() -> list[Running]:
    """Return the controllers and the hosts of local runs on this machine."""
    here = os.uname().nodename
    found = []
    for pid, words in find_by_argument(CONTROLLER_MODULE).items():
        folders = [word for word in words if (Path(word) / "recipe.json").is_file()]
        facts = read_facts(Path(folders[0])) if folders else {}
        found.append(
            Running(
                what=str(facts.get("name", "controller")),
                study=str(facts.get("study", "")),
                where=f"process {pid} on {here}",
                by=_find_user(pid),
                since=_find_start(pid),
                state=f"log {facts['log']}" if "log" in facts else "",
                storage=str(facts.get("storage", "")),
            )
        )
    for pid, words in find_by_argument(HOST_MODULE).items():
        place = words[words.index(HOST_MODULE) + 2]
        state = f"runs below {os.path.dirname(place)}"
        where = f"process {pid} on {here}"
        found.append(Running("host", "", where, _find_user(pid), _find_start(pid), state))
    return found


def _find_user(pid: int) -> str:
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
        if uid == os.getuid():
            return getpass.getuser()
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (OSError, KeyError, ImportError):
        return ""


def _find_start(pid: int) -> float | None:
    try:
        return os.stat(f"/proc/{pid}").st_mtime
    except OSError:
        return None


# -- a storage ------------------------------------------------------------------------------------


def _list_storage(storage: str, name: str | None = None) -> list[Running]:
    source = open_source(storage, "")
    label = source.label
    found: list[Running] = []
    for head in source.heads():
        engine = source.engine(head.key)
        if engine is not None and name in (None, head.name):
            found += _list_activity(engine, head.name, label)
    return found


def _list_activity(engine: Engine, study: str, label: str) -> Iterator[Running]:
    activity = read_activity(engine, study)
    for record in activity.controllers:
        where = record.run_id or "not known yet"
        if record.place == "local":
            where = activity.describe(record)
        state = "running" if record.has_begun else "starting"
        since = record.started or record.launched
        yield Running(record.name, study, where, record.user, since, state, label)
    if activity.owner is not None:
        by = ", ".join(each.name for each in activity.controllers if each.has_begun)
        live = count(activity.live, "live run")
        yield Running("tuner", study, activity.owner, by, activity.since, live, label)
    elif activity.live:
        state = "left behind: `tune-jobs run` adopts or repeats them"
        yield Running(count(activity.live, "run"), study, "", "", None, state, label)


# -- OCI ----------------------------------------------------------------------------------------


def _list_job_runs(connection: Connection, compartment: str) -> list[Running]:
    from tune_jobs.backends.data_science.listing import list_live_runs

    listed = list_live_runs(connection, compartment)
    storages = {each.study: each.storage for each in listed if each.storage}
    controllers = {each.id: each.name for each in listed if each.is_controller}
    return [
        Running(
            what=each.name,
            study=each.study,
            where=each.id,
            by=controllers.get(each.user, each.user),
            since=each.since,
            state=each.state,
            storage=each.storage or storages.get(each.study, ""),
        )
        for each in listed
    ]


# -- text ---------------------------------------------------------------------------------------


def _format(found: Sequence[Running], now: float) -> str:
    """Return a table."""
    rows = [tuple(name.upper() for name in _COLUMNS)]
    for each in found:
        since = "" if each.since is None else duration(max(0.0, now - each.since))
        cells = {**dataclasses.asdict(each), "since": since}
        rows.append(tuple(str(cells[name]) for name in _COLUMNS))
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
