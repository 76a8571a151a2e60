"""The exact command lines that a definition leads to, before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.attempts import trial_attempt_name
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.core.scratch import scratch_study
from tune_jobs.errors import SpaceError
from tune_jobs.script.command_line import Invocation, format_invocation
from tune_jobs.tuning.session import TuningSpec

MAX_DRAWS = 1000


@dataclass(frozen=True, repr=False)
class Preview:
    """One sampled configuration and what would be run for it."""

    params: Mapping[str, Any]
    invocation: Invocation
    text: str

    def __repr__(self) -> str:
        return self.text


def sample_configurations(definition: TuningSpec, n: int) -> list[dict[str, Any]]:
    """Up to ``n`` configurations that the constraints accept, drawn outside of the study.

    Raises:
        SpaceError: the constraints accept none.
    """
    scratch = scratch_study(definition.study)
    accepted: list[dict[str, Any]] = []
    refusal = None
    for _ in range(MAX_DRAWS):
        params = definition.space.sample(scratch.ask())
        refusal = definition.space.refusal(params)
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


def preview(definition: TuningSpec, n: int) -> list[Preview]:
    """Sample and render; no backend is opened."""
    previews = []
    command = definition.backend.describe()["command"]
    assert isinstance(command, list)
    for number, params in enumerate(sample_configurations(definition, n)):
        folder = f"RUNS/{trial_attempt_name(number, 1)}"
        paths = RunPaths.below(folder)
        invocation = definition.command_line.render(params, paths)
        previews.append(Preview(params, invocation, format_invocation(command, invocation)))
    return previews
