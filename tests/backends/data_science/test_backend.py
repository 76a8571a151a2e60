"""Job runs, through the real SDKs against the emulator."""

from __future__ import annotations

import json
import logging
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import oci
import optuna
import pytest

from tests.backends.data_science.conftest import (
    PRINTS,
    MakeBackend,
    OpenService,
    count_requests,
    open_client,
    run,
    wait_for_end,
)
from tests.oci_emulator import Emulator
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner
from tune_jobs.core.job_runs import RunState
from tune_jobs.errors import ConfigError
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.oci_answers import CLOCK_TOLERANCE as TOLERANCE

ECHO = "import json, sys\nprint('ARGV', json.dumps(sys.argv[1:]))\nprint('value: 1')\n"

MakeTuner = Callable[..., Tuner]


def test_run_leaves_metrics_outputs_and_log(
    make_backend: MakeBackend,
    open_service: OpenService,
    stored: MetricStore,
    connection: Connection,
) -> None:
    script = (
        "import os, sys\nfrom tune_jobs import outputs_dir, report\n"
        "report(value=0.5, step=1)\nprint('step 2 value: 0.75')\n"
        "(outputs_dir() / 'model.txt').write_text('weights')\n"
        "open(sys.argv[1].split('=')[1] + '/by-name.txt', 'w').write('x')\n"
    )
    service = open_service(make_backend(script))
    service.submit(run("trial-000000-1", f"--out={service.paths('trial-000000-1').outputs}"))
    end = wait_for_end(service, "trial-000000-1")
    log = stored.log("trial-000000-1")
    assert (end.state, end.exit_code) == (RunState.SUCCEEDED, 0), log
    assert end.started is not None
    assert end.finished is not None
    assert end.started <= end.finished
    assert {r.step: dict(r.values) for r in stored.records("trial-000000-1")} == {
        1: {"value": 0.5},
        2: {"value": 0.75},
    }
    assert stored.outputs("trial-000000-1") == ["by-name.txt", "model.txt"]
    assert "step 2 value: 0.75" in log
    seen = open_client(connection).get_job_run(end.run_id).data
    assert seen.display_name == "trial-000000-1"
    assert seen.freeform_tags["tune_jobs_study"] == "study-1"


@pytest.mark.parametrize(
    "argv",
    [
        ("--a=b c", '--q=it\'s "quoted"', "--u=ü€", "--x=-1e-05", "--empty=", "", "*", "$HOME"),
        ("--lines=one\ntwo",),
        tuple(f"--p{i}={'x' * 40}" for i in range(150)),
    ],
    ids=["odd characters", "a newline", "more than 4,000 characters"],
)
def test_arguments_arrive_unchanged(
    argv: tuple[str, ...], make_backend: MakeBackend, open_service: OpenService, stored: MetricStore
) -> None:
    service = open_service(make_backend(ECHO))
    service.submit(run("trial-000000-1", *argv))
    assert wait_for_end(service, "trial-000000-1").state == RunState.SUCCEEDED
    log = stored.log("trial-000000-1")
    line = next(line for line in log.splitlines() if line.startswith("ARGV "))
    assert tuple(json.loads(line[5:])) == argv


def test_files_and_variables_arrive(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore
) -> None:
    script = "import os\nprint(open('conf/a.yaml').read(), os.environ['COLOR'], os.environ['ALL'])"
    service = open_service(make_backend(script, env={"ALL": "job"}))
    service.submit(run("trial-000000-1", files={"conf/a.yaml": "lr: 1"}, env={"COLOR": "red"}))
    end = wait_for_end(service, "trial-000000-1")
    assert end.state == RunState.SUCCEEDED
    assert "lr: 1 red job" in stored.log("trial-000000-1")


