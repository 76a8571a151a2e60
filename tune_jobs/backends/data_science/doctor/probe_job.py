"""The job of an examination, whose runs start the probe of `tune_jobs.runtime.probe`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.artifact import ENTRYPOINT, START_SCRIPT, pack_folder
from tune_jobs.backends.data_science.job import label_job
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.package import copy_runtime

OWN_ARGUMENT = "--of-the-job"
JOB_ENV = {
    "TUNE_JOBS_PROBE_JOB": "job",
    "TUNE_JOBS_PROBE_BOTH": "job",
    "TUNE_JOBS_PROBE_SAMPLE": 'two  blanks, "quotes", it\'s ü',
}
MAX_MINUTES = 30
"""Time limit of a run."""

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


def create_like(
    job: Any, env: Mapping[str, str], artifact: Path, connection: Connection, labels: Labels
) -> str:
    """Create the job with ADS, on what a job of ADS would run on; return its OCID.

    Args:
        job: The study's ``ads.jobs.Job``, which is not created.
        env: Its environment variables.
        artifact: The archive of the probe.
        connection: The connection to OCI.
        labels: Name and tags of the job.
    """
    from ads.jobs import Job, ScriptRuntime

    runtime = ScriptRuntime().with_source(str(artifact), entrypoint=START_SCRIPT)
    runtime.with_environment_variable(**keep_conda(env), **JOB_ENV)
    runtime.with_argument(OWN_ARGUMENT)
    runtime.with_maximum_runtime_in_minutes(MAX_MINUTES)
    bare = Job(name="probe").with_infrastructure(job.infrastructure).with_runtime(runtime)
    labeled = label_job(bare, connection, labels.name, labels.tags)
    labeled.create()
    return str(labeled.id)


def create_copy(client: Any, model: Any, artifact: Path, labels: Labels) -> str:
    """Create the job on what an existing job runs on; return its OCID."""
    import oci

    models = oci.data_science.models
    own = getattr(model.job_configuration_details, "environment_variables", None) or {}
    details = models.CreateJobDetails(
        project_id=model.project_id,
        compartment_id=model.compartment_id,
        job_configuration_details=models.DefaultJobConfigurationDetails(
            environment_variables={**keep_conda(own), **JOB_ENV, ENTRYPOINT: START_SCRIPT},
            command_line_arguments=shlex.join([OWN_ARGUMENT]),
            maximum_runtime_in_minutes=MAX_MINUTES,
        ),
        job_infrastructure_configuration_details=model.job_infrastructure_configuration_details,
        job_log_configuration_details=model.job_log_configuration_details,
        display_name=labels.name,
        freeform_tags=dict(labels.tags),
    )
    job_id = str(client.create_job(details).data.id)
    disposition = f"attachment; filename={artifact.name}"
    client.create_job_artifact(job_id, artifact.read_bytes(), content_disposition=disposition)
    return job_id
