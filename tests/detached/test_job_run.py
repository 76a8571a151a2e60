"""Controllers that are job runs of the emulated OCI, with the study in a bucket."""

from __future__ import annotations

import json
import re
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import oci
import pytest

from tests.backends.data_science.conftest import permit_tuners
from tests.conftest import space
from tests.detached.on_oci import find_controllers, run, write_study
from tests.oci_emulator import Delays, Emulator, Fault
from tune_jobs import Connection, Infrastructure
from tune_jobs.cli.main import main
from tune_jobs.config.study_config import load_study
from tune_jobs.config.study_file import build_tuner
from tune_jobs.detached.installation import describe_installation
from tune_jobs.errors import ConfigError
from tune_jobs.runtime import oci_answers
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.session import Session


@pytest.fixture
def idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Emulator whose job runs are accepted and do nothing."""
    with Emulator(tmp_path / "oci", execute=False, delays=Delays(accepted=3600.0)) as running:
        write_study(running, monkeypatch)
        yield running


def test_launch(idle: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, error = run("run", "--detach", "--json", capsys=capsys)
    assert code == 0, error
    launched = json.loads(printed)
    (controller,) = find_controllers(idle)
    assert launched["controller"]["run_id"] == controller.id
    storage = f"oci://tune-jobs@{idle.namespace}/study"
    assert controller.freeform_tags["tune_jobs_storage"] == launched["storage"] == storage
    assert controller.freeform_tags["tune_jobs_controller"] == "controller-1"
    assert "tune_jobs_run" not in controller.freeform_tags
    (artifact,) = (data for data, _ in idle.data_science.artifacts() if b"recipe.pickle" in data)
    with zipfile.ZipFile(BytesIO(artifact)) as archive:
        assert {"recipe.json", "recipe.pickle", "code/train.py"} < set(archive.namelist())
        facts = json.loads(archive.read("recipe.json"))
    assert facts["installation"] == describe_installation()
    code, _, error = run("run", "--detach", capsys=capsys)
    assert code == 3
    assert "controller-1 of study 's' was launched by" in error
    assert len(find_controllers(idle)) == 1

    for words in (["study.yaml"], ["--compartment", idle.compartment]):
        assert main(["ps", *words, "--json"]) == 0
        (shown,) = json.loads(capsys.readouterr().out)
        assert (shown["what"], shown["where"]) == ("controller-1", controller.id)
        assert (shown["state"], shown["storage"]) == ("ACCEPTED", storage)
        assert shown["by"] == launched["controller"]["user"]

    # The job run is canceled in the console: the next controller is not refused.
    connection = Connection(config_file=idle.config_file, endpoint=idle.endpoint)
    connection.client(oci.data_science.DataScienceClient).cancel_job_run(controller.id)
    assert run("run", "--detach", capsys=capsys)[0] == 0
    code, _, error = run("logs", "controller-1", capsys=capsys)
    assert (code, "the job run of controller-1 is CANCELED" in error) == (0, True)


@pytest.mark.parametrize(
    ("changes", "code", "problem"),
    [
        ({"shape": "", "ocpus": "", "memory_gb": ""}, 2, "study.yaml:.*has no shape.*shape: VM"),
        ({"storage": "storage: sqlite:///s.db"}, 3, "s.db, which a controller on OCI does not re"),
        ({"storage": "storage: 'sqlite://'"}, 3, "in memory.*oci://bucket@namespace/prefix"),
        ({"conda": "  conda: a\n  image: b"}, 2, "conda and image exclude each other"),
        ({"memory_gb": "  memory_gb: 8\n  shapes: x"}, 2, "shapes"),
    ],
)
def test_what_is_refused(
    changes: dict[str, str],
    code: int,
    problem: str,
    idle: Emulator,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_study(idle, monkeypatch, **changes)
    done, _, error = run("run", "--detach", capsys=capsys)
    assert done == code, error
    assert re.search(problem, error), error
    assert not find_controllers(idle)


def test_a_run_that_may_not_be_started(
    idle: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oci_answers, "FIRST_PATIENCE", 0.0)
    permitted = ("read data-science-projects", "manage data-science-jobs")
    permit_tuners(idle, "read buckets", "manage objects", "read data-science-job-runs", *permitted)
    code, _, error = run("run", "--detach", capsys=capsys)
    assert (code, "to manage data-science-job-runs in" in error) == (3, True)
    assert len(idle.data_science.jobs()) == 1, "that of the trials"
    assert "controller-1 was not started" in run("logs", "controller", capsys=capsys)[2]


def test_a_controller_that_fails_is_not_waited_for(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(emulator, monkeypatch)
    emulator.data_science.next_failures.append("Failed to download the conda environment.")
    assert run("run", "--detach", capsys=capsys)[0] == 0
    assert "is FAILED: Failed to download" in run("logs", "controller", capsys=capsys)[2]
    assert run("watch", capsys=capsys)[0] == 0
    assert run("ps", capsys=capsys)[1] == "nothing runs\n"
    assert run("delete", "--yes", capsys=capsys)[0] == 0


def test_a_function_that_is_not_below_source(
    idle: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = build_tuner(load_study("study.yaml"), Path("study.yaml"))
    tuner = Tuner(tuner.study, space, tuner.definition.backend, **vars(tuner.options))
    small = Infrastructure(shape="VM.Standard.E4.Flex", ocpus=1, memory_gb=8)
    message = "'tests.conftest', which is not below source .*/train.py.*importable from `source`"
    with pytest.raises(ConfigError, match=message):
        tuner.detach(small, n_trials=1)
    assert not find_controllers(idle)


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_jobs_of_a_study_are_deleted_with_it(
    idle: Emulator, capsys: pytest.CaptureFixture[str], is_refused: bool
) -> None:
    connection = Connection(config_file=idle.config_file, endpoint=idle.endpoint)
    client = connection.client(oci.data_science.DataScienceClient)
    assert run("run", "--detach", capsys=capsys)[0] == 0
    own = client.get_job(client.list_jobs(idle.compartment).data[0].id).data
    details = oci.data_science.models.CreateJobDetails(
        project_id=own.project_id,
        compartment_id=own.compartment_id,
        job_configuration_details=own.job_configuration_details,
        job_infrastructure_configuration_details=own.job_infrastructure_configuration_details,
    )
    kept = client.create_job(details).data.id
    (controller,) = find_controllers(idle)
    client.cancel_job_run(controller.id)
    path = Path("study.yaml")
    with Session(build_tuner(load_study(path), path).definition) as session:
        rows = ControllerRows(session.ledger.engine, session.ledger.uid)
        rows.change("controller-1", finished=time.time())
    jobs = {job.id for job in client.list_jobs(idle.compartment).data}
    assert len(jobs) == 3
    if is_refused:
        idle.faults.add(Fault("error", "delete_job", status=404, code="NotAuthorizedOrNotFound"))
    code, _, said = run("delete", "--yes", capsys=capsys)
    assert code == 0
    left = {job.id for job in client.list_jobs(idle.compartment).data}
    if is_refused:
        assert left == jobs
        for job_id in jobs - {kept}:
            assert f"job {job_id} stays, delete it in the console" in said
        assert "manage data-science-jobs" in said
    else:
        assert left == {kept}
        assert "removed 2 jobs with their runs" in said


@pytest.mark.slow
def test_a_study_is_tuned_on_oci(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(emulator, monkeypatch)
    assert run("run", "--detach", capsys=capsys)[0] == 0
    assert "final-1-1: training" in run("logs", "controller", "-f", capsys=capsys)[1]
    status = json.loads(run("status", "--json", capsys=capsys)[1])
    assert status["trials"] == {"COMPLETE": 3}
    assert [each["state"] for each in status["final_runs"]] == ["SUCCEEDED"]
    hours = status["costs"]["controllers"]["hours"]
    assert 0 < hours == pytest.approx(status["costs"]["controllers"]["money"])
    assert status["owner"] is None


@pytest.mark.slow
def test_a_canceled_controller_leaves_its_runs(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(emulator, monkeypatch)
    go = Path("go").absolute()
    Path("train.py").write_text(
        "import os, sys, time\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.05)\n"
        "print('value:', sys.argv[1].split('=')[1])\n"
    )
    assert run("run", "--detach", capsys=capsys)[0] == 0
    monitor = Tuner.attach("s", f"oci://tune-jobs@{emulator.namespace}/study")
    while sum(each.run_id is not None for each in monitor.snapshot().runs) < 2:
        time.sleep(0.2)  # other processes
    assert run("run", capsys=capsys)[0] == 3, "another process tunes the study"
    connection = Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)
    client = connection.client(oci.data_science.DataScienceClient)
    client.cancel_job_run(monitor.snapshot().controllers[0].run_id)
    while monitor.snapshot().owner is not None:
        time.sleep(0.2)
    go.touch()
    code, _, printed = run("run", capsys=capsys)
    assert (code, "recovered: 2" in printed) == (0, True)
    listed = client.list_job_runs(emulator.compartment).data
    assert sorted(each.display_name for each in listed) == [
        "controller-1",
        "final-1-1",
        *(f"trial-00000{n}-1" for n in range(3)),
    ]