def test_failure_has_the_exit_code(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore
) -> None:
    service = open_service(make_backend("import sys\nprint('no such layer')\nsys.exit(21)\n"))
    service.submit(run("trial-000000-1"))
    end = wait_for_end(service, "trial-000000-1")
    assert (end.state, end.exit_code, end.transient) == (RunState.FAILED, 21, False)
    assert end.cause == "exit code 21"
    assert "no such layer" in stored.log("trial-000000-1")


def test_job_is_created_once_per_definition(
    make_backend: MakeBackend, open_service: OpenService, emulator: Emulator
) -> None:
    open_service(make_backend(PRINTS)).close()
    open_service(make_backend(PRINTS)).close()
    assert count_requests(emulator)["create_job"] == 1
    service = open_service(make_backend(ECHO))
    assert count_requests(emulator)["create_job"] == 2
    kept = service._folder.find("jobs")
    assert len(kept) == 2
    record = service._folder.read(f"jobs/{kept[0]}").decode()
    assert "displayName: study-1-" in record
    assert "VM.Standard.E4.Flex" in record


def test_job_that_was_not_recorded_is_found(
    make_backend: MakeBackend, open_service: OpenService, emulator: Emulator
) -> None:
    service = open_service(make_backend(PRINTS))
    for name in service._folder.find("jobs"):
        service._folder.remove(f"jobs/{name}")
    service.close()
    open_service(make_backend(PRINTS)).close()
    assert count_requests(emulator)["create_job"] == 1


def test_importing_ads_keeps_the_root_logger(
    make_backend: MakeBackend, open_service: OpenService
) -> None:
    before = list(logging.getLogger().handlers)
    open_service(make_backend(PRINTS)).close()
    assert logging.getLogger().handlers == before


def test_poll_is_one_listing(
    make_backend: MakeBackend, open_service: OpenService, tmp_path: Path
) -> None:
    with Emulator(tmp_path / "idle", execute=False) as emulator:
        emulator.data_science.duration = lambda run: 1e6
        connection = Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)
        on = Infrastructure(emulator.compartment, emulator.project, "VM.Standard2.1")
        backend = make_backend(
            PRINTS, infrastructure=on, connection=connection, poll_seconds=0.05, start_rate=1e6
        )
        service = open_service(backend, f"oci://tune-jobs@{emulator.namespace}/runs")
        names = [f"trial-{i:06d}-1" for i in range(250)]
        for name in names:
            service.submit(run(name))
        while len(service._live) < len(names):
            service.wait(0.1)
        emulator.requests.clear()
        polls = 0
        while polls < 3:
            polls += len([u for u in service.wait(5.0) if u.name == names[0]])
        counted = count_requests(emulator)
        assert counted == {"list_job_runs": 3 * polls}


def test_old_run_behind_many_newer_ones(
    make_backend: MakeBackend, open_service: OpenService, emulator: Emulator
) -> None:
    service = open_service(make_backend(PRINTS))
    emulator.data_science.next_states.append("IN_PROGRESS")
    service.submit(run("trial-000000-1", "--x=1"))
    while not service._live:
        service.wait(0.1)
    run_id = service._live._live["trial-000000-1"].run_id
    job_id = service._job.id
    emulator.data_science.fill(job_id, 500)
    emulator.requests.clear()
    assert service._runs.list_by_id(job_id, [run_id]).keys() == {run_id}
    counted = count_requests(emulator)
    assert counted["list_job_runs"] <= 2
    assert counted["get_job_run"] <= 1


def test_cancel_does_not_wait(
    make_backend: MakeBackend, open_service: OpenService, emulator: Emulator
) -> None:
    service = open_service(make_backend("import signal\nprint('up', flush=True)\nsignal.pause()\n"))
    service.submit(run("trial-000000-1"))
    while "trial-000000-1" not in service._live:
        service.wait(0.1)
    service.cancel("trial-000000-1")
    assert "trial-000000-1" in service._live  # the end is still to come
    end = wait_for_end(service, "trial-000000-1")
    assert end.state == RunState.CANCELED
    emulator.requests.clear()
    assert end.run_id is not None
    service._runs.cancel(end.run_id)  # 409: it has ended
    service._runs.cancel("ocid1.datasciencejobrun.oc1..missing")  # 404
    assert count_requests(emulator) == {"cancel_job_run": 2}
    service.cancel("trial-000000-1")
    service.cancel("trial-000099-1")


