"""Ends of runs whose runner could not work: told apart from failures of the script."""

from __future__ import annotations

from dataclasses import replace

from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import Folder
from tune_jobs.runtime.refusals import BEGUN, describe_refusal
from tune_jobs.runtime.runner import NOT_UPLOADED


def explain_end(folder: Folder, store: str, update: RunUpdate) -> RunUpdate:
    """Return the end of a run with the runner, explained if it was the runner's.

    Args:
        folder: The study's folder in the metric store.
        store: Its URI.
        update: The end of the run.
    """
    if update.state is not RunState.FAILED or update.exit_code is None:
        return update
    refusal = describe_refusal(update.exit_code, store)
    if refusal and not _exists(folder, BEGUN.format(run=update.name)):
        return replace(update, exit_code=None, cause=refusal, transient=True, fatal=True)
    if update.exit_code == NOT_UPLOADED and not _exists(folder, f"runs/{update.name}/run.jsonl"):
        cause = f"exit code {NOT_UPLOADED}: its results could not be uploaded; its log says why"
        return replace(update, cause=cause, transient=True)
    return update


def _exists(folder: Folder, path: str) -> bool:
    try:
        folder.read(path)
    except (FileNotFoundError, StoreError):
        return False
    return True
