"""Requests for job runs."""

import json
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.backends.data_science.job import Job
from tune_jobs.backends.data_science.request import (
    MAX_ARGUMENTS,
    Settings,
    build_details,
    build_object,
    build_token,
    needs_object,
)
from tune_jobs.core.job_runs import MetricSources, RunRequest
from tune_jobs.errors import SubmitError

JOB = Job(
    id="ocid1.datasciencejob.oc1..x",
    name="digits",
    compartment="ocid1.compartment.oc1..c",
    project="ocid1.datascienceproject.oc1..p",
    env={"CONDA_ENV_SLUG": "generalml", "A": "job"},
    arguments=("--data", "a file.csv"),
    has_runner=True,
    container=None,
    infrastructure={"shapeName": "VM.Standard.E4.Flex"},
    max_runtime=60,
    log=None,
)
REQUEST = RunRequest(
    name="trial-000012-1",
    argv=("--lr=-1e-05",),
    env={"A": "run"},
    files={},
    labels={"trial": "12", "attempt": "1"},
)
SETTINGS = Settings(
    study="digits-1a",
    store="oci://b@n/p/digits-1a",
    sources=MetricSources(("accuracy",)),
    env={"B": "all"},
    tags={"team": "x"},
    max_runtime=None,
)


def details(job: Job = JOB, request: RunRequest = REQUEST, **more: Any) -> dict[str, Any]:
    options = {"as_object": False, "shape": None, **more}
    return build_details(job, request, SETTINGS, **options)


def test_name_and_tags() -> None:
    body = details()
    assert body["displayName"] == "trial-000012-1"
    assert body["freeformTags"] == {
        "team": "x",
        "tune_jobs_study": "digits-1a",
        "tune_jobs_run": "trial-000012-1",
        "tune_jobs_trial": "12",
        "tune_jobs_attempt": "1",
    }


def test_environment_is_complete_and_the_run_s_variables_win() -> None:
    env = details()["jobConfigurationOverrideDetails"]["environmentVariables"]
    assert env["A"] == "run"
    assert env["B"] == "all"
    assert env["CONDA_ENV_SLUG"] == "generalml"
    assert env["TUNE_JOBS_STORE"] == "oci://b@n/p/digits-1a"
    assert json.loads(env["TUNE_JOBS_SOURCES"])["names"] == ["accuracy"]


def test_arguments_of_the_job_are_repeated_first() -> None:
    joined = details()["jobConfigurationOverrideDetails"]["commandLineArguments"]
    assert shlex.split(joined) == ["--data", "a file.csv", "--lr=-1e-05"]


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20), max_size=10))
def test_arguments_survive_joining(argv: list[str]) -> None:
    request = replace(REQUEST, argv=tuple(argv))
    joined = details(request=request)["jobConfigurationOverrideDetails"]["commandLineArguments"]
    assert shlex.split(joined)[2:] == argv


def test_long_arguments_go_into_an_object() -> None:
    available = MAX_ARGUMENTS - len("--data 'a file.csv' ")
    fits = replace(REQUEST, argv=("x" * available,))
    assert not needs_object(JOB, fits)
    sent = details(request=fits)["jobConfigurationOverrideDetails"]["commandLineArguments"]
    assert len(sent) == MAX_ARGUMENTS
    longer = replace(REQUEST, argv=("x" * (available + 1),))
    assert needs_object(JOB, longer)
    with pytest.raises(SubmitError, match="4001 characters"):
        details(request=longer)
    override = details(request=longer, as_object=True)["jobConfigurationOverrideDetails"]
    assert "commandLineArguments" not in override
    assert override["environmentVariables"]["TUNE_JOBS_REQUEST"] == "1"
    assert json.loads(build_object(JOB, longer))["argv"][-1] == longer.argv[0]


@pytest.mark.parametrize("argument", ["two\nlines", "nul\0", "\x1b[0m"])
def test_unprintable_arguments_go_into_an_object(argument: str) -> None:
    assert needs_object(JOB, replace(REQUEST, argv=(argument,)))


def test_files_go_into_an_object() -> None:
    request = replace(REQUEST, files={"config.yaml": "lr: 1"})
    assert needs_object(JOB, request)
    assert json.loads(build_object(JOB, request))["files"] == {"config.yaml": "lr: 1"}


def test_environment_over_the_limit_is_refused() -> None:
    with pytest.raises(SubmitError, match="20000"):
        details(request=replace(REQUEST, env={"BIG": "x" * 20_000}))


def test_container_gets_arguments_as_a_list() -> None:
    job = replace(
        JOB,
        has_runner=False,
        container={"jobEnvironmentType": "OCIR_CONTAINER", "image": "iad.ocir.io/a/b:1"},
    )
    body = details(job=job, request=replace(REQUEST, argv=("--x=a,b",)))
    override = body["jobEnvironmentConfigurationOverrideDetails"]
    assert override["cmd"] == ["--data", "a file.csv", "--x=a,b"]
    assert override["image"] == "iad.ocir.io/a/b:1"
    assert "commandLineArguments" not in body["jobConfigurationOverrideDetails"]


def test_variables_with_placeholders_are_listed_for_the_runner() -> None:
    request = replace(REQUEST, env={"OUT": "$TUNE_JOBS_OUTPUTS_DIR/m", "PRICE": "$5"})
    env = details(request=request)["jobConfigurationOverrideDetails"]["environmentVariables"]
    assert env["TUNE_JOBS_EXPAND"] == "OUT"


def test_token_depends_on_job_study_and_run() -> None:
    first = build_token(JOB, "digits-1a", "trial-000012-1")
    assert len(first) == 64
    assert first == build_token(replace(JOB, env={}), "digits-1a", "trial-000012-1")
    others = {
        build_token(JOB, "digits-1a", "trial-000012-2"),
        build_token(JOB, "digits-1b", "trial-000012-1"),
        build_token(replace(JOB, id="ocid1.datasciencejob.oc1..y"), "digits-1a", "trial-000012-1"),
    }
    assert first not in others
    assert len(others) == 3
