"""What a study.yaml for a script should say, and what it is known from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.init.classification import Level, Tuned
from tune_jobs.init.flags import Flag
from tune_jobs.init.metrics import MetricGuess
from tune_jobs.script.entry_point import EntryPoint


@dataclass(frozen=True)
class Entry:
    """What is run.

    Attributes:
        key: ``script``, ``module`` or ``command``.
        value: Its value in study.yaml.
        shown: How a person calls it.
        point: The entry point.
        python: Interpreter, if it is not the one that runs the tuner.
    """

    key: str
    value: str | list[str]
    shown: str
    point: EntryPoint
    python: str | None = None


@dataclass(frozen=True)
class ConfigDraft:
    """Configuration file that is written for each run.

    Attributes:
        name: Its path in the run's working folder.
        template: Its contents.
    """

    name: str
    template: Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """Contents of a study.yaml.

    Attributes:
        study: Name of the study.
        entry: What is run.
        parser: How the script takes its settings, such as ``argparse``; empty if it takes none.
        notes: What a person has to know about the script.
        metrics: Metrics that it prints, the most suitable first.
        unprinted: Metrics that it has, but does not print.
        levels: Its flags.
        links: What is linked into each run.
        budget: Flag that makes a run short.
        config: Configuration file that is written for each run.
        constants: Hyperparameters that are written into the source.
        reads_argv: Whether it reads ``sys.argv`` in a way that is not recognized.
    """

    study: str
    entry: Entry
    parser: str
    notes: Sequence[str] = ()
    metrics: Sequence[MetricGuess] = ()
    unprinted: Sequence[MetricGuess] = ()
    levels: Sequence[Level] = ()
    links: Sequence[str] = ()
    budget: Flag | None = None
    config: ConfigDraft | None = None
    constants: Sequence[str] = ()
    reads_argv: bool = False

    @property
    def tuned(self) -> list[Tuned]:
        """Flags to tune, of all levels."""
        return [each for level in self.levels for each in level.tuned]

    @property
    def offered(self) -> list[Tuned]:
        """Flags that may be tuned as well."""
        return [each for level in self.levels for each in level.offered]

    @property
    def required_variables(self) -> list[Flag]:
        """Environment variables that are not tuned, but have to be set."""
        return [each for level in self.levels for each in level.variables if each.required]

    @property
    def metric(self) -> MetricGuess | None:
        """The metric to optimize; None if a person has to name it."""
        return self.metrics[0] if self.metrics else None
