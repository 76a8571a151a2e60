"""Creation of a job with the ``oci`` client."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.backends.data_science.conftest import (
    PRINTS,
    MakeBackend,
    OpenService,
    count_requests,
)
from tests.oci_emulator import Emulator, Fault
from tune_jobs import Connection, DataScienceBackend, Infrastructure
from tune_jobs.backends.data_science.job_details import choose_conda, substitute_variables
from tune_jobs.backends.data_science.new_job import NewJob, complete_details, create_job
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.metric_store.folder import open_folder


@pytest.fixture
def new_job(tmp_path: Path, infrastructure: Infrastructure, connection: Connection) -> NewJob:
    """Job of a script without the runner."""
    script = tmp_path / "train.py"
    script.write_text("# train.py\n")
    backend = DataScienceBackend.from_script(script, infrastructure, connection=connection)
    definition: Any = backend._definition
    new: NewJob = definition.build(connection, tmp_path)
    return new.label("s", {}).complete(connection)


def test_creation_makes_two_requests(
    new_job: NewJob, emulator: Emulator, connection: Connection
) -> None:
    create_job(connection, new_job)
    assert count_requests(emulator) == {"create_job": 1, "create_job_artifact": 1}


def test_artifact_is_sent_again_from_its_start(
    new_job: NewJob, emulator: Emulator, connection: Connection
) -> None:
    emulator.faults.add(Fault("error", "create_job_artifact", times=1, status=503, code="x"))
    create_job(connection, new_job)
    assert emulator.data_science.artifacts() == [(b"# train.py\n", "train.py")]


def test_job_without_its_artifact_is_deleted(
    new_job: NewJob, emulator: Emulator, connection: Connection
) -> None:
    emulator.faults.add(Fault("error", "create_job_artifact", times=1, status=400, code="x"))
    with pytest.raises(oci.exceptions.ServiceError):
        create_job(connection, new_job)
    assert count_requests(emulator)["delete_job"] == 1


def test_the_refusal_of_an_artifact_is_told_even_if_the_job_cannot_be_deleted(
    new_job: NewJob, emulator: Emulator, connection: Connection
) -> None:
    emulator.faults.add(Fault("error", "create_job_artifact", times=1, status=400, code="Large"))
    emulator.faults.add(Fault("error", "delete_job", times=1, status=404, code="Odd"))
    with pytest.raises(oci.exceptions.ServiceError, match="Large"):
        create_job(connection, new_job)


@pytest.mark.parametrize("operation", ["list_jobs", "head_job_artifact", "get_job"])
def test_one_refusal_at_the_opening_is_endured(
    operation: str,
    make_backend: MakeBackend,
    open_service: OpenService,
    connection: Connection,
    store: str,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune_jobs.runtime.oci_answers.FIRST_PATIENCE", 3.0)
    open_service(make_backend(PRINTS))
    folder = open_folder(f"{store}/study-1", {"connection": connection})
    (name,) = folder.find("jobs")  # as if its creator was killed before it recorded the job
    folder.remove(f"jobs/{name}")
    emulator.faults.add(Fault("error", operation, times=1, status=403, code="NotAllowed"))
    open_service(make_backend(PRINTS))
    assert len(emulator.data_science.jobs()) == 1


@pytest.mark.parametrize("field", ["compartmentId", "projectId"])
def test_a_missing_place_is_named(field: str, new_job: NewJob, connection: Connection) -> None:
    details = {name: value for name, value in new_job.details.items() if name != field}
    with pytest.raises(ConfigError, match=field.removesuffix("Id")):
        create_job(connection, replace(new_job, details=details))


def test_unreadable_session_is_named_if_something_is_missing(
    new_job: NewJob, emulator: Emulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NB_SESSION_OCID", "ocid1.datasciencenotebooksession.oc1..other")
    assert complete_details(new_job.details, connection) == new_job.details
    details = {**new_job.details, "projectId": None}
    with pytest.raises(BackendError, match="read data-science-notebook-sessions"):
        complete_details(details, connection)


def test_a_script_is_tuned_without_ads(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys\nprint('value:', sys.argv[1][4:])\n")
    program = f"""
import sys
import optuna
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner
backend = DataScienceBackend.from_script(
    {str(tmp_path / "train.py")!r},
    Infrastructure({emulator.compartment!r}, {emulator.project!r}, "VM.Standard2.1"),
    connection=Connection(
        config_file={str(emulator.config_file)!r}, endpoint={emulator.endpoint!r}
    ),
    poll_seconds=0.1,
)
study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
space = {{"x": optuna.distributions.FloatDistribution(0, 1)}}
store = "oci://tune-jobs@{emulator.namespace}/runs"
Tuner(study, space, backend, metric="value", store=store, progress=False).optimize(n_trials=1)
assert 0.0 <= study.best_value <= 1.0
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"ads", "pandas", "ocifs"}}))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert answer.stdout.splitlines()[-1:] == ["[]"], answer.stderr


@pytest.mark.parametrize("value", ["${A}", "x${B}"])
def test_variables_in_a_circle(value: str) -> None:
    with pytest.raises(ConfigError, match="refers to itself"):
        substitute_variables({"A": value, "B": "${A}"})


@pytest.mark.parametrize(
    "uri", ["oci://", "oci://envs/conda/1.0", "oci://envs@ns", "oci://envs@ns/"]
)
def test_incomplete_uri_of_an_environment(uri: str) -> None:
    with pytest.raises(ConfigError, match="oci://bucket@namespace"):
        choose_conda(uri, "us-ashburn-1")
