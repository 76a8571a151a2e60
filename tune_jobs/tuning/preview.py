"""The exact command lines that a definition leads to, before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.attempts import Invocation, trial_attempt_name
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.core.scratch import scratch_study
from tune_jobs.errors import SpaceError
from tune_jobs.script.invocation_text import format_invocation
from tune_jobs.tuning.spec import TuningSpec

MAX_DRAWS = 1000
"""Configurations to draw before the space counts as empty."""


@dataclass(frozen=True, repr=False)
class Preview:
    """A sampled configuration and what would be run for it."""

    params: Mapping[str, Any]
    invocation: Invocation
    text: str

    def __repr__(self) -> str:
        return self.text


def sample_configurations(spec: TuningSpec, n: int) -> list[dict[str, Any]]:
    """Return up to ``n`` configurations that the constraints accept, drawn outside of the study.

    Raises:
        SpaceError: If the constraints accept none.
    """
    scratch = scratch_study(spec.study)
    accepted: list[dict[str, Any]] = []
    refusal = None
    for _ in range(MAX_DRAWS):
        params = spec.space.sample(scratch.ask())
        refusal = spec.space.refusal(params)
        if refusal is None:
            accepted.append(params)
        if len(accepted) == n:
            break
    if not accepted:
        raise SpaceError(
            f"{MAX_DRAWS} configurations in a row were refused ({refusal}): the constraints leave "
            "(almost) nothing of the search space"
        )
    return accepted


def preview(spec: TuningSpec, n: int) -> list[Preview]:
    """Sample and render ``n`` configurations; no backend is opened."""
    spec.check_described()
    previews = []
    command = spec.backend.describe()["command"]
    assert isinstance(command, list)
    for number, params in enumerate(sample_configurations(spec, n)):
        paths = RunPaths.below(f"RUNS/{trial_attempt_name(number, 1)}")
        invocation = spec.command_line.render(params, paths)
        previews.append(Preview(params, invocation, format_invocation(command, invocation)))
    return previews
