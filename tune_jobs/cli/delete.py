"""``tune-jobs delete``: remove a study and everything that it left."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from tune_jobs.cli.commands import Commands, open_tuner
from tune_jobs.cli.exit_codes import FAILED, SUCCESS
from tune_jobs.cli.output import print_result
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.core.snapshot import Verbosity
from tune_jobs.detached.launching import record_ends
from tune_jobs.errors import ConfigError
from tune_jobs.notebook.panels import open_progress
from tune_jobs.storage.deletion import explain_deletion
from tune_jobs.tuning.messages import Messages
from tune_jobs.tuning.removal import Removal, plan_removal, remove_study
from tune_jobs.tuning.session import Session

_VERBOSITY: Verbosity = "normal"


def add_delete_command(commands: Commands) -> None:
    """Add the command of this module."""
    delete = commands.add_for_study(
        "delete", _delete, "remove a study: its trials, its records, and all files of its runs"
    )
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _delete(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    with explain_deletion(tuner.study):
        messages = Messages(open_progress(True, verbosity=_VERBOSITY), _VERBOSITY)
        with Session(tuner.definition) as session:
            record_ends(session)
        removal = plan_removal(tuner.definition, messages)
        if not options.yes and not _confirm(removal):
            print("nothing was removed", file=sys.stderr)
            return FAILED
        remove_study(tuner.definition, removal, messages)
    print_result(options, dataclasses.asdict(removal), f"removed {removal}")
    return SUCCESS


def _confirm(removal: Removal) -> bool:
    """Ask for the study's name.

    Raises:
        ConfigError: If there is no terminal to answer the question.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"delete asks before it removes {removal}. In a script, add --yes")
    print(f"This removes {removal}.", file=sys.stderr)
    print(f"Type the study's name to remove it ({removal.study}): ", end="", file=sys.stderr)
    return sys.stdin.readline().strip() == removal.study
