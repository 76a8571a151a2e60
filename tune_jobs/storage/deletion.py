"""Studies that another process deleted: Optuna's errors about that, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from tune_jobs.errors import StudyNotFound
from tune_jobs.storage.database import unwrap_storage


@contextmanager
def explain_deletion(study: optuna.Study) -> Iterator[None]:
    """Say that the study was deleted, if an error was raised because of that.

    Raises:
        StudyNotFound: If any error is raised, and the study does not exist any more.
    """
    try:
        yield
    except StudyNotFound:
        raise
    except Exception as error:
        if _is_deleted(study):
            raise StudyNotFound(
                f"study {study.study_name!r} was deleted from its storage meanwhile: its trials "
                "are lost; create it again to tune it"
            ) from error
        raise


def _is_deleted(study: optuna.Study) -> bool:
    try:
        unwrap_storage(study).get_study_name_from_id(study._study_id)
    except KeyError:
        return True
    except Exception:  # a database that does not answer: the first error says so
        return False
    return False
