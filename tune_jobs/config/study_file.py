"""From a study.yaml to a tuner: what the file names is opened, relative to the file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import optuna

from tune_jobs.config.backend import make_backend
from tune_jobs.config.study_config import StudyConfig, make_pruner, make_sampler
from tune_jobs.errors import StudyError
from tune_jobs.tuner import Tuner

_SQLITE = "sqlite:///"


def build_tuner(config: StudyConfig, file: Path, study: optuna.Study | None = None) -> Tuner:
    """Build the tuner that a study.yaml describes.

    Args:
        config: Contents of the file.
        file: Path of the file; paths in it are relative to its folder.
        study: The study; by default it is opened or created.

    Raises:
        ConfigError: If something that the file names cannot be used.
        StudyError: If the study exists with other directions.
    """
    folder = file.absolute().parent
    options = replace(
        config.options,
        store=_resolve_store(os.fspath(config.options.store or "runs"), folder),
        data=[folder / path for path in config.options.data],
    )
    study = study or _create_study(config, file)
    return Tuner(study, config.space, make_backend(config, folder), **vars(options))


def open_study(config: StudyConfig, file: Path) -> optuna.Study:
    """The study of a study.yaml, which must exist.

    Raises:
        StudyError: it does not.
    """
    storage = storage_of_file(config, file)
    path = storage.removeprefix(_SQLITE)
    try:
        if storage.startswith(_SQLITE) and not Path(path).exists():
            raise KeyError(path)  # do not leave an empty database behind
        return optuna.load_study(
            study_name=config.study,
            storage=storage,
            sampler=make_sampler(config),
            pruner=make_pruner(config),
        )
    except KeyError:
        raise StudyError(
            f"there is no study {config.study!r} yet: `tune-jobs run {file}` starts it"
        ) from None


def _create_study(config: StudyConfig, file: Path) -> optuna.Study:
    study = optuna.create_study(
        study_name=config.study,
        storage=storage_of_file(config, file),
        directions=list(config.directions),
        sampler=make_sampler(config),
        pruner=make_pruner(config),
        load_if_exists=True,
    )
    have = [d.name.lower() for d in study.directions]
    if have != list(config.directions):
        raise StudyError(
            f"{config.places.get('direction', file)}: study {config.study!r} exists and is to "
            f"{', '.join(have)}, not to {', '.join(config.directions)}: use another study name"
        )
    return study


def storage_of_file(config: StudyConfig, file: Path) -> str:
    """The storage that a study.yaml names; a relative SQLite file lies beside it."""
    if not config.storage.startswith(_SQLITE) or config.storage == _SQLITE:
        return config.storage
    path = file.absolute().parent / config.storage.removeprefix(_SQLITE)
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"{_SQLITE}{path}"


def _resolve_store(store: str, folder: Path) -> str:
    return store if "://" in store else os.path.normpath(folder / store)
