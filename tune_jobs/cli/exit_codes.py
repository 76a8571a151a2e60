"""The exit codes of ``tune-jobs``: what a pipeline can rely on."""

from __future__ import annotations

from collections.abc import Mapping

from tune_jobs.errors import ConfigError, StudyError, TuneJobsError, TuningStopped
from tune_jobs.storage.database_errors import explain_database_error, is_database_error

SUCCESS, FAILED, INVALID, UNUSABLE, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES: Mapping[int, str] = {
    SUCCESS: "Success. Of `run`: the study has a complete trial, and tuning ended with `n_trials`, "
    "a limit on time, run hours or cost, `target`, `patience`, `stop`, or because nothing was left "
    "to try; `ended` in the output of `--json` says which.",
    FAILED: "No usable result: no trial of the study is complete, a limit on failures was "
    "exceeded, the final run failed, `check` found a problem or read nothing, or a command to "
    "another process was not executed in time.",
    INVALID: "The command line or study.yaml is invalid; nothing was started.",
    UNUSABLE: "The study, the store or the backend cannot be used: it does not exist, does not "
    "respond, another process owns it, or it has no feasible trial to train; or this "
    "machine has no disk space, files, processes or memory left to run jobs.",
    INTERRUPTED: "Interrupted by Ctrl-C or SIGTERM; the same command resumes.",
}
"""What each exit code means, in Markdown."""


def find_exit_code(error: TuneJobsError) -> int:
    """Return the exit code for an error."""
    if isinstance(error, TuningStopped):
        return FAILED
    return INVALID if isinstance(error, ConfigError) else UNUSABLE


def find_known_error(error: Exception) -> TuneJobsError | None:
    """Return an error whose message says what to do; None for errors of tune_jobs itself."""
    if isinstance(error, TuneJobsError):
        return error
    if is_database_error(error):
        return StudyError(f"the database does not answer: {explain_database_error(error)}")
    return None
