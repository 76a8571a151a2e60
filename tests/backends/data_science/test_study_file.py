"""`tune-jobs run` on a study.yaml with job runs on OCI, through the real SDKs, with faults."""

from __future__ import annotations

import json
from pathlib import Path

import oci
import optuna
import pytest

from tests.backends.data_science.conftest import describe_backend
from tests.oci_emulator import Emulator, Fault
from tune_jobs import Connection
from tune_jobs.cli.main import main
from tune_jobs.config.study_config import load_study
from tune_jobs.config.study_file import build_tuner
from tune_jobs.errors import ConfigError
from tune_jobs.tuning.session import RunSession

SCRIPT = """\
import sys, time
from pathlib import Path
arguments = dict(a.lstrip("-").split("=") for a in sys.argv[1:])
x, epochs = float(arguments["x"]), int(arguments.get("epochs", 3))
for epoch in range(epochs):
    print(f"epoch {epoch} score: {1 - (x - 0.3) ** 2 - 1 / (epoch + 2)}", flush=True)
Path(arguments["out"], "model.txt").write_text(str(x))
"""


@pytest.fixture
def study_yaml(tmp_path: Path, emulator: Emulator) -> Path:
    """Path of a study.yaml with job runs on OCI, beside its script."""
    (tmp_path / "train.py").write_text(SCRIPT)
    path = tmp_path / "study.yaml"
    path.write_text(
        f"""\
study: digits
script: train.py
metric: score
direction: maximize
step: epoch
parameters:
  x: {{type: float, low: 0, high: 1}}
command_line:
  arguments: ["{{parameters}}", "--out={{outputs}}"]
sampler: {{name: random, seed: 1}}
pruner: none
n_trials: 40
max_parallel: 8
storage: sqlite:///digits.db
store: oci://tune-jobs@{emulator.namespace}/tuning
{describe_backend(emulator)}\
  log_group: ocid1.loggroup.oc1..g
  poll_seconds: 0.3
  start_rate: 50
final: {{arguments: {{epochs: 6}}}}
"""
    )
    return path


FAULTS = [
    Fault("drop_after", operation="create_job_run", every=7),
    Fault("drop_before", operation="create_job_run", after=3, every=9),
    Fault("throttle", operation="create_job_run", after=5, every=8),
    Fault("error", operation="list_job_runs", after=4, every=6),
    Fault("stale", operation="list_job_runs", every=2, seconds=0.5),
    Fault("throttle", operation="list_objects", after=3, every=7),
    Fault("drop_before", operation="get_object", every=11),
    Fault("drop_after", operation="put_object", after=10, every=13),
    Fault("slow", operation="get_object", every=5, seconds=0.2),
]


