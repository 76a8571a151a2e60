"""The job of an examination, whose runs start the probe of `tune_jobs.runtime.probe`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.artifact import START_SCRIPT, pack_folder
from tune_jobs.backends.data_science.job_details import ENTRYPOINT, build_settings
from tune_jobs.backends.data_science.new_job import NewJob
from tune_jobs.runtime.package import copy_runtime

OWN_ARGUMENT = "--of-the-job"
JOB_ENV = {
    "TUNE_JOBS_PROBE_JOB": "job",
    "TUNE_JOBS_PROBE_BOTH": "job",
    "TUNE_JOBS_PROBE_SAMPLE": 'two  blanks, "quotes", it\'s ü',
}
MAX_MINUTES = 30
"""Time limit of a run."""

_KEPT = (
    *("projectId", "compartmentId"),
    *("jobInfrastructureConfigurationDetails", "jobLogConfigurationDetails"),
)
"""What the probe's job has in common with the study's."""

_START = '''\
"""Start the probe of tune_jobs; see tune_jobs/runtime/probe.py."""
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from tune_jobs.runtime.probe import main

sys.exit(main(sys.argv[1:], here))
'''


@dataclass(frozen=True)
class Labels:
    """Name and tags of the job."""

    name: str
    tags: Mapping[str, str]


def build_artifact(workspace: Path) -> Path:
    """Write the archive with the probe into a folder; return its path."""
    unpacked = workspace / "probe"
    unpacked.mkdir()
    (unpacked / START_SCRIPT).write_text(_START)
    copy_runtime(unpacked)
    return pack_folder(unpacked, workspace / "probe.zip")


def keep_conda(env: Mapping[str, str]) -> dict[str, str]:
    """Return those of a job's variables that choose its conda environment."""
    return {name: value for name, value in env.items() if name.startswith("CONDA_ENV")}


def build_probe(job: Mapping[str, Any], artifact: Path, labels: Labels) -> NewJob:
    """Return a job with the probe, on what a study's job runs on.

    Args:
        job: The study's job, or the body of ``CreateJob``, as the REST API spells it.
        artifact: The archive of the probe.
        labels: Name and tags of the job.
    """
    own = (job.get("jobConfigurationDetails") or {}).get("environmentVariables") or {}
    env = {**keep_conda(own), **JOB_ENV, ENTRYPOINT: START_SCRIPT}
    kept = {name: job[name] for name in _KEPT if job.get(name) is not None}
    settings = build_settings(env, [OWN_ARGUMENT], MAX_MINUTES)
    probe = NewJob({**kept, "jobConfigurationDetails": settings}, artifact)
    return probe.label(labels.name, labels.tags)
