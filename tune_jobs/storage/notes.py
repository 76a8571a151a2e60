"""Notes on a study and its trials, in the format of optuna-dashboard.

They are system attributes of the study, as a finished trial cannot be changed: a version and parts
of the text, of at most `_PART` characters each.

    dashboard:note_ver, dashboard:note_str:0, dashboard:note_str:1, ...    of the study
    dashboard:12:note_ver, dashboard:12:note_str:0, ...                    of the trial with id 12
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.storage import optuna_tables as tables
from tune_jobs.storage.database import find_storage_refusal, unwrap_storage
from tune_jobs.storage.retry import write_beside_owner

MAX_NOTE = 4000
"""Characters of a note that is written here; longer ones of optuna-dashboard are read."""

PREFIX = "dashboard:"
"""Begin of the names of all attributes of notes."""

_PART = 2045
_UNUSUAL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_writing = threading.Lock()


@dataclass(frozen=True)
class Note:
    """A note.

    Args:
        text: Plain text, or Markdown.
        version: Counts its changes; 0 if there was never one.
    """

    text: str = ""
    version: int = 0


class NoteConflict(StudyError):
    """A note was changed in the meantime.

    Args:
        note: The note as it is now.
    """

    def __init__(self, note: Note) -> None:
        super().__init__(
            "the note was changed meanwhile: read it again, and put your changes into it"
        )
        self.note = note


def decode_note(attributes: Mapping[str, Any], trial_id: int | None = None) -> Note:
    """Return a note from the system attributes of a study.

    Args:
        attributes: The attributes.
        trial_id: The trial's id in its storage; None for the note on the study.
    """
    version = attributes.get(_version_key(trial_id), 0)
    parts: list[str] = []
    prefix = _part_prefix(trial_id)
    while isinstance(part := attributes.get(f"{prefix}{len(parts)}"), str):
        parts.append(part)
    return Note("".join(parts), version if type(version) is int else 0)


def read_note_attributes(connection: Connection, study_id: int) -> dict[str, Any]:
    """Return the attributes of all notes of a study in a relational storage."""
    columns = tables.study_system_attrs.c
    query = select(columns.key, columns.value_json).where(
        columns.study_id == study_id, columns.key.startswith(PREFIX, autoescape=True)
    )
    return {key: json.loads(value) for key, value in connection.execute(query)}


def find_note_attributes(study: optuna.Study) -> dict[str, Any]:
    """Return the attributes of all notes of a study in any storage."""
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return {key: value for key, value in attributes.items() if key.startswith(PREFIX)}


def number_trials(trials: Iterable[FrozenTrial]) -> dict[int, int]:
    """Return the numbers of trials by their ids in the storage, which the names of notes have."""
    return {trial._trial_id: trial.number for trial in trials}


def read_note(study: optuna.Study, trial: int | None = None) -> Note:
    """Return the note on a trial, or on the study.

    Raises:
        StudyError: If there is no such trial.
    """
    return decode_note(find_note_attributes(study), _find_trial_id(study, trial))


def write_note(study: optuna.Study, text: str, version: int, trial: int | None = None) -> Note:
    """Replace the note on a trial, or on the study; return the new one.

    Args:
        study: The study.
        text: The note; empty to remove it.
        version: Version of the note that it replaces.
        trial: Number of the trial.

    Raises:
        ConfigError: If the text is too long, or contains what no database or terminal takes.
        NoteConflict: If the note has another version by now.
        StudyError: If there is no such trial, or the study cannot be written.
    """
    if len(text) > MAX_NOTE:
        raise ConfigError(f"the note has {len(text)} characters: use at most {MAX_NOTE}")
    if unusual := sorted(set(_UNUSUAL.findall(text))):
        raise ConfigError(f"the note contains {unusual[0]!r}, which is no text: remove it")
    if refusal := find_storage_refusal(study):
        raise StudyError(refusal)
    trial_id = _find_trial_id(study, trial)
    new = Note(text, version + 1)
    storage = unwrap_storage(study)
    if isinstance(storage, RDBStorage):
        found = _write_to_tables(storage, study._study_id, trial_id, new)
    else:
        found = _write_by_optuna(study, trial_id, new)
    if found != new:
        raise NoteConflict(found)
    return new


def _write_to_tables(storage: RDBStorage, study_id: int, trial_id: int | None, new: Note) -> Note:
    """Write a note in one transaction; return what the study has afterwards."""

    def write(connection: Connection) -> Note:
        if _claim_version(connection, study_id, trial_id, new.version):
            _write_parts(connection, study_id, trial_id, new.text)
        return decode_note(read_note_attributes(connection, study_id), trial_id)

    try:
        return write_beside_owner(storage.engine, write)
    except StudyError as error:
        if not isinstance(error.__cause__, IntegrityError):
            raise
        # Somebody else has just written the first version.
        with storage.engine.connect() as connection:
            return decode_note(read_note_attributes(connection, study_id), trial_id)


def _claim_version(
    connection: Connection, study_id: int, trial_id: int | None, version: int
) -> bool:
    """Raise the version of a note by one; return whether it was the one before."""
    table, key = tables.study_system_attrs, _version_key(trial_id)
    new = tables.encode_attribute(version)
    if version == 1 and not _has_key(connection, study_id, key):
        row = {"study_id": study_id, "key": key, "value_json": new}
        connection.execute(insert(table), row)
        return True
    raised = (
        update(table)
        .where(
            table.c.study_id == study_id,
            table.c.key == key,
            table.c.value_json == tables.encode_attribute(version - 1),
        )
        .values(value_json=new)
    )
    return connection.execute(raised).rowcount == 1


def _has_key(connection: Connection, study_id: int, key: str) -> bool:
    columns = tables.study_system_attrs.c
    query = select(columns.key).where(columns.study_id == study_id, columns.key == key)
    return connection.execute(query).first() is not None


def _write_parts(connection: Connection, study_id: int, trial_id: int | None, text: str) -> None:
    table, prefix = tables.study_system_attrs, _part_prefix(trial_id)
    connection.execute(
        delete(table).where(
            table.c.study_id == study_id, table.c.key.startswith(prefix, autoescape=True)
        )
    )
    rows = [
        {"study_id": study_id, "key": key, "value_json": tables.encode_attribute(part)}
        for key, part in _split(text, trial_id).items()
    ]
    if rows:
        connection.execute(insert(table), rows)


def _write_by_optuna(study: optuna.Study, trial_id: int | None, new: Note) -> Note:
    """Write a note by Optuna's methods, which have no transactions; the version comes last."""
    storage, study_id = study._storage, study._study_id
    with _writing:
        attributes = storage.get_study_system_attrs(study_id)
        before = decode_note(attributes, trial_id)
        if before.version != new.version - 1:
            return before
        parts = _split(new.text, trial_id)
        old = [key for key in attributes if key.startswith(_part_prefix(trial_id))]
        for key in sorted({*parts, *old}):
            storage.set_study_system_attr(study_id, key, parts.get(key, ""))
        storage.set_study_system_attr(study_id, _version_key(trial_id), new.version)
    return new


def _find_trial_id(study: optuna.Study, number: int | None) -> int | None:
    if number is None:
        return None
    for trial in study.get_trials(deepcopy=False):
        if trial.number == number:
            return trial._trial_id
    raise StudyError(f"there is no trial {number}")


def _version_key(trial_id: int | None) -> str:
    return f"{PREFIX}note_ver" if trial_id is None else f"{PREFIX}{trial_id}:note_ver"


def _part_prefix(trial_id: int | None) -> str:
    return f"{PREFIX}note_str:" if trial_id is None else f"{PREFIX}{trial_id}:note_str:"


def _split(text: str, trial_id: int | None) -> dict[str, str]:
    starts = range(0, len(text), _PART)
    prefix = _part_prefix(trial_id)
    return {f"{prefix}{i}": text[start : start + _PART] for i, start in enumerate(starts)}
