"""Local runs with several nodes: real processes that meet at the address that they are given."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.local_bench import Bench, is_running, read_state
from tests.nodes import ALL_REDUCE, wait_for
from tune_jobs import LocalBackend
from tune_jobs.backends.local.node_group import find_addresses, find_port
from tune_jobs.core.job_runs import MetricSources, RunState
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.processes import find_by_environment

OpenNodes = Callable[..., Bench]
RUN = Path("runs/study/runs/r-1")

START = """\
root=${TUNE_JOBS_OUTPUTS_DIR%%/outputs*}
mark() { echo $$ > $root/$1.part; mv $root/$1.part $root/$1; }
await() { until [ -e $root/$1 ]; do sleep 0.02; done; }
hang() { mark up-$NODE_RANK; while true; do sleep 0.05; done; }
"""
STOPPED = "trap 'mark stopped-$NODE_RANK; exit 5' TERM\n"


@pytest.fixture
def nodes(tmp_path: Path, opened: list[Bench]) -> OpenNodes:
    """Return a function that opens a backend for a script with two nodes."""

    def open_nodes(body: str, name: str = "train.sh", **options: object) -> Bench:
        script = tmp_path / name
        script.write_text(body)
        settings = {"nodes": 2, "grace": 20.0, **options}
        backend = LocalBackend(str(script), **settings)  # type: ignore[arg-type]
        opened.append(Bench(backend, "runs", MetricSources(names=("value",))))
        return opened[-1]

    return open_nodes


def find_live() -> list[int]:
    """Return the live processes of the run, whatever their group."""
    path = str(RUN.absolute() / "reported.jsonl")
    return [pid for pid in find_by_environment("TUNE_JOBS_METRICS_FILE", path) if is_running(pid)]


def await_marks(*names: str | Path) -> None:
    wait_for(lambda: all((RUN / name).exists() for name in names))


def test_nodes_meet_and_leave_files_without_collisions(nodes: OpenNodes) -> None:
    bench = nodes(ALL_REDUCE, "train.py")
    outputs = bench.service.paths("r-1").outputs
    update = bench.run(
        "r-1",
        "--x=3",
        f"--save={outputs}/model.txt",
        files={"sub/given.txt": outputs, "crlf": "\r\n"},
    )
    assert (update.state, update.cause, update.shape) == (RunState.SUCCEEDED, "", "2 x local")
    records = Path("runs/study/metrics/r-1.jsonl").read_text().splitlines()
    assert [json.loads(record)["metrics"] for record in records] == [{"value": 7.0}]  # 3 + 4
    assert (RUN / "outputs/model.txt").read_text() == "rank 0 of 2"
    assert (RUN / "outputs/rank-1/model.txt").read_text() == "rank 1 of 2"
    assert "hello from 0" in (RUN / "log.txt").read_text()
    assert "hello from 1" not in (RUN / "log.txt").read_text()
    assert "hello from 1" in (RUN / "rank-1/log.txt").read_text()
    assert (RUN / "work/sub/given.txt").read_text() == outputs
    assert (RUN / "rank-1" / "work" / "sub" / "given.txt").read_text() == f"{outputs}/rank-1"
    assert (RUN / "rank-1" / "work" / "crlf").read_bytes() == b"\r\n"


def test_a_failed_rank_ends_the_others_and_is_named(nodes: OpenNodes) -> None:
    body = (
        START
        + STOPPED
        + ("[ $NODE_RANK = 0 ] && hang\nawait up-0\necho value=9\necho no data >&2\nexit 3\n")
    )
    update = nodes(body).run("r-1")
    assert (update.state, update.cause) == (RunState.FAILED, "rank 1: exit code 3")
    assert update.exit_code == 3
    assert (RUN / "stopped-0").exists()
    assert "--- rank-1 ---\nvalue=9\nno data\n" in (RUN / "log.txt").read_text()
    assert not update.metrics_bytes  # 9 is not of the first rank
    wait_for(lambda: not find_live())


def test_nodes_that_ignore_a_stop_are_killed(nodes: OpenNodes) -> None:
    body = START + (
        "trap '' TERM\n[ $NODE_RANK = 0 ] && hang\nawait up-0\nkill -ABRT $$\nsleep 60\n"
    )
    update = nodes(body, grace=0.1).run("r-1")
    assert (update.cause, update.exit_code) == ("rank 1: killed by signal SIGABRT", None)
    wait_for(lambda: not find_live())


def test_a_cancel_reaches_all_nodes(nodes: OpenNodes) -> None:
    bench = nodes(START + STOPPED + "hang\n")
    bench.start("r-1")
    await_marks("up-0", "up-1")
    bench.service.cancel("r-1")
    update = bench.wait_for_end("r-1")
    assert (update.state, update.cause) == (RunState.CANCELED, "canceled")
    await_marks("stopped-0", "stopped-1")
    wait_for(lambda: not find_live())


def test_a_rank_that_hangs_after_the_first_has_ended_is_named(nodes: OpenNodes) -> None:
    bench = nodes(START + "[ $NODE_RANK = 1 ] && hang\nmark done\n")
    bench.start("r-1")
    await_marks("up-1", "done")
    wait_for(lambda: not is_running(int((RUN / "done").read_text())))
    assert not [update for update in bench.service.wait(0.1) if update.state.is_terminal]
    bench.service.cancel("r-1")
    assert bench.wait_for_end("r-1").cause == "canceled; still running: rank 1"


@pytest.mark.parametrize("killed", ["host", "program"])
def test_no_node_outlives_what_runs_it(nodes: OpenNodes, killed: str) -> None:
    bench = nodes(START + "hang\n")
    bench.start("r-1")
    await_marks("up-0", "up-1")
    program = json.loads((RUN / "run.jsonl").read_text().splitlines()[1])["pid"]
    os.kill(read_state(program)[1] if killed == "host" else program, signal.SIGKILL)
    update = bench.wait_for_end("r-1")
    assert update.state is (RunState.LOST if killed == "host" else RunState.FAILED)
    wait_for(lambda: not find_live())


def test_a_node_that_signals_its_group_stops_no_other(nodes: OpenNodes) -> None:
    body = START + (
        "if [ $NODE_RANK = 1 ]; then trap : TERM; kill 0; mark sent; else await sent; fi\n"
    )
    assert nodes(body).run("r-1").state is RunState.SUCCEEDED


def test_a_node_resumes_from_its_own_checkpoints_or_those_of_the_first(nodes: OpenNodes) -> None:
    body = (
        "echo $NODE_RANK $(cat $TUNE_JOBS_RESUME_DIR/c.txt)\n"
        "if [ $NODE_RANK = 0 -o $# = 1 ]; then echo of $NODE_RANK > $TUNE_JOBS_CHECKPOINT_DIR/c.txt"
        "; fi\n"
    )
    bench = nodes(body)
    bench.run("r-1", "--all", checkpoints=True)
    bench.run("r-2", checkpoints=True, resume=("r-1",))
    bench.run("r-3", checkpoints=True, resume=("r-2",))
    runs = RUN.parent
    logs = [(runs / log).read_text().strip() for log in ("r-2/log.txt", "r-2/rank-1/log.txt")]
    assert logs == ["0 of 0", "1 of 1"]
    assert (runs / "r-3/rank-1/log.txt").read_text().strip() == "1 of 0"


def test_a_script_that_cannot_be_started_says_why(nodes: OpenNodes) -> None:
    update = nodes("", "train.py", python="/nowhere/python").run("r-1")
    assert update.state is RunState.FAILED
    assert update.cause.startswith("rank 0: could not be started: ")
    assert "/nowhere/python" in update.cause


def test_nodes_may_not_be_zero() -> None:
    with pytest.raises(ConfigError, match="nodes=0"):
        LocalBackend(["true"], nodes=0)


def test_each_node_has_an_address_and_the_port_is_free() -> None:
    addresses = find_addresses(3)
    assert sorted(addresses) == [0, 1, 2]
    assert find_port(addresses[0]) < 32000
    assert set(find_addresses(1000).values()) == {"127.0.0.1"}


@pytest.mark.parametrize("killed", ["canceled", "host", "program"])
def test_no_node_outlives_its_run_without_the_variables_of_the_run(
    nodes: OpenNodes, killed: str
) -> None:
    body = (
        "mkfifo fifo\nexec env -i sh -c 'trap : TERM; echo $$ > pid.part; mv pid.part pid; "
        "while :; do read x < fifo; done'\n"
    )
    bench = nodes(body, grace=0.1)
    bench.start("r-1")
    files = [Path("work", "pid"), Path("rank-1", "work", "pid")]
    await_marks(*files)
    pids = [int((RUN / file).read_text()) for file in files]
    program = json.loads((RUN / "run.jsonl").read_text().splitlines()[1])["pid"]
    if killed == "canceled":
        bench.service.cancel("r-1")
    else:
        os.kill(read_state(program)[1] if killed == "host" else program, signal.SIGKILL)
    bench.wait_for_end("r-1")
    wait_for(lambda: not any(map(is_running, pids)))


def test_a_run_resumes_from_the_latest_run_that_left_a_checkpoint(nodes: OpenNodes) -> None:
    body = (
        "cat $TUNE_JOBS_RESUME_DIR/c.txt\n[ $# = 0 ] || echo $1 > $TUNE_JOBS_CHECKPOINT_DIR/c.txt\n"
    )
    bench = nodes(body + "mkdir $TUNE_JOBS_CHECKPOINT_DIR/best\n")
    bench.run("r-1", "first", checkpoints=True)
    bench.run("r-2", checkpoints=True, resume=("r-1",))
    bench.run("r-3", checkpoints=True, resume=("r-2", "r-1"))
    for log in ("log.txt", "rank-1/log.txt"):
        assert (RUN.parent / "r-3" / log).read_text() == "first\n"


def test_the_tuners_own_launcher_is_not_that_of_the_nodes(
    nodes: OpenNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "192.0.2.1")):
        monkeypatch.setenv(name, value)
    body = (
        "import os\nfrom tune_jobs import report\n"
        "report(value=int(os.environ['NODE_RANK']))\n"
        "print(os.environ['MASTER_ADDR'], os.environ['MASTER_PORT'])\n"
    )
    nodes(body, "train.py", env={"MASTER_PORT": "23456"}).run("r-1")
    records = Path("runs/study/metrics/r-1.jsonl").read_text().splitlines()
    assert [json.loads(record)["metrics"] for record in records] == [{"value": 0}]
    assert (RUN / "rank-1/log.txt").read_text() == "127.0.0.1 23456\n"


def test_a_run_whose_script_replaces_the_record_of_its_nodes_fails_alone(nodes: OpenNodes) -> None:
    bench = nodes(START + "hang\n", grace=0.0)
    bench.start("r-1")
    await_marks("up-0", "up-1")
    program = json.loads((RUN / "run.jsonl").read_text().splitlines()[1])["pid"]
    ends = {"nodes": 2, "exit_codes": {}, "failed": None, "problem": "", "stopped": 1}
    (RUN / "nodes.json").write_text(json.dumps({**ends, "processes": [3, [], {}]}))
    os.kill(program, signal.SIGSTOP)
    bench.service.cancel("r-1")
    assert bench.wait_for_end("r-1").state is RunState.CANCELED
    assert not bench.notices
    wait_for(lambda: not find_live())
