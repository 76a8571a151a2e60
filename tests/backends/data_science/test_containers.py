"""Containers: images with CMD, ENTRYPOINT, both and shells; the runner inside of images."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.backends.data_science.conftest import (
    SOURCES,
    count_requests,
    open_client,
    run,
    wait_for_end,
)
from tests.backends.data_science.test_request import JOB, REQUEST, details
from tests.backends.data_science.test_runtimes import ads_job
from tests.oci_emulator import Emulator
from tests.oci_emulator.images import write_image
from tune_jobs import Connection, DataScienceBackend
from tune_jobs.backends.data_science.ads_job import quiet_ads
from tune_jobs.backends.data_science.container import (
    MAX_COMMAND,
    RUNNER_ENTRYPOINT,
    build_command,
    check_container,
    count_bytes,
)
from tune_jobs.backends.data_science.request import needs_object
from tune_jobs.core.job_runs import RunState
from tune_jobs.errors import ConfigError, SubmitError
from tune_jobs.metric_store.store import MetricStore

IMAGE = "iad.ocir.io/ns/train:1"
TRAIN = """\
import os, pathlib, sys
options = dict(word[2:].split("=") for word in sys.argv[1:] if word.startswith("--"))
assert os.environ["IN_IMAGE"] == "yes"
assert open("data.txt").read() == "data"
pathlib.Path(os.environ["TUNE_JOBS_OUTPUTS_DIR"], "model").write_text("weights")
pathlib.Path(os.environ["TUNE_JOBS_CHECKPOINT_DIR"], "last").write_text("step 1")
print("value:", options["x"])
"""

RunImage = Callable[[Mapping[str, Any]], MetricStore]


@pytest.fixture
def image(emulator: Emulator, tmp_path: Path) -> str:
    """Image with a program that reads files of its working directory."""
    config = {"Cmd": ["python", "train.py"], "Env": ["IN_IMAGE=yes"], "WorkingDir": "/app"}
    files = {"/app/train.py": TRAIN, "/app/data.txt": "data"}
    emulator.world.images[IMAGE] = write_image(tmp_path / "image", config, files)
    return IMAGE


@pytest.fixture
def make_backend(emulator: Emulator, connection: Connection) -> Callable[..., DataScienceBackend]:
    """Return a function that makes a backend for a container."""

    def make(image: str, env: Mapping[str, str] | None = None, **words: Any) -> DataScienceBackend:
        with quiet_ads():
            from ads.jobs import ContainerRuntime
        runtime = ContainerRuntime().with_image(image, **words)
        if env:
            runtime.with_environment_variable(**env)
        job = ads_job(emulator, runtime)
        return DataScienceBackend.from_job(job, connection=connection, poll_seconds=0.1)

    return make


@pytest.mark.parametrize(
    "words",
    [
        {"cmd": ["python", "train.py"]},
        {"entrypoint": ["python"], "cmd": ["train.py", "--y=2"]},
        {"entrypoint": ["/bin/sh", "-c"], "cmd": "python train.py"},
        {"entrypoint": ["bash", "-c", 'cd . && python train.py "$@" | cat', "bash"]},
    ],
    ids=["cmd", "both", "shell", "shell with arguments"],
)
def test_runner_in_an_image_has_metrics_outputs_and_checkpoints(
    words: Mapping[str, Any], make_backend: Any, image: str, store: str, emulator: Emulator
) -> None:
    backend = make_backend(image, **words)
    backend.check()
    with backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print) as service:
        service.submit(run("trial-000000-1", "--x=0.5"))
        end = wait_for_end(service, "trial-000000-1")
    stored = MetricStore(store, "study-1", backend.store_options)
    log = stored.log("trial-000000-1")
    assert end.state == RunState.SUCCEEDED, f"{end.cause}\n{log}"
    assert [r.values for r in stored.records("trial-000000-1")] == [{"value": 0.5}], log
    assert stored.outputs("trial-000000-1") == ["model"]
    assert stored.read_text("runs/trial-000000-1/checkpoints/last") == "step 1"


WRAPPER = """#!/bin/sh
export FROM_ENTRYPOINT=yes
exec "$@"
"""


def test_entrypoint_of_the_image_starts_the_runner_if_only_cmd_is_named(
    make_backend: Any, store: str, emulator: Emulator, tmp_path: Path
) -> None:
    train = "import os\nprint('value:', 1.0 if os.environ['FROM_ENTRYPOINT'] == 'yes' else 0)\n"
    config = {"Entrypoint": ["/bin/sh", "/app/setup.sh"], "Cmd": ["sh"], "WorkingDir": "/app"}
    files = {"/app/train.py": train, "/app/setup.sh": WRAPPER}
    emulator.world.images[IMAGE] = write_image(tmp_path / "image", config, files)
    backend = make_backend(IMAGE, cmd=["python", "train.py"])
    with backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print) as service:
        service.submit(run("trial-000000-1", "--x=0.5"))
        end = wait_for_end(service, "trial-000000-1")
    stored = MetricStore(store, "study-1", backend.store_options)
    assert end.state == RunState.SUCCEEDED, f"{end.cause}\n{stored.log('trial-000000-1')}"
    assert [r.values for r in stored.records("trial-000000-1")] == [{"value": 1.0}]


def test_long_arguments_travel_in_an_object(
    make_backend: Any, image: str, store: str, connection: Connection, emulator: Emulator
) -> None:
    backend = make_backend(image, entrypoint=["python", "train.py"])
    with backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print) as service:
        service.submit(run("trial-000000-1", "--x=0.5", f"--long={'y' * 5000}"))
        assert wait_for_end(service, "trial-000000-1").state == RunState.SUCCEEDED
    (sent,) = (r.facts for r in emulator.data_science.runs())
    assert sent["jobEnvironmentConfigurationOverrideDetails"]["cmd"] == []


def test_image_without_the_runner(
    make_backend: Any, image: str, store: str, connection: Connection, emulator: Emulator
) -> None:
    backend = make_backend(image, {"TUNE_JOBS_RUNNER": "off"}, entrypoint=["python", "train.py"])
    with backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print):
        pass
    client = open_client(connection)
    job = client.get_job(client.list_jobs(emulator.compartment).data[0].id).data
    assert job.job_environment_configuration_details.entrypoint == ["python", "train.py"]
    assert emulator.data_science.artifacts() == []


@pytest.mark.parametrize(
    ("runtime", "fix"),
    [
        ({}, "names no command"),
        ({"cmd": ["--epochs", "5"]}, "begins with an option"),
        ({"cmd": ["train.py", "--epochs=5"]}, "begins with a script"),
        ({"entrypoint": [""], "cmd": ["train"]}, "names no command"),
        ({"entrypoint": "", "cmd": ""}, "names no command"),
        ({"cmd": "python train.py"}, r"\['python', 'train.py'\]"),
        ({"entrypoint": "python train.py"}, "splits a string at its commas"),
        ({"entrypoint": ["sh", "-c"], "cmd": "train --a 1,2"}, "splits a string at its commas"),
        ({"entrypoint": ["sh", "-c"], "cmd": ["train | tee log"]}, r'"\$@"'),
        ({"entrypoint": ["bash", "-c", "train; true"]}, r'"\$@"'),
        ({"entrypoint": ["bash", "-c"]}, "is missing"),
        ({"entrypoint": ["train", "x" * MAX_COMMAND]}, "bytes"),
        ({"entrypoint": ["fish", "-c"], "cmd": "python train.py"}, "fish would not pass"),
        ({"entrypoint": ["/bin/csh", "-fc", "python train.py"]}, "csh would not pass"),
        ({"entrypoint": ["tcsh", "-c", "train"]}, "tcsh would not pass"),
        ({"entrypoint": ["fish", "--command=train"]}, "fish would not pass"),
        ({"cmd": ["/usr/bin/pwsh", "-NoProfile", "-Command", "train"]}, "pwsh would not pass"),
        ({"cmd": ["pwsh", "-c", "train $argv"]}, "pwsh would not pass"),
        ({"cmd": ["nu", "-c", "train"]}, "nu would not pass"),
        ({"cmd": ["su", "-", "trainer", "-c", "train"]}, "su would not pass"),
        ({"cmd": ["gosu", "trainer", "fish", "-c", "train"]}, "fish would not pass"),
        ({"cmd": ["env", "A=1", "-S", "bash -c train"]}, "env -S would not pass"),
        ({"cmd": ["env", "-Ssh -c train"]}, "env -S would not pass"),
        ({"cmd": ["sh", "-c", "cd /app && bash -lc 'python train.py'"]}, r'"\$@"'),
        ({"cmd": ["sh", "-c", "exec su trainer -c train"]}, r'"\$@"'),
        ({"cmd": ["sh", "-c", "train \\"]}, r'"\$@"'),
        ({"cmd": ["sh", "-c", "train '"]}, r'"\$@"'),
    ],
)
def test_commands_that_take_no_arguments_are_refused(runtime: Mapping[str, Any], fix: str) -> None:
    with pytest.raises(ConfigError, match=fix):
        check_container("the job", runtime)


def test_refusal_comes_before_anything_is_created(
    make_backend: Any, image: str, emulator: Emulator
) -> None:
    with pytest.raises(ConfigError, match="names no command"):
        make_backend(image).check()
    assert count_requests(emulator)["create_job"] == 0


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"cmd": ["a", "b"]}, ["a", "b", "--x=1"]),
        ({"entrypoint": ["a"], "cmd": ["b"]}, ["a", "b", "--x=1"]),
        ({"entrypoint": ["sh", "-c"], "cmd": ["a b"]}, ["sh", "-c", 'a b "$@"', "sh", "--x=1"]),
        ({"cmd": ["/bin/bash", "-ec", "a $1"]}, ["/bin/bash", "-ec", "a $1", "sh", "--x=1"]),
        (
            {"entrypoint": ["sh", "-c", 'a "$@"', "me"]},
            ["sh", "-c", 'a "$@"', "me", "--x=1"],
        ),
        ({"entrypoint": ["bash", "run.sh"]}, ["bash", "run.sh", "--x=1"]),
        (
            {"cmd": ["busybox", "sh", "-c", "train"]},
            ["busybox", "sh", "-c", 'train "$@"', "sh", "--x=1"],
        ),
        (
            {"cmd": ["tini", "--", "sh", "-c", "train"]},
            ["tini", "--", "sh", "-c", 'train "$@"', "sh", "--x=1"],
        ),
        (
            {"cmd": ["sh", "-c", "awk '{print $1}' file"]},
            ["sh", "-c", "awk '{print $1}' file \"$@\"", "sh", "--x=1"],
        ),
    ],
)
def test_arguments_follow_the_program(
    container: Mapping[str, Sequence[str]], expected: list[str]
) -> None:
    built = build_command(container, ["--x=1"])
    assert [*built.get("entrypoint", []), *built["cmd"]] == expected


def test_command_is_limited_in_bytes() -> None:
    container = {"jobEnvironmentType": "OCIR_CONTAINER", "image": IMAGE}
    plain = replace(JOB, container={**container, "entrypoint": ["train"]}, has_runner=False)
    long = replace(REQUEST, argv=("é" * (MAX_COMMAND // 2),))
    assert len(long.argv[0]) < MAX_COMMAND
    with pytest.raises(SubmitError, match="less than 2048"):
        details(job=plain, request=long)
    own = replace(JOB, container={**container, "entrypoint": list(RUNNER_ENTRYPOINT)})
    assert needs_object(own, long)
    assert not needs_object(own, REQUEST)
    sent = details(job=own, request=long, as_object=True)
    assert count_bytes(sent["jobEnvironmentConfigurationOverrideDetails"]) < 100


@pytest.mark.parametrize(
    "words",
    [
        ["bash", "-o", "pipefail", "-c"],
        ["bash", "-euo", "pipefail", "-c"],
        ["bash", "-ceo", "pipefail"],
        ["bash", "-c", "-e"],
        ["bash", "--login", "+x", "-c"],
        ["/usr/bin/env", "A=1", "bash", "-c"],
        ["timeout", "60", "/bin/sh", "-c"],
        ["bash", "-c", "--"],
        ["bash", "-lc"],
    ],
    ids=" ".join,
)
def test_shell_that_is_started_in_another_way_passes_arguments_on(words: list[str]) -> None:
    container = {"entrypoint": [*words, "env printf '[%s]' "], "cmd": []}
    command = build_command(container, ["--lr=0.1", "a b"])
    argv = [*command["entrypoint"], *command["cmd"]]
    assert subprocess.run(argv, capture_output=True, check=True).stdout == b"[--lr=0.1][a b]"


@pytest.mark.parametrize(
    "words",
    [
        ["bash", "train.sh"],
        ["bash", "-x", "train.sh"],
        ["bash", "--", "-c"],
        ["train", "--with", "sh", "-c", "x"],
        ["fish", "train.fish"],
        ["fish", "-C", "cd /app", "train.fish"],
        ["fish", "-c", "python train.py $argv"],
        ["pwsh", "-File", "train.ps1"],
        ["pwsh", "-ExecutionPolicy", "Bypass", "-File", "train.ps1"],
        ["env", "-S", "python train.py"],
        ["su-exec", "trainer", "python", "train.py"],
        ["npm", "run", "train", "--"],
    ],
    ids=" ".join,
)
def test_words_that_take_arguments_stay(words: list[str]) -> None:
    command = build_command({"entrypoint": words}, ["--lr=0.1"])
    assert [*command["entrypoint"], *command["cmd"]] == [*words, "--lr=0.1"]