def test_run_canceled_outside_is_not_retried(
    make_backend: MakeBackend, open_service: OpenService, connection: Connection
) -> None:
    service = open_service(make_backend("import signal\nsignal.pause()\n"))
    service.submit(run("trial-000000-1"))
    while "trial-000000-1" not in service._live:
        service.wait(0.1)
    open_client(connection).cancel_job_run(service._live._live["trial-000000-1"].run_id)
    end = wait_for_end(service, "trial-000000-1")
    assert (end.state, end.transient) == (RunState.FAILED, False)
    assert "canceled outside of tune_jobs" in end.cause


def test_next_service_finds_runs_by_name(
    make_backend: MakeBackend, open_service: OpenService
) -> None:
    script = "import sys, time\ntime.sleep(float(sys.argv[1]))\nprint('value: 1')\n"
    service = open_service(make_backend(script))
    service.submit(run("trial-000000-1", "0"))
    assert wait_for_end(service, "trial-000000-1").state == RunState.SUCCEEDED
    service.submit(run("trial-000001-1", "60"))
    while "trial-000001-1" not in service._live:
        service.wait(0.1)
    service.close()
    again = open_service(make_backend(script))
    found = again.find(["trial-000000-1", "trial-000001-1", "trial-000002-1"])
    assert {name: update.state.is_terminal for name, update in found.items()} == {
        "trial-000000-1": True,
        "trial-000001-1": False,
    }
    again.cancel("trial-000001-1")
    assert wait_for_end(again, "trial-000001-1").state == RunState.CANCELED


def test_no_secret_is_stored(
    make_backend: MakeBackend,
    build_tuner: MakeTuner,
    emulator: Emulator,
    connection: Connection,
    tmp_path: Path,
) -> None:
    tuner = build_tuner(make_backend(PRINTS))
    tuner.optimize(n_trials=1)
    tuner.train_best()
    key = Path(emulator.config()["key_file"]).read_text().splitlines()[1]
    kept = (tmp_path / "s.db").read_bytes()
    bucket = open_folder(f"oci://tune-jobs@{emulator.namespace}", {"connection": connection})
    names = bucket.find("runs")
    assert any("/jobs/" in name for name in names)
    for name in names:
        kept += bucket.read(f"runs/{name}")
    for secret in (key, emulator.config()["fingerprint"], "PRIVATE KEY"):
        assert secret.encode() not in kept


@pytest.mark.parametrize("quoted", ["--x=1", "--name='a b'"])
def test_arguments_of_an_existing_job_are_kept(
    quoted: str, connection: Connection, open_service: OpenService, make_backend: MakeBackend
) -> None:
    made = open_service(make_backend(ECHO))
    job = open_client(connection).get_job(made._job.id).data
    made.close()
    details = oci.data_science.models.CreateJobDetails(
        project_id=job.project_id,
        compartment_id=job.compartment_id,
        display_name="mine",
        job_configuration_details=oci.data_science.models.DefaultJobConfigurationDetails(
            command_line_arguments=quoted, environment_variables={"MINE": "1"}
        ),
        job_infrastructure_configuration_details=job.job_infrastructure_configuration_details,
    )
    mine = open_client(connection).create_job(details).data
    open_client(connection).create_job_artifact(
        mine.id, ECHO.encode(), content_disposition="attachment; filename=echo.py"
    )
    service = open_service(
        DataScienceBackend.from_ocid(mine.id, connection=connection, poll_seconds=0.1)
    )
    service.submit(run("trial-000000-1", "--lr=0.1"))
    end = wait_for_end(service, "trial-000000-1")
    assert end.state == RunState.SUCCEEDED
    sent = open_client(connection).get_job_run(end.run_id).data.job_configuration_override_details
    assert shlex.split(sent.command_line_arguments) == [*shlex.split(quoted), "--lr=0.1"]
    assert sent.environment_variables["MINE"] == "1"


