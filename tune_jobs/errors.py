"""The errors that tune_jobs raises.

    TuneJobsError
    ├── ConfigError           an argument, or a value in study.yaml, is invalid
    │   ├── ArgumentError     a function has no such argument, or one is missing
    │   ├── SpaceError        the search space is empty, contradictory or incompatible
    │   ├── CommandLineError  a parameter cannot be passed to the script
    │   ├── MetricError       the definition of a metric is invalid
    │   ├── MissingPackage    a package that the feature needs is not installed
    │   └── ComparisonError   the studies cannot be compared
    ├── StudyError            the study cannot be used as requested (direction, owner, storage)
    │   └── StudyNotFound     the storage has no such study
    ├── SamplerError          the sampler of the study raised an error
    ├── StoreError            the metric store cannot be read or written
    ├── BackendError          the backend cannot start any job run
    │   ├── MachineTrouble    this machine cannot run jobs now; live runs continue
    │   │   └── DatabaseTrouble   it cannot write the study's database (also a StudyError)
    │   └── SubmitError       the backend cannot start this job run
    └── TuningStopped         a limit on failures was exceeded
        └── FinalRunFailed    the final run failed

Every message names the thing, its value and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec


class TuneJobsError(Exception):
    """Base class of all errors that tune_jobs raises."""


class ConfigError(TuneJobsError):
    """An argument, or a value in study.yaml, is invalid."""


class ArgumentError(ConfigError, TypeError):
    """A function has no such argument, or an argument is missing.

    Also a ``TypeError``, which Python raises.
    """


class SpaceError(ConfigError):
    """The search space is empty, contradictory, or incompatible with the study."""


class CommandLineError(ConfigError):
    """A parameter cannot be passed to the script as described."""


class MetricError(ConfigError):
    """The definition of a metric is invalid."""


class MissingPackage(ConfigError, ImportError):
    """A package that a feature needs is not installed.

    Also an ``ImportError``, which code that tries an import expects.
    """


class ComparisonError(ConfigError, ValueError):
    """The studies cannot be compared.

    Also a ``ValueError``, which earlier releases raised.
    """


class StudyError(TuneJobsError):
    """The study cannot be used as requested."""


class StudyNotFound(StudyError, KeyError):
    """The storage has no such study.

    Also a ``KeyError``, which Optuna raises.
    """

    def __str__(self) -> str:
        return Exception.__str__(self)  # that of KeyError is a repr


class SamplerError(TuneJobsError):
    """The sampler of the study raised an error; the message names both."""


class StoreError(TuneJobsError):
    """The metric store cannot be read or written.

    Args:
        message: What failed, and why.
        has_advice: Whether the message says already what to do.
    """

    def __init__(self, message: str, *, has_advice: bool = False) -> None:
        super().__init__(message)
        self.has_advice = has_advice


class BackendError(TuneJobsError):
    """The backend cannot start any job run."""


class MachineTrouble(BackendError):
    """This machine cannot run jobs now, for a reason outside of the study.

    Such as a full disk, or a local host that does not answer. Live runs continue, and the next call
    adopts them.
    """


class DatabaseTrouble(StudyError, MachineTrouble):
    """This machine cannot write the study's database now, for example to a full disk."""


class SubmitError(BackendError):
    """The backend cannot start this job run; other runs may start."""


class TuningStopped(TuneJobsError):
    """A limit on failures was exceeded; the message names the limit."""


class FinalRunFailed(TuningStopped):
    """The final run failed; the message includes the end of its log."""


def require_package(feature: str, package: str, *, extra: str = "", module: str = "") -> None:
    """Check that an optional package is installed.

    Args:
        feature: What needs it, such as "the dashboard".
        package: Its name.
        extra: The extra of tune_jobs that installs it, if there is one.
        module: The module that it provides, if that has another name.

    Raises:
        MissingPackage: If it is not; the message says what to install.
    """
    try:
        found = find_spec(module or package)
    except ImportError:
        found = None
    if found is None:
        requirement = f"'tune_jobs[{extra}]'" if extra else package
        raise MissingPackage(f"{feature} needs {package!r}: pip install {requirement}")


SYNONYMS: Mapping[str, Sequence[str]] = {
    "max": ("maximize", "high"),
    "min": ("minimize", "low"),
    "uniform": ("float",),
    "loguniform": ("float",),
    "double": ("float",),
    "integer": ("int",),
    "choice": ("choices", "categorical"),
    "values": ("choices",),
    "direction": ("goal",),
    "goal": ("direction",),
    "mode": ("direction",),
    "maximize": ("direction",),
    "minimize": ("direction",),
    "n_jobs": ("max_parallel",),
    "n_workers": ("max_parallel",),
    "max_workers": ("max_parallel",),
    "concurrency": ("max_parallel",),
    "max_concurrent": ("max_parallel",),
    "max_concurrent_trials": ("max_parallel",),
    "parallelism": ("max_parallel",),
    "n_iter": ("n_trials",),
    "num_samples": ("n_trials",),
    "max_trials": ("n_trials",),
    "max_evals": ("n_trials",),
    "params": ("space", "parameters"),
    "search_space": ("space", "parameters"),
    "param_space": ("space", "parameters"),
    "param_distributions": ("space", "parameters"),
    "name": ("type",),
    "objective": ("metric",),
    "show_progress_bar": ("progress",),
    "verbose": ("verbosity",),
    "seed": ("sampler",),
    "environment": ("env",),
    "eta": ("factor",),
    "reduction_factor": ("factor",),
    "min_resource": ("minimum",),
    "max_resource": ("maximum",),
    "time_limit": ("timeout",),
    "timeout": ("time_limit",),
}
"""Words of other libraries, and ours for the same; those that are spelled alike are found."""


def suggest(word: str, known: Collection[str]) -> str:
    """Return ``(did you mean 'x'?)`` for the closest known word, or an empty string."""
    near = [name for name in SYNONYMS.get(word, ()) if name in known]
    near = near or difflib.get_close_matches(word, known, n=1)
    return f"(did you mean {near[0]!r}?)" if near else ""


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a hint about an unknown word: the closest known word, or all known words."""
    listed = f"(known: {', '.join(sorted(known))})" if known else "(none is known here)"
    return suggest(word, known) or listed
