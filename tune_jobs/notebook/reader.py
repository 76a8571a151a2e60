"""Read one study again and again, for what follows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import optuna
from optuna.storages import RDBStorage

from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.reading import RelationalSource, read_study
from tune_jobs.storage.database import unwrap_storage


def open_reader(opened: optuna.Study) -> Callable[[], Study]:
    """Return a function that returns an Optuna study; it reads once what has finished.

    It may be called in any thread while the study is tuned.
    """
    storage = unwrap_storage(opened)
    if isinstance(storage, RDBStorage):
        study_id = storage.get_study_id_from_name(opened.study_name)
        return partial(RelationalSource(storage, "").study, str(study_id))
    return partial(read_study, opened)
