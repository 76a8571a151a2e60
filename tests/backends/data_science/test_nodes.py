"""Trials on several nodes: multi-node jobs, whose nodes really meet in the emulator."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.backends.data_science.conftest import (
    MakeBackend,
    OpenService,
    run,
    wait_for_end,
)
from tests.backends.data_science.test_runtimes import ads_job
from tests.nodes import ALL_REDUCE, wait_for
from tests.oci_emulator import Emulator
from tests.oci_emulator.images import write_image
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner
from tune_jobs.backends.data_science.ads_job import quiet_ads
from tune_jobs.backends.data_science.pytorch_launch import build_launch
from tune_jobs.backends.data_science.run_ends import explain_end
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.refusals import BEGUN, NOT_PERMITTED


def _read(stored: MetricStore, path: str) -> str:
    return stored.read_text(f"runs/r-1/{path}")


def test_nodes_meet_and_leave_files_without_collisions(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore, emulator: Emulator
) -> None:
    service = open_service(make_backend(ALL_REDUCE, nodes=2))
    outputs = service.paths("r-1").outputs
    service.submit(run("r-1", "--x=3", f"--save={outputs}/model.txt"))
    update = wait_for_end(service, "r-1")
    assert (update.state, update.cause) == (RunState.SUCCEEDED, "")
    assert update.shape == "2 x VM.Standard.E4.Flex"
    metrics = stored.read_text("metrics/r-1.jsonl").splitlines()
    assert [json.loads(line)["metrics"] for line in metrics] == [{"value": 7.0}]
    assert _read(stored, "outputs/model.txt") == "rank 0 of 2"
    assert _read(stored, "outputs/rank-1/model.txt") == "rank 1 of 2"
    assert "hello from 1" not in _read(stored, "log.txt")
    assert "hello from 1" in _read(stored, "rank-1/log.txt")
    assert len(emulator.data_science.runs()) == 1


MEETING = """\
import os, signal, socket, sys, time
rank = int(os.environ["NODE_RANK"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
def stop(*_):
    print("stopped", rank, flush=True)
    sys.exit(5)
signal.signal(signal.SIGTERM, stop)
if rank == 0:
    server = socket.create_server(place)
    server.accept()
else:
    while True:
        try:
            socket.create_connection(place)
            break
        except OSError:
            time.sleep(0.02)
print("up", rank, flush=True)
def hang():
    while True:
        signal.pause()
"""
"""The nodes have met, and rank 0 handles SIGTERM, before the rest of a script."""


def test_a_failed_rank_is_named(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore
) -> None:
    body = MEETING + "if rank == 1:\n    sys.exit('no data on this node')\nhang()\n"
    service = open_service(make_backend(body, nodes=2))
    service.submit(run("r-1"))
    update = wait_for_end(service, "r-1")
    assert (update.state, update.cause) == (RunState.FAILED, "rank 1: exit code 1")
    assert (update.exit_code, update.transient) == (1, False)
    log = _read(stored, "log.txt")
    assert log.startswith("up 0\nstopped 0")
    assert "--- rank-1 ---\nup 1\nno data on this node" in log


@pytest.mark.slow
def test_a_rank_that_hangs_after_the_first_has_ended_is_named(
    make_backend: MakeBackend, open_service: OpenService, emulator: Emulator, stored: MetricStore
) -> None:
    body = MEETING + "if rank == 1:\n    hang()\n"
    service = open_service(make_backend(body, nodes=2, max_runtime=7))
    service.submit(run("r-1"))
    wait_for(lambda: service.wait(0.1) is not None and _read(stored, "run.jsonl"))
    (live,) = emulator.data_science.runs()
    assert live.is_live
    assert live.execution is not None
    live.execution.time_out(5.0)
    update = wait_for_end(service, "r-1")
    assert update.state is RunState.FAILED
    assert "maximum runtime of 7 minutes" in update.cause
    assert update.cause.endswith("; still running: rank 1")


def test_a_cancel_reaches_all_nodes(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore
) -> None:
    env = {"TUNE_JOBS_LOG_SECONDS": "0.1"}
    service = open_service(make_backend(MEETING + "hang()\n", nodes=2, env=env))
    service.submit(run("r-1"))
    wait_for(lambda: "up" in _read(stored, "log.txt") and "up" in _read(stored, "rank-1/log.txt"))
    service.cancel("r-1")
    assert wait_for_end(service, "r-1").state is RunState.CANCELED
    assert "stopped 0" in _read(stored, "log.txt")
    assert "stopped 1" in _read(stored, "rank-1/log.txt")


@pytest.mark.slow
def test_a_node_resumes_from_its_own_checkpoints_or_those_of_the_first(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore
) -> None:
    body = (
        "import os, pathlib, sys\n"
        "rank = os.environ['NODE_RANK']\n"
        "resume = pathlib.Path(os.environ['TUNE_JOBS_RESUME_DIR'], 'c.txt')\n"
        "print(rank, resume.read_text() if resume.exists() else 'from scratch')\n"
        "if rank == '0' or len(sys.argv) > 1:\n"
        "    folder = pathlib.Path(os.environ['TUNE_JOBS_CHECKPOINT_DIR'])\n"
        "    (folder / 'c.txt').write_text(f'of {rank}')\n"
    )
    service = open_service(make_backend(body, nodes=2))
    for name, *argv in (("r-1", "--all"), ("r-2",)):
        service.submit(run(name, *argv, checkpoints=True, resume=("r-1",) if argv == [] else ()))
        assert wait_for_end(service, name).state is RunState.SUCCEEDED
    assert stored.read_text("runs/r-2/log.txt").strip() == "0 of 0"
    assert stored.read_text("runs/r-2/rank-1/log.txt").strip() == "1 of 1"
    assert stored.read_text("runs/r-2/checkpoints/c.txt") == "of 0"


def test_settings_of_a_run_reach_all_nodes(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore, emulator: Emulator
) -> None:
    body = "import os, sys\nprint(os.environ['OWN'], os.environ['OF_RUN'], sys.argv[1:])\n"
    service = open_service(make_backend(body, nodes=2, env={"OWN": "1"}, max_runtime=30))
    resources = {"shape": "VM.GPU.A10.1", "max_runtime": 60}
    service.submit(run("r-1", "--x=a b", env={"OF_RUN": "2"}, resources=resources))
    update = wait_for_end(service, "r-1")
    assert (update.state, update.shape) == (RunState.SUCCEEDED, "2 x VM.GPU.A10.1")
    for log in ("log.txt", "rank-1/log.txt"):
        assert _read(stored, log) == "1 2 ['--x=a b']\n"
    (made,) = emulator.data_science.runs()
    override = made.facts["jobNodeConfigurationOverrideDetails"]
    assert override["maximumRuntimeInMinutes"] == 60
    assert made.nodes == 2


def test_a_job_with_nodes_is_found_again(
    make_backend: MakeBackend,
    open_service: OpenService,
    infrastructure: Infrastructure,
    emulator: Emulator,
) -> None:
    on = replace(infrastructure, subnet="ocid1.subnet.oc1..own")
    open_service(make_backend("print('value: 1')", nodes=2, infrastructure=on)).close()
    (job_id,) = emulator.data_science.jobs()
    open_service(make_backend("print('value: 1')", nodes=2, infrastructure=on))
    assert emulator.data_science.jobs() == [job_id]
    open_service(make_backend("print('value: 1')", nodes=3, infrastructure=on))
    assert len(emulator.data_science.jobs()) == 2


def test_a_node_group_may_have_a_single_node(
    make_backend: MakeBackend, open_service: OpenService, emulator: Emulator
) -> None:
    open_service(make_backend("print('value: 1')", nodes=2)).close()
    (job_id,) = emulator.data_science.jobs()
    nodes = emulator.data_science._jobs[job_id]["jobNodeConfigurationDetails"]
    (group,) = nodes["jobNodeGroupConfigurationDetailsList"]
    group.update(replicas=1, minimumSuccessReplicas=1)
    service = open_service(make_backend("print('value: 1')", nodes=2))
    service.submit(run("r-1", "--x=1"))
    update = wait_for_end(service, "r-1")
    assert (update.state, update.shape) == (RunState.SUCCEEDED, "VM.Standard.E4.Flex")


@pytest.mark.slow
def test_a_study_is_tuned_on_nodes_and_pays_for_each(
    make_backend: MakeBackend, build_tuner: Callable[..., Tuner]
) -> None:
    backend = make_backend(ALL_REDUCE, nodes=2)
    tuner = build_tuner(backend, prices={"VM.Standard.E4.Flex": 3600.0})
    tuner.optimize(n_trials=1)
    (trial,) = tuner.study.trials
    assert trial.value == pytest.approx(2 * trial.params["x"] + 1)
    spent = tuner.costs().spent
    assert spent.money == pytest.approx(2 * 3600.0 * spent.hours)


@pytest.mark.slow
def test_replicas_of_a_container_of_ads(
    open_service: OpenService, emulator: Emulator, connection: Connection, tmp_path: Path
) -> None:
    with quiet_ads():
        from ads.jobs import ContainerRuntime
    config = {"Cmd": ["python", "train.py"], "Env": [], "WorkingDir": "/app"}
    image = "iad.ocir.io/ns/train:1"
    files = {"/app/train.py": ALL_REDUCE}
    emulator.world.images[image] = write_image(tmp_path / "image", config, files)
    runtime = ContainerRuntime().with_image(image, cmd=["python", "train.py"]).with_replica(2)
    job = ads_job(emulator, runtime)
    service = open_service(
        DataScienceBackend.from_job(job, connection=connection, poll_seconds=0.1)
    )
    service.submit(run("r-1", "--x=3"))
    update = wait_for_end(service, "r-1")
    assert update.state is RunState.SUCCEEDED, update.cause
    stored = MetricStore("oci://tune-jobs@emulated/runs", "study-1", {"connection": connection})
    assert "hello from 1" in _read(stored, "rank-1/log.txt")
    metrics = stored.read_text("metrics/r-1.jsonl").splitlines()
    assert [json.loads(line)["metrics"] for line in metrics] == [{"value": 7.0}]


TORCHRUN = """\
import os, sys
words = sys.argv[1:]
place = words.index("source/train.py")
options = dict(word[2:].split("=", 1) for word in words[:place])
assert options["rdzv_backend"] == "static" and "rdzv_endpoint" not in options, options
assert options["master_addr"] == os.environ["MASTER_ADDR"]
os.environ.update(
    RANK=options["node_rank"], WORLD_SIZE=options["nnode"], MASTER_PORT=options["master_port"]
)
os.execv(sys.executable, [sys.executable, *words[place:]])
"""


@pytest.mark.slow
def test_replicas_of_the_pytorch_runtime_of_ads(
    open_service: OpenService, emulator: Emulator, connection: Connection, tmp_path: Path
) -> None:
    """ADS's own driver starts ``torchrun``, which stands in for that of PyTorch."""
    with quiet_ads():
        from ads.jobs import PyTorchDistributedRuntime
    stubs, source = tmp_path / "stubs", tmp_path / "source"
    for path, content in {
        stubs / "torch/__init__.py": "from . import cuda\n\n\nclass Tensor:\n    pass\n",
        stubs / "torch/cuda.py": "def device_count():\n    return 0\n",
        stubs / "gcc": "#!/bin/sh\n",
        stubs / "torchrun": f"#!{sys.executable}\n{TORCHRUN}",
        source / "train.py": ALL_REDUCE,
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for program in ("torchrun", "gcc"):
        (stubs / program).chmod(0o755)
    variables = {
        "SET_SOCKET_IFNAME": "lo",  # the emulated addresses are on loopback
        "LD_PRELOAD": "",  # else the driver's, which `gcc` would build into this environment
        "PYTHONPATH": str(stubs),
        "PATH": f"{stubs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    runtime = (
        PyTorchDistributedRuntime()
        .with_service_conda("pytorch20_p39_gpu_v2")
        .with_source(str(source))
        .with_command("torchrun source/train.py")
        .with_replica(2)
        .with_environment_variable(**variables)
    )
    job = ads_job(emulator, runtime)
    service = open_service(
        DataScienceBackend.from_job(job, connection=connection, poll_seconds=0.1)
    )
    service.submit(run("r-1", "--x=3"))
    update = wait_for_end(service, "r-1", 200.0)
    stored = MetricStore("oci://tune-jobs@emulated/runs", "study-1", {"connection": connection})
    assert update.state is RunState.SUCCEEDED, _read(stored, "log.txt")
    metrics = stored.read_text("metrics/r-1.jsonl").splitlines()
    assert [json.loads(line)["metrics"] for line in metrics] == [{"value": 7.0}]


def test_the_command_of_the_pytorch_runtime_becomes_arguments_of_its_driver() -> None:
    static = ["--rdzv_backend=static", "--node_rank=$NODE_RANK"]
    static += ["--master_addr=$MASTER_ADDR", "--master_port=$MASTER_PORT"]
    for command, nodes, words in (
        ("torchrun train.py --a 'b c'", 2, ["torchrun", *static, "train.py", "--a", "b c"]),
        ("torchrun train.py", 1, ["torchrun", "train.py"]),
        ("torchrun --rdzv_backend=c10d train.py", 2, None),
        ("torchrun --standalone train.py", 2, None),
        ("accelerate launch train.py", 2, None),
        ("", 2, ["torchrun", *static, "main.py"]),
    ):
        env = {"OCI__LAUNCH_CMD": command, "CODE_ENTRYPOINT": "main.py"}
        assert build_launch(env, nodes) == (words or command.split())


def test_a_node_that_cannot_reach_the_store_ends_the_call(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path / "store"), {})
    failed = RunUpdate("r-1", RunState.FAILED, "ocid", exit_code=NOT_PERMITTED)
    for begun in ("r-1", "r-1/rank-1"):
        end = explain_end(folder, "oci://b@n/s", failed, 2)
        assert (end.fatal, end.transient, end.exit_code) == (True, True, None), begun
        folder.write(BEGUN.format(run=begun), b"{}")
    assert explain_end(folder, "oci://b@n/s", failed, 2) == failed  # the script's own code
