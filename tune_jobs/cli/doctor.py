"""``tune-jobs doctor``: what works in the tenancy of a study on OCI, before money is spent."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tune_jobs.backends.data_science.backend import DataScienceBackend
from tune_jobs.cli.commands import Commands
from tune_jobs.cli.exit_codes import FAILED, SUCCESS
from tune_jobs.cli.output import print_result
from tune_jobs.config.backend import make_backend
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.private_files import open_private


def add_doctor_command(commands: Commands) -> None:
    """Add the command of this module."""
    doctor = commands.add_for_study(
        "doctor",
        _examine,
        "check policies, limits and assumptions about OCI in the tenancy of a study",
    )
    doctor.add_argument(
        "--run",
        action="store_true",
        help="also start two small job runs, which cost a few minutes of the study's shape",
    )
    doctor.add_argument(
        "--output", type=Path, metavar="FILE", help="write the report, without secrets, as JSON"
    )


def _examine(options: argparse.Namespace, config: StudyConfig) -> int:
    if options.output is not None:
        check_output(options.output)
    backend = make_backend(config, options.file.absolute().parent)
    if not isinstance(backend, DataScienceBackend):
        raise ConfigError(
            f"{options.file} runs its jobs on this machine, and doctor examines OCI: "
            "`tune-jobs check` runs one trial; for OCI, set `backend: {type: data_science, ...}`"
        )
    backend.check()
    report = backend.doctor(
        str(config.options.store or backend.default_store),
        storage=config.storage,
        run=options.run,
        max_parallel=config.options.max_parallel,
        prices=config.options.prices,
        notice=lambda line: print(line, file=sys.stderr),
    )
    facts = report.to_dict()
    print_result(options, facts, str(report))
    if options.output is not None:
        with open(options.output, "w", encoding="utf-8", opener=open_private) as file:
            file.write(encode_json(facts, indent=2) + "\n")
    return SUCCESS if report.is_good else FAILED


def check_output(path: Path) -> None:
    """Check that a report can be written, before runs are paid for.

    Raises:
        ConfigError: If there is no folder for it, or it is a folder itself.
    """
    if not path.absolute().parent.is_dir():
        raise ConfigError(
            f"--output {path}: there is no folder {path.absolute().parent}: create it"
        )
    if path.is_dir():
        raise ConfigError(f"--output {path} is a folder: use {path}/doctor.json")
    existing = path if path.exists() else path.absolute().parent
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"--output {path}: {existing} cannot be written: name another file")
