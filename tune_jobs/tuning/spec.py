"""What is tuned, and how: everything that a user says about a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.backends.base import Backend
from tune_jobs.core.best_trials import find_best_trials, read_result
from tune_jobs.core.job_runs import MetricSources
from tune_jobs.core.no_best import NoBest, explain_no_best
from tune_jobs.core.objectives import Objectives
from tune_jobs.core.outcomes import Divergence
from tune_jobs.core.promotion import Promotion
from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.script.interface import ScriptInterface
from tune_jobs.space.compatibility import check_space, find_missing
from tune_jobs.space.search_space import Space
from tune_jobs.storage.bulk_read import read_ahead
from tune_jobs.storage.optuna_packages import require_packages_of_study
from tune_jobs.tuning.fingerprints import fingerprints
from tune_jobs.tuning.options import Duplicates, TunerOptions
from tune_jobs.tuning.suggest import SEED


def settable_arguments(options: TunerOptions) -> set[str]:
    """Return the arguments of the script that the tuner itself may set."""
    return {SEED} if options.promotion is None else {SEED, options.promotion.argument}


@dataclass(frozen=True)
class TuningSpec:
    """How the trials of a study are run and read."""

    study: optuna.Study
    space: Space
    backend: Backend
    objectives: Objectives
    sources: MetricSources
    command_line: ScriptInterface
    options: TunerOptions

    @property
    def promotion(self) -> Promotion | None:
        """The rungs, if configurations are promoted."""
        return self.options.promotion

    @property
    def divergence(self) -> Divergence:
        """What happens to runs whose metric is not finite."""
        return Divergence(self.options.diverged, self.options.diverged_steps)

    def find_best(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the best of the study's trials, or the Pareto front of several objectives."""
        return find_best_trials(trials, self.objectives.maximize)

    def explain_no_best(self, trials: Sequence[FrozenTrial]) -> NoBest | None:
        """Return why none of the study's trials is the best; None if one is."""
        return explain_no_best(map(read_result, trials), self.options.bounds)

    @property
    def duplicates(self) -> Duplicates:
        """What happens to a configuration that an earlier trial had; with promotion it is run."""
        return "run" if self.promotion is not None else self.options.duplicates

    def check(self) -> None:
        """Check for what would make every trial fail, before anything is spent.

        Raises:
            ConfigError: If something is wrong; the message says how to fix it.
        """
        require_packages_of_study(self.study)
        read_ahead(self.study)
        check_space(self.space, self.study)
        self.backend.check()
        self.check_described()
        self.command_line.check(self.space.names)
        if self.duplicates == "replicate" and SEED in self.space.names:
            raise ConfigError(
                f"duplicates='replicate' sets {SEED!r}, which the search space tunes: remove it "
                "from the space, or set duplicates to 'reuse' or 'run'"
            )
        if self.promotion is not None:
            self._check_promotion(self.promotion.argument)

    def check_described(self) -> None:
        """Check that the search space has every parameter that the command line describes.

        Raises:
            CommandLineError: If it does not; the message has the closest names.
            SpaceError: If the space is a function that cannot be sampled.
        """
        described = self.command_line.described - settable_arguments(self.options)
        missing = find_missing(self.space, self.study, described)
        if missing:
            self.command_line.check_described(
                self.space.names | (self.command_line.described - missing)
            )

    def _check_promotion(self, argument: str) -> None:
        if len(self.objectives.metrics) > 1:
            raise ConfigError("promotion compares one metric: remove it for several objectives")
        if argument in self.space.names:
            raise ConfigError(
                f"promotion sets {argument!r}, which the search space tunes: remove it from the "
                "space"
            )
        self.command_line.check(self.space.names, [argument])

    def check_metrics(self, earlier: Mapping[str, Any]) -> None:
        """Check that the values of the study's trials are those of the same metrics.

        Args:
            earlier: Result of `describe` in an earlier call; empty if there is none.

        Raises:
            StudyError: If complete trials have the values of other metrics.
        """
        names = [metric.name for metric in self.objectives.metrics]
        known = [str(metric["name"]) for metric in earlier.get("metrics", ())]
        if not known or names == known:
            return
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if RUN_ATTRIBUTE not in trial.user_attrs:
                continue  # not of a job run
            raise StudyError(
                f"the values of study {self.study.study_name!r}, such as that of trial "
                f"{trial.number}, are of the metric {', '.join(known)}, not of "
                f"{', '.join(names)}: use a new study name, or the metric as before"
            )

    def describe(self, run: Mapping[str, object]) -> dict[str, Any]:
        """Return what is kept with the study, to compare it and to repeat it.

        Args:
            run: What runs, as the backend's service describes it.

        Raises:
            StudyError: If a data file cannot be read.
        """
        return {
            "data": fingerprints(self.options.data),
            "space": self.space.describe(),
            "run": dict(run),
            "metrics": [
                {"name": m.name, "counts": m.counts, "pattern": m.pattern}
                for m in self.objectives.metrics
            ],
            "directions": [d.name.lower() for d in self.study.directions],
            "bounds": dict(self.options.bounds or {}),
            "sampler": type(self.study.sampler).__name__,
            "pruner": type(self.study.pruner).__name__,
            "prices": dict(self.options.prices or {}),
        }