@pytest.mark.slow
def test_forty_trials_and_a_final_run_under_faults(
    study_yaml: Path,
    emulator: Emulator,
    connection: Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", str(study_yaml)]) == 0, capsys.readouterr().out
    for fault in FAULTS:
        emulator.faults.add(fault)
    emulator.data_science.next_failures += [
        "Internal error: the host failed its health check.",
        "The run was preempted.",
    ]
    assert main(["run", str(study_yaml)]) == 0, capsys.readouterr().err
    assert main(["train-best", str(study_yaml)]) == 0
    emulator.faults.clear()

    study = optuna.load_study(
        study_name="digits", storage=f"sqlite:///{study_yaml.parent}/digits.db"
    )
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 40
    for trial in study.trials:
        expected = 1 - (trial.params["x"] - 0.3) ** 2
        assert trial.value == pytest.approx(expected - 1 / 4)
        assert sorted(trial.intermediate_values) == [0, 1, 2]

    # Each attempt of the ledger is exactly one run of the service.
    runs = oci.pagination.list_call_get_all_results(
        connection.client(oci.data_science.DataScienceClient).list_job_runs,
        emulator.compartment,
    ).data
    names = sorted(r.display_name for r in runs if not r.display_name.startswith("check"))
    attempts = build_tuner(load_study(study_yaml), study_yaml, study=study).attempts()
    assert names == sorted(a.name for a in attempts)
    assert len(names) == 40 + 2 + 1
    assert {r.id for r in runs} >= {a.run_id for a in attempts}

    capsys.readouterr()
    assert main(["logs", str(study_yaml), "7"]) == 0
    assert "epoch 2 score:" in capsys.readouterr().out
    assert main(["status", str(study_yaml), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["trials"] == {"COMPLETE": 40}
    assert status["final_runs"][0]["state"] == "SUCCEEDED"


def test_logs_of_a_live_run_come_from_the_logging_service(
    study_yaml: Path, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (study_yaml.parent / "train.py").write_text(
        "import signal\nprint('first line', flush=True)\nsignal.pause()\n"
    )
    tuner = build_tuner(load_study(study_yaml), study_yaml)
    with RunSession(tuner.definition, own=False) as session:
        name = "trial-000000-1"
        attempt = session.intend(name, 0, session.render(name, {"x": 0.5}))
        session.ledger.record_intended(None, [attempt])
        session.runs.submit(attempt)
        while True:
            for observation in session.runs.wait(1.0):
                run_id = observation.update.run_id
                assert run_id is not None
                session.ledger.record_submitted(None, [(attempt.name, run_id, 0.0)])
            if any("first line" in e.message for e in emulator.log_search.entries()):
                break
        assert main(["logs", str(study_yaml), "0"]) == 0
        assert "first line" in capsys.readouterr().out
        assert "first line" in tuner.logs(0)
        session.runs.cancel(attempt.name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("compartment:", "compartmant:"), "did you mean 'compartment'"),
        (("type: data_science", "type: data_scence"), "did you mean 'data_science'"),
        (("ocpus: 1\n", "ocpus: 1\n  conda_env: x\n"), "unknown key 'conda_env'"),
        (("{config_file", "{config_fle"), "did you mean 'config_file'"),
        (("  memory_gb: 16\n", ""), "both ocpus and memory_gb"),
        (("project: ocid1", "project: mine"), "is not an OCID"),
    ],
)
def test_mistake_in_the_backend_is_reported_with_its_line(
    change: tuple[str, str], message: str, study_yaml: Path
) -> None:
    content = study_yaml.read_text()
    assert change[0] in content
    study_yaml.write_text(content.replace(*change))
    with pytest.raises(ConfigError, match=r"study\.yaml:\d+: .*" + message):
        build_tuner(load_study(study_yaml), study_yaml)


def test_existing_job_replaces_the_definition(study_yaml: Path, tmp_path: Path) -> None:
    content = study_yaml.read_text()
    start, end = content.index("  compartment:"), content.index("  poll_seconds")
    job = "  job: ocid1.datasciencejob.oc1..x\n"
    study_yaml.write_text(content[:start] + job + content[end:])
    tuner = build_tuner(load_study(study_yaml), study_yaml)
    assert "ocid1.datasciencejob.oc1..x" in repr(tuner.definition.backend)
    study_yaml.write_text(content[:start] + job + content[start:])
    with pytest.raises(ConfigError, match="'compartment' belongs to the job"):
        build_tuner(load_study(study_yaml), study_yaml)


LEAVES = """\
import os, sys
from tune_jobs import outputs_dir
x = sys.argv[1].split("=")[1]
print(f"score: {x}")
open("model.pt", "w").write(x)
os.makedirs("plots")
open("plots/a b.png", "w").write("p")
(outputs_dir() / "model.pt").write_text("kept")
"""


def test_outputs_are_listed_and_downloaded_from_the_bucket(
    study_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(LEAVES)
    study = study_yaml.read_text().replace("n_trials: 40", "n_trials: 1")
    study_yaml.write_text(study.replace(', "--out={outputs}"', ""))
    assert main(["run", str(study_yaml)]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["outputs", str(study_yaml), "0", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [file["name"] for file in files] == ["model.pt", "plots/a b.png", "work/model.pt"]
    assert files[1]["bytes"] == 1
    assert files[1]["modified"] > 1e9
    assert files[1]["uri"].startswith("oci://tune-jobs@")
    assert main(["outputs", str(study_yaml), "0", "-o", "out"]) == 0
    assert (tmp_path / "out/model.pt").read_text() == "kept"
    assert float((tmp_path / "out" / "work" / "model.pt").read_text()) <= 1
    capsys.readouterr()
    assert main(["train-best", str(study_yaml), "--json"]) == 0
    final = json.loads(capsys.readouterr().out)
    assert (final["files"], final["left"]) == (["model.pt"], ["model.pt", "plots/a b.png"])


def test_names_of_objects_cannot_leave_the_folder(
    study_yaml: Path, tmp_path: Path, connection: Connection, emulator: Emulator
) -> None:
    (tmp_path / "train.py").write_text(LEAVES)
    study = study_yaml.read_text().replace("n_trials: 40", "n_trials: 1")
    study_yaml.write_text(study.replace(', "--out={outputs}"', ""))
    tuner = build_tuner(load_study(study_yaml), study_yaml)
    tuner.optimize(n_trials=1)
    client = connection.client(oci.object_storage.ObjectStorageClient)
    place = (emulator.namespace, "tune-jobs")
    root = client.list_objects(*place, prefix="tuning/").data.objects[0].name
    root = f"{'/'.join(root.split('/')[:2])}/runs/trial-000000-1/outputs"
    for name in ("../../escaped", "/absolute", "a/../../b", "..", "folder/"):
        client.put_object(*place, f"{root}/{name}", b"x")
    out = tmp_path / "in/out"
    paths = tuner.outputs(0).download(out)
    assert len(paths) == 3 + 4
    assert all(path.is_file() and out in path.parents for path in paths)
    assert ".." not in {part for path in paths for part in path.parts}
    assert not list(tmp_path.rglob("escaped"))[1:]
