"""What the service is told of one run."""

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
    needs_object,
    request_object,
    run_details,
    token,
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
    return run_details(job, request, SETTINGS, **options)


def test_a_run_is_named_and_tagged_by_study_trial_and_attempt() -> None:
    told = details()
    assert told["displayName"] == "trial-000012-1"
    assert told["freeformTags"] == {
        "team": "x",
        "tune_jobs_study": "digits-1a",
        "tune_jobs_run": "trial-000012-1",
        "tune_jobs_trial": "12",
        "tune_jobs_attempt": "1",
    }


def test_the_whole_environment_is_sent_the_run_s_own_last() -> None:
    env = details()["jobConfigurationOverrideDetails"]["environmentVariables"]
    assert env["A"] == "run"
    assert env["B"] == "all"
    assert env["CONDA_ENV_SLUG"] == "generalml"
    assert env["TUNE_JOBS_STORE"] == "oci://b@n/p/digits-1a"
    assert json.loads(env["TUNE_JOBS_SOURCES"])["names"] == ["accuracy"]


def test_the_job_s_own_arguments_come_first_because_a_run_replaces_them() -> None:
    text = details()["jobConfigurationOverrideDetails"]["commandLineArguments"]
    assert shlex.split(text) == ["--data", "a file.csv", "--lr=-1e-05"]


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20), max_size=10))
def test_arguments_survive_the_one_string(argv: list[str]) -> None:
    request = replace(REQUEST, argv=tuple(argv))
    text = details(request=request)["jobConfigurationOverrideDetails"]["commandLineArguments"]
    assert shlex.split(text)[2:] == argv


def test_arguments_of_4000_characters_are_sent_and_more_go_into_an_object() -> None:
    room = MAX_ARGUMENTS - len("--data 'a file.csv' ")
    fits = replace(REQUEST, argv=("x" * room,))
    assert not needs_object(JOB, fits)
    sent = details(request=fits)["jobConfigurationOverrideDetails"]["commandLineArguments"]
    assert len(sent) == MAX_ARGUMENTS
    longer = replace(REQUEST, argv=("x" * (room + 1),))
    assert needs_object(JOB, longer)
    with pytest.raises(SubmitError, match="4001 characters"):
        details(request=longer)
    override = details(request=longer, as_object=True)["jobConfigurationOverrideDetails"]
    assert "commandLineArguments" not in override
    assert override["environmentVariables"]["TUNE_JOBS_REQUEST"] == "1"
    assert json.loads(request_object(JOB, longer))["argv"][-1] == longer.argv[0]


@pytest.mark.parametrize("argument", ["two\nlines", "nul\0", "\x1b[0m"])
def test_what_has_no_business_on_a_command_line_goes_into_an_object(argument: str) -> None:
    assert needs_object(JOB, replace(REQUEST, argv=(argument,)))


def test_files_go_into_an_object() -> None:
    request = replace(REQUEST, files={"config.yaml": "lr: 1"})
    assert needs_object(JOB, request)
    assert json.loads(request_object(JOB, request))["files"] == {"config.yaml": "lr: 1"}


def test_an_environment_beyond_the_service_s_limit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(SubmitError, match="20000"):
        details(request=replace(REQUEST, env={"BIG": "x" * 20_000}))


def test_a_container_gets_its_arguments_as_a_list() -> None:
    job = replace(
        JOB,
        has_runner=False,
        container={"jobEnvironmentType": "OCIR_CONTAINER", "image": "iad.ocir.io/a/b:1"},
    )
    told = details(job=job, request=replace(REQUEST, argv=("--x=a,b",)))
    override = told["jobEnvironmentConfigurationOverrideDetails"]
    assert override["cmd"] == ["--data", "a file.csv", "--x=a,b"]
    assert override["image"] == "iad.ocir.io/a/b:1"
    assert "commandLineArguments" not in told["jobConfigurationOverrideDetails"]


def test_variables_with_a_run_s_folder_in_them_are_named_to_the_runner() -> None:
    request = replace(REQUEST, env={"OUT": "$TUNE_JOBS_OUTPUTS_DIR/m", "PRICE": "$5"})
    env = details(request=request)["jobConfigurationOverrideDetails"]["environmentVariables"]
    assert env["TUNE_JOBS_EXPAND"] == "OUT"


def test_a_token_is_of_the_attempt_alone() -> None:
    first = token(JOB, "digits-1a", "trial-000012-1")
    assert len(first) == 64
    assert first == token(replace(JOB, env={}), "digits-1a", "trial-000012-1")
    others = {
        token(JOB, "digits-1a", "trial-000012-2"),
        token(JOB, "digits-1b", "trial-000012-1"),
        token(replace(JOB, id="ocid1.datasciencejob.oc1..y"), "digits-1a", "trial-000012-1"),
    }
    assert first not in others
    assert len(others) == 3
