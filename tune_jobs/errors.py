"""The errors that tune_jobs raises.

    TuneJobsError
    ├── ConfigError         study.yaml, or an argument of a constructor, is wrong
    │   ├── SpaceError      the search space is empty, contradictory or does not fit the study
    │   ├── CommandLineError  a parameter cannot be written on the script's command line
    │   └── MetricError     a metric's definition cannot be used
    ├── StudyError          the study cannot be tuned as asked (direction, owner, storage)
    ├── StoreError          the metric store cannot be read or written
    ├── BackendError        the backend cannot run job runs at all
    │   └── SubmitError     this one job run cannot be started
    └── TuningStopped       the tuner gave up; the message names the limit that fired

Every message names the thing, its value and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection


class TuneJobsError(Exception):
    """Base of every error that tune_jobs raises on purpose."""


class ConfigError(TuneJobsError):
    """A definition is wrong: study.yaml, or an argument of a constructor."""


class SpaceError(ConfigError):
    """The search space is empty, contradictory, or does not fit the study."""


class CommandLineError(ConfigError):
    """A parameter cannot be written on the script's command line as described."""


class MetricError(ConfigError):
    """A metric's definition cannot be used."""


class StudyError(TuneJobsError):
    """The study cannot be tuned as asked."""


class StoreError(TuneJobsError):
    """The metric store cannot be read or written."""


class BackendError(TuneJobsError):
    """The backend cannot run job runs at all."""


class SubmitError(BackendError):
    """This one job run cannot be started; others may."""


class TuningStopped(TuneJobsError):
    """The tuner gave up before its budget was used; the message names the limit that fired."""


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"(did you mean {near[0]!r}?)"
    return f"(known: {', '.join(sorted(known))})" if known else "(none is known here)"
