"""``tune-jobs run --detach``: launch a controller, and say how to follow it."""

from __future__ import annotations

import argparse
import dataclasses

from tune_jobs.cli.exit_codes import SUCCESS
from tune_jobs.cli.output import print_result
from tune_jobs.config.backend import make_controller
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.config.study_file import build_tuner
from tune_jobs.detached.handle import DetachedStudy
from tune_jobs.detached.recipe import Call
from tune_jobs.storage.owner_identity import describe


def launch_controller(options: argparse.Namespace, config: StudyConfig, call: Call) -> int:
    """Launch a controller of a study.yaml; returns the exit code."""
    tuner = build_tuner(config, options.file, verbosity=options.verbosity)
    folder = options.file.absolute().parent
    detached = tuner.launch(call, make_controller(config, folder))
    record = detached.controller
    facts = {
        "study": config.study,
        "storage": detached.storage,
        "controller": dataclasses.asdict(record),
    }
    print_result(options, facts, _describe(options, config, detached))
    return SUCCESS


def _describe(options: argparse.Namespace, config: StudyConfig, detached: DetachedStudy) -> str:
    record, file = detached.controller, options.file
    where = describe(record.run_id) if record.place == "local" else f"job run {record.run_id}"
    attach = f"Tuner.attach({config.study!r}, {detached.storage!r})"
    rows = {
        f"tune-jobs watch {file}": "show the progress",
        f"tune-jobs logs {file} {record.name} -f": "what the controller prints",
        f"tune-jobs stop {file}": "end; live runs finish, or with --cancel-runs are stopped",
        f"tune-jobs ps {file}": "what runs where",
    }
    width = max(len(command) for command in rows)
    return "\n".join(
        [
            f"{config.study}: {record.name} is {where}, and continues without this terminal",
            f"its log: {record.log}",
            *(f"  {command:<{width}}  {text}" for command, text in rows.items()),
            f"in Python: {attach}",
        ]
    )
