"""The provenance of a final run: everything that it can be repeated from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions, version
from typing import Any, cast

from optuna.trial import FrozenTrial

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.core.strict_json import encode_json
from tune_jobs.metric_store.outputs import find_left_files
from tune_jobs.runtime.left_files import portable_name
from tune_jobs.script.invocation_text import format_invocation
from tune_jobs.tuning.session import RunSession


@dataclass(frozen=True)
class FinalRequest:
    """What a final run trains.

    Args:
        trial: The trial whose configuration is trained.
        params: That configuration.
        arguments: Arguments to add or to replace.
        resources: What the run gets instead of the job's own resources.
    """

    trial: FrozenTrial
    params: Mapping[str, Any]
    arguments: Mapping[str, Any]
    resources: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Identifies the configuration and the arguments, as the ledger records them."""
        what: dict[str, Any] = {
            "trial": self.trial.number,
            "params": self.params,
            "arguments": self.arguments,
        }
        if self.resources:
            what["resources"] = dict(self.resources)
        return encode_json(what, sort_keys=True, default=repr)


def provenance_path(attempt: Attempt) -> str:
    """Return where a final run's provenance is, below the study's folder in the store."""
    return f"runs/{attempt.name}/provenance.json"


def describe_final_run(
    session: RunSession,
    request: FinalRequest,
    attempt: Attempt,
    data: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    """Return the provenance of a final run.

    Args:
        request: What it trained.
        attempt: Its attempt, closed.
        data: Fingerprints of data files.
        metrics: The last value of each metric.
    """
    run = session.service.describe()
    command = cast("list[str]", run["command"])
    here = RunPaths.below("repeat")
    repeated = session.spec.command_line.render(request.params, here, request.arguments)
    return {
        "study": {"name": session.spec.study.study_name, "uid": session.ledger.uid},
        "trial": {"number": request.trial.number, "values": request.trial.values},
        "parameters": request.params,
        "arguments": request.arguments,
        "command": [*command, *attempt.invocation.argv],
        "environment": attempt.invocation.env,
        "files": attempt.invocation.files,
        "repeat": format_invocation(command, repeated),
        "code": {k: v for k, v in run.items() if k != "command"},
        "data": data,
        "versions": _versions(),
        "times": {
            "intended": attempt.intended,
            "started": attempt.started,
            "finished": attempt.finished,
        },
        "metrics": dict(metrics),
        "outputs": [portable_name(path) for path in session.store.outputs(attempt.name)],
        "left": [portable_name(each.path) for each in find_left_files(session.store, attempt)],
    }


def _versions() -> dict[str, Any]:
    packages = {d.metadata["Name"]: d.version for d in distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "tune_jobs": version("tune_jobs") if "tune_jobs" in packages else "a checkout",
        "packages": dict(sorted(packages.items())),
    }