def test_invalid_options_are_refused(connection: Connection) -> None:
    with pytest.raises(ConfigError, match="ocid1"):
        Infrastructure(compartment="my-compartment")
    with pytest.raises(ConfigError, match="log_group"):
        Infrastructure(log="ocid1.log.oc1..x")
    with pytest.raises(ConfigError, match="both ocpus and memory_gb"):
        Infrastructure(ocpus=1)
    with pytest.raises(ConfigError, match="at least 50"):
        Infrastructure(block_storage_gb=10)
    with pytest.raises(ConfigError, match="at most 5"):
        Infrastructure(tags={str(i): "x" for i in range(6)})
    with pytest.raises(ConfigError, match="not a job's OCID"):
        DataScienceBackend.from_ocid("digits", connection=connection)
    with pytest.raises(ConfigError, match="auth='password'"):
        Connection(auth="password")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="poll_seconds"):
        DataScienceBackend.from_script("train.py", connection=connection, poll_seconds=0)


def test_intermediate_values_prune_a_run(make_backend: MakeBackend, build_tuner: MakeTuner) -> None:
    script = (
        "import sys, time\nx = float(sys.argv[1].split('=')[1])\n"
        "for step in range(600):\n    print(f'step {step} value: {x}', flush=True)\n"
        "    time.sleep(0.1)\n"
    )
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.ThresholdPruner(lower=2.0),
    )
    backend = make_backend(script, env={"TUNE_JOBS_UPLOAD_SECONDS": "0.2"})
    tuner = build_tuner(backend, step="step")
    tuner = Tuner(
        study,
        tuner.definition.space,
        backend,
        metric="value",
        step="step",
        store=tuner.definition.options.store,
        progress=False,
    )
    tuner.optimize(n_trials=1)
    assert study.trials[0].state.name == "PRUNED"
    assert study.trials[0].intermediate_values


def test_final_run_has_its_own_resources(
    make_backend: MakeBackend, build_tuner: MakeTuner, connection: Connection
) -> None:
    tuner = build_tuner(make_backend(PRINTS, max_runtime=30))
    tuner.optimize(n_trials=1)
    tuner.train_best(resources={"shape": "VM.GPU.A10.1", "max_runtime": 600})
    runs = {a.name: open_client(connection).get_job_run(a.run_id).data for a in tuner.attempts()}
    trial, final = runs["trial-000000-1"], runs["final-1-1"]
    assert final.job_infrastructure_configuration_details.shape_name == "VM.GPU.A10.1"
    assert final.job_configuration_override_details.maximum_runtime_in_minutes == 600
    assert trial.job_infrastructure_configuration_details.shape_name == "VM.Standard.E4.Flex"
    with pytest.raises(ConfigError, match="unknown name 'gpus'"):
        tuner.train_best(resources={"gpus": 4}, again=True)


def test_smoke_check_waits_for_a_machine(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator
) -> None:
    emulator.delays.accepted = 2.0
    report = build_tuner(make_backend(PRINTS)).check(time_limit=30.0)
    assert report, str(report)
    emulator.delays.accepted = 0.0
    slow = build_tuner(make_backend("import signal\nsignal.pause()\n")).check(time_limit=0.5)
    assert "stopped at the check's time limit" in str(slow)


@pytest.mark.parametrize("ahead", [600.0, -600.0, 0.0])
def test_durations_are_those_of_the_service(
    ahead: float, emulator: Emulator, make_backend: MakeBackend, open_service: OpenService
) -> None:
    emulator.set_clock_ahead(ahead)
    service = open_service(make_backend(PRINTS))
    assert round((service.clock() - time.time()) / 100) * 100 == ahead
    if not ahead:
        assert abs(service.clock() - time.time()) < TOLERANCE
