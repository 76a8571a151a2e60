"""Build the tuner that a study.yaml describes, and open its study."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import optuna

from tune_jobs.config.backend import make_backend
from tune_jobs.config.study_config import StudyConfig, make_pruner, make_sampler
from tune_jobs.core.snapshot import Verbosity
from tune_jobs.errors import StudyError, StudyNotFound, TuneJobsError
from tune_jobs.runtime.private_files import make_folders
from tune_jobs.storage.connecting import open_or_create_study, open_storage
from tune_jobs.storage.database_errors import explain_database_error
from tune_jobs.storage.opening import find_missing_database, find_missing_file
from tune_jobs.tuner import Tuner

_SQLITE = "sqlite:///"


def build_tuner(
    config: StudyConfig,
    file: Path,
    study: optuna.Study | None = None,
    verbosity: Verbosity | None = None,
) -> Tuner:
    """Build the tuner that a study.yaml describes.

    Args:
        config: Contents of the file.
        file: Path of the file; paths in it are relative to its folder.
        study: The study; by default it is opened or created.
        verbosity: Replaces the file's.

    Raises:
        ConfigError: If something that the file names cannot be used.
        StudyError: If the study exists with other directions.
    """
    folder = file.absolute().parent
    options = replace(
        config.options,
        store=_resolve_store(os.fspath(config.options.store or "runs"), folder),
        data=[folder / path for path in config.options.data],
        verbosity=verbosity or config.options.verbosity,
    )
    study = study or _create_study(config, file)
    return Tuner(study, config.space, make_backend(config, folder), **vars(options))


def open_study(config: StudyConfig, file: Path) -> optuna.Study:
    """Open the study of a study.yaml.

    Raises:
        StudyError: If the study does not exist, or its storage cannot be opened.
    """
    storage = resolve_storage(config, file)
    try:
        with _opening(config, file):
            if missing := find_missing_database(storage):
                raise KeyError(missing)  # instead of leaving an empty database behind
            return optuna.load_study(
                study_name=config.study,
                storage=open_storage(storage),
                sampler=make_sampler(config),
                pruner=make_pruner(config),
            )
    except KeyError:
        raise StudyNotFound(
            f"there is no study {config.study!r} yet: `tune-jobs run {file}` creates it"
        ) from None


def open_or_imitate_study(config: StudyConfig, file: Path) -> optuna.Study:
    """Return the study, or one like it in memory if it does not exist: a check must not create it.

    Raises:
        StudyError: If its storage cannot be opened.
    """
    try:
        return open_study(config, file)
    except StudyNotFound:
        return optuna.create_study(
            study_name=config.study,
            directions=list(config.directions),
            sampler=make_sampler(config),
            pruner=make_pruner(config),
        )


def _create_study(config: StudyConfig, file: Path) -> optuna.Study:
    storage = resolve_storage(config, file)
    if path := find_missing_file(storage):
        try:
            make_folders(path.parent)
        except OSError as error:
            raise StudyError(
                f"{file}: storage: the folder {path.parent} cannot be created: {error.strerror}; "
                "name a folder that you may write to"
            ) from None
    with _opening(config, file):
        study = open_or_create_study(
            config.study,
            open_storage(storage),
            storage,
            config.directions,
            make_sampler(config),
            make_pruner(config),
        )
    existing = [direction.name.lower() for direction in study.directions]
    if existing != list(config.directions):
        raise StudyError(
            f"{config.places.get('direction', file)}: study {config.study!r} exists with direction "
            f"{', '.join(existing)}, not {', '.join(config.directions)}: use another study name"
        )
    return study


@contextmanager
def _opening(config: StudyConfig, file: Path) -> Iterator[None]:
    """Convert the errors of a storage that cannot be opened; a missing study is a KeyError."""
    try:
        yield
    except (KeyError, TuneJobsError):
        raise
    except Exception as error:  # each database driver has errors of its own
        place = config.places.get("storage", file)
        problem = explain_database_error(error, resolve_storage(config, file))
        raise StudyError(f"{place}: the storage cannot be opened: {problem}") from error


def resolve_storage(config: StudyConfig, file: Path) -> str:
    """Return the storage URL of a study.yaml; a relative SQLite path is relative to the file."""
    if not config.storage.startswith(_SQLITE) or config.storage == _SQLITE:
        return config.storage
    return f"{_SQLITE}{file.absolute().parent / config.storage.removeprefix(_SQLITE)}"


def _resolve_store(store: str, folder: Path) -> str:
    return store if "://" in store else os.path.normpath(folder / store)
