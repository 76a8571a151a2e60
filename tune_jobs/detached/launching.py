"""Launch a controller: record it with the study, and start it in its place."""

from __future__ import annotations

import getpass
import os
import socket
import time
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tune_jobs.backends.local.service import StudyLocation
from tune_jobs.core.controllers import LOCAL, ControllerRecord
from tune_jobs.detached.local_process import LocalPlace
from tune_jobs.detached.places import Place
from tune_jobs.detached.recipe import Call, build_recipe
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.lease import StudyOwned
from tune_jobs.storage.reference import StorageReference, refer_to_storage
from tune_jobs.tuning.messages import Messages
from tune_jobs.tuning.session import Session
from tune_jobs.tuning.spec import TuningSpec

if TYPE_CHECKING:
    from tune_jobs.backends.data_science.controller_job import ControllerJob


DATA_SCIENCE = "data_science"


@dataclass(frozen=True)
class Launched:
    """A controller that was launched.

    Args:
        record: Its record.
        storage: The study's storage.
        place: Where it runs.
        rows: The records of the study's controllers.
    """

    record: ControllerRecord
    storage: StorageReference
    place: Place
    rows: ControllerRows


def detach(
    spec: TuningSpec,
    call: Call,
    controller: ControllerJob | Literal["local"] | None = None,
    messages: Messages | None = None,
) -> Launched:
    """Launch a controller of a study.

    Args:
        spec: What is tuned, and how.
        call: What the controller is to do.
        controller: What it runs on; ``local`` for a process of this machine. By default it is
            where the job runs are.
        messages: Where messages go.

    Raises:
        ConfigError: If something cannot travel to the controller.
        StudyError: If the controller could not reach the study's storage.
        StudyOwned: If another process is tuning the study, or is about to.
        BackendError: If the controller cannot be started.
    """
    name = choose_place(spec, controller)
    storage = refer_to_storage(spec.study, elsewhere=name != LOCAL)
    spec.check()
    with Session(spec, messages) as session:
        place = find_place(session, name, None if controller == "local" else controller)
        rows = ControllerRows(session.ledger.engine, session.ledger.uid)
        recipe = build_recipe(spec, storage, session.ledger.store, call)
        place.check(recipe)
        if not call.take_over:
            _check_free(session)
            _check_launched(session, rows, place)
        record_ends(session)
        spec.check_metrics(session.ledger.read_definition())
        session.ledger.write_definition(spec.describe(spec.backend.describe()))
        record = rows.add(_new_record(place), place.log_path)
        try:
            if not call.take_over:  # again: another machine may have launched one meanwhile
                _check_launched(session, rows, place, record.name)
            place.launch(recipe, record, rows)
        except BaseException:
            rows.change(record.name, finished=time.time())
            raise
        (record,) = (each for each in rows.read() if each.name == record.name)
    return Launched(record, storage, place, rows)


def choose_place(spec: TuningSpec, controller: ControllerJob | Literal["local"] | None) -> str:
    """Return the name of the place where a controller is to run.

    Raises:
        ConfigError: If the job runs of the study are not reached from there.
    """
    is_on_oci = spec.backend.name == DATA_SCIENCE
    if controller == "local" or (controller is None and not is_on_oci):
        return LOCAL
    if not is_on_oci:
        raise ConfigError(
            f"a controller on OCI does not reach the job runs of backend {spec.backend.name!r}: "
            "leave the controller out, or write `controller: local`; or run the jobs on OCI, with "
            "`backend: {type: data_science, ...}`"
        )
    return DATA_SCIENCE


def find_place(session: Session, name: str, job: ControllerJob | None = None) -> Place:
    """Return the place of that name for the controllers of a study.

    Args:
        session: The open study.
        name: Name of the place.
        job: What a controller on OCI runs on, if one is to be launched.
    """
    if name == DATA_SCIENCE:
        from tune_jobs.detached.job_run import JobRunPlace  # studies with local runs need no OCI

        return JobRunPlace(
            session.spec.backend, session.store, session.ledger.uid, job, session.messages.say
        )
    location = StudyLocation.locate(session.ledger.store, session.folder)
    return LocalPlace(Path(location.folder), session.ledger.uid)


def _new_record(place: Place) -> ControllerRecord:
    return ControllerRecord(name="", place=place.name, user=name_user(), launched=time.time())


def name_user() -> str:
    """Return who launches a controller: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:255]


def _check_free(session: Session) -> None:
    """Check that no process tunes the study.

    Raises:
        StudyOwned: If one does.
    """
    if (owner := session.await_owner()) is not None:
        raise StudyOwned(
            f"{owner} is tuning study {session.spec.study.study_name!r}: watch it with `tune-jobs "
            "watch`, stop it with `tune-jobs stop`, or take it over with take_over=True "
            "(--take-over)"
        )


def _check_launched(
    session: Session, rows: ControllerRows, place: Place, before: str | None = None
) -> None:
    """Check that no controller is about to begin.

    Args:
        session, rows, place: Of the study.
        before: Name of a controller; those recorded after it see it themselves.

    Raises:
        StudyOwned: If one is.
    """
    for record in takewhile(lambda each: each.name != before, rows.read()):
        if record.may_begin(time.time()) and _find_end(place, record) is None:
            minutes = (time.time() - record.launched) / 60.0
            raise StudyOwned(
                f"{record.name} of study {session.spec.study.study_name!r} was launched by "
                f"{record.user} {minutes:.0f} minutes ago and is about to begin: `tune-jobs ps` "
                "shows it; end it there first, or use take_over=True (--take-over)"
            )


def record_ends(session: Session) -> None:
    """Record the ends of controllers that could not do so themselves, as far as they are known."""
    rows = ControllerRows(session.ledger.engine, session.ledger.uid)
    for record in rows.read():
        if record.is_open:
            end = _find_end(find_place(session, record.place), record)
            if end is not None:
                rows.change(record.name, finished=end)


def _find_end(place: Place, record: ControllerRecord) -> float | None:
    """Return when a controller ended, if that is known."""
    if record.place != place.name:
        return record.finished
    try:
        return place.find_end(record)
    except BackendError:
        return None
