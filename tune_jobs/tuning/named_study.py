"""The study that a tuner is given: an Optuna study, or the name of one in a database beside."""

from __future__ import annotations

from pathlib import Path

import optuna

from tune_jobs.arguments.type_checks import invalid
from tune_jobs.core.objectives import Metric
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.storage.connecting import connect, open_or_create_study
from tune_jobs.storage.database_errors import explain_database_error
from tune_jobs.storage.opening import find_missing_file

_NAME = (
    "a name; pass optuna.create_study(study_name=..., storage=...) for a study in the storage of "
    "a URL"
)


def open_study(
    study: optuna.Study | str, direction: str | None, metrics: tuple[Metric, ...]
) -> optuna.Study:
    """Return the study; one that is named is opened or created.

    Raises:
        ConfigError: If a study would be created without a direction.
        StudyError: If the study exists with another direction, or cannot be opened.
    """
    if isinstance(study, str) and "://" in study:
        raise invalid("study", study, _NAME)
    if not isinstance(study, str | optuna.Study) or study == "":
        raise invalid("study", study, "an Optuna study, or the name of one")
    if isinstance(study, str):
        study = _open_named(study, direction, metrics)
    if direction is not None and [d.name.lower() for d in study.directions] != [direction]:
        existing = ", ".join(d.name.lower() for d in study.directions)
        raise StudyError(
            f"study {study.study_name!r} exists with direction {existing}, not {direction}: "
            "use another study name, or remove direction="
        )
    return study


def _open_named(name: str, direction: str | None, metrics: tuple[Metric, ...]) -> optuna.Study:
    url = f"sqlite:///{name}.db"
    try:
        if find_missing_file(url) is None and name in optuna.get_all_study_names(url):
            return optuna.load_study(study_name=name, storage=url)
        _check_direction(name, url, direction, metrics)
        return open_or_create_study(name, connect(url), url, [str(direction)])
    except ConfigError:
        raise
    except Exception as error:  # a driver's, such as of a file that is no database
        raise StudyError(
            f"the database {Path(f'{name}.db')} of study {name!r} cannot be opened: "
            f"{explain_database_error(error, url)}. Use another name, or pass an Optuna study"
        ) from error


def _check_direction(
    name: str, url: str, direction: str | None, metrics: tuple[Metric, ...]
) -> None:
    """Check the direction of a study that is to be created; Optuna would minimize silently."""
    if len(metrics) > 1:
        raise ConfigError(
            f"study {name!r} does not exist yet, and {len(metrics)} metrics need a direction each: "
            f"pass optuna.create_study(study_name={name!r}, storage={url!r}, "
            f"directions={['maximize'] * len(metrics)!r}), each 'maximize' or 'minimize'"
        )
    if direction is None:
        raise ConfigError(
            f"metric {metrics[0].name!r} has no direction: add direction='maximize' or "
            "direction='minimize'"
        )
