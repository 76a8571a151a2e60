"""The value of a secret is found nowhere but in the run: not in any byte that was written."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import oci
import optuna
import pytest

from tests.backends.data_science.conftest import describe_backend
from tests.dashboard.conftest import sign_in
from tests.oci_emulator import Emulator
from tune_jobs import Connection, LocalBackend, Secret
from tune_jobs.cli.main import main

VALUE = "hf_Zürich/Töken+\"1'& 2\nsecond lïne of it=="
ROOT = str(Path(__file__).parents[2])

SCRIPT = """\
import base64, hashlib, os, pathlib, sys, time, urllib.parse
from tune_jobs import report
x = float(sys.argv[1].partition("=")[2])
value = os.environ["TOKEN"]
raw = os.fsencode(value)
print("digest", hashlib.sha256(raw).hexdigest())
for printed in (value, repr(value), urllib.parse.quote(value, safe=""), raw.hex()):
    print("a", printed, "b", file=sys.stderr, flush=True)
print(base64.b64encode(raw), base64.encodebytes(b"user:" + raw * 3).decode(), flush=True)
print("\\x1b[1m" + value[:9] + "\\x1b[0m" + value[9:])
for piece in (value[:5], value[5:20], value[20:]):
    print(piece, end="", flush=True)
    time.sleep(0.02)
print()
print(f"loss of {value.split()[0]}: 1.5")
report({f"score of {value.split()[0]}": 1.0, "value": x})
named = [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if raw in p.read_bytes()]
print("command lines:", len(named))
if x < 50:
    raise ValueError(f"bad token {value}")
"""

STUDY = """\
study: s
direction: maximize
script: train.py
metric: value
parameters: {{x: {{type: int, low: 1, high: 100}}}}
sampler: {{name: random, seed: 1}}
n_trials: 3
max_parallel: 2
max_failures: 3
duplicates: run
storage: {storage}
store: {store}
{backend}
  env: {{TOKEN: {{secret: {ocid}}}, PLAIN: "1"}}
"""


def forms() -> list[bytes]:
    """Return the value as it would be found; without ends that depend on what is around them."""
    raw = VALUE.encode()
    found = [raw, base64.b64encode(raw)[:-4], base64.urlsafe_b64encode(raw)[:-4]]
    found += [
        base64.b64encode(b"user:" + raw)[8:-4],
        quote(VALUE, safe="").encode(),
        quote(VALUE).encode(),
    ]
    escaped = [json.dumps(VALUE)[1:-1], repr(VALUE)[1:-1], raw.hex()]
    found += [each.encode() for each in escaped] + [repr(raw)[2:-1].encode()]
    return [*found, *(line.strip() for line in raw.splitlines())]


def find(data: bytes) -> list[bytes]:
    """Return the forms of the value in some bytes, or in a zip of them."""
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [form for name in archive.namelist() for form in find(archive.read(name))]
    return [form for form in forms() if form in data]


def search(folder: Path) -> list[tuple[str, list[bytes]]]:
    """Return the files that have the value, and how."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    found = [(str(path), find(path.read_bytes())) for path in files]
    names = [(str(path), find(str(path).encode())) for path in files]
    return [(path, each) for path, each in (*found, *names) if each]


def check_log(log: str) -> None:
    """Check that a run had the secret, and that no other process could see it."""
    assert f"digest {hashlib.sha256(VALUE.encode()).hexdigest()}" in log
    assert "command lines: 0" in log
    assert log.count("***") >= 10
    assert not find(log.encode())


def print_everything(capsys: pytest.CaptureFixture[str], folder: str) -> bytes:
    """Return what the commands print about the study."""
    commands = ["run", "train-best", "status --json", "show 0", "show 1 --json", "outputs 0"]
    for words in (*commands, "logs 0"):
        command, *rest = words.split()
        main([command, "study.yaml", *rest])
    main(["report", "study.yaml", "-o", f"{folder}/report.html"])
    printed = capsys.readouterr()
    return (printed.out + printed.err).encode()


def read_page(storage: str) -> Iterator[bytes]:
    """Yield what a dashboard answers about the study."""
    client = sign_in([storage])
    yield client.get("/").data
    answer = client.get("/api/studies")
    yield answer.data
    key = json.loads(answer.data)["studies"][0]["key"]
    for path in (
        "",
        "/trials",
        "/figures/history",
        *(f"/runs/trial-00000{n}-1/log" for n in range(3)),
    ):
        yield client.get(f"/api/studies/{key}{path}").data


def test_the_search_finds_every_form(tmp_path: Path) -> None:
    for number, form in enumerate(forms()):
        (tmp_path / f"{number}.txt").write_bytes(b"x" + form + b"y")
    assert len({path for path, _ in search(tmp_path)}) == len(forms())


def test_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOKEN", VALUE)
    storage = f"sqlite:///{tmp_path}/s.db"
    Path("train.py").write_text(SCRIPT)
    Path("study.yaml").write_text(
        STUDY.format(
            backend="backend:\n  type: local",
            ocid="ocid1.vaultsecret.oc1..a",
            storage=storage,
            store="runs",
        )
    )
    printed = print_everything(capsys, str(tmp_path))
    assert b"final-1-1" in printed
    assert not find(printed)
    backend = LocalBackend(["true"], env={"TOKEN": Secret("ocid1.vaultsecret.oc1..a")})
    backend.check()
    assert not find(pickle.dumps(backend))
    assert not [form for page in read_page(storage) for form in find(page)]
    logs = [path.read_text() for path in tmp_path.rglob("log.txt")]
    assert len(logs) >= 4
    for log in logs:
        check_log(log)
    trials = optuna.load_study(study_name="s", storage=storage).trials
    states = [trial.state.name for trial in trials]
    assert {"COMPLETE", "FAIL"} <= set(states)
    assert search(tmp_path) == []


def read_service(emulator: Emulator) -> Iterator[bytes]:
    """Yield what the services hold and were asked, except the secret itself."""
    connection = Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)
    client = connection.client(oci.data_science.DataScienceClient)
    for each in client.list_job_runs(emulator.compartment).data:
        yield str(client.get_job_run(each.id).data).encode()
    for each in client.list_jobs(emulator.compartment).data:
        yield str(client.get_job(each.id).data).encode()
        yield client.get_job_artifact_content(each.id).data.content
    for bucket in emulator.object_storage.buckets.values():
        for name, each in bucket.objects.items():
            yield name.encode() + each.data
    yield "".join(entry.message for entry in emulator.log_search.entries()).encode()
    yield "".join(seen.path for seen in emulator.requests).encode()


@pytest.mark.slow
def test_on_oci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    with Emulator(tmp_path / "oci") as emulator:
        bucket = f"oci://tune-jobs@{emulator.namespace}"
        monkeypatch.setenv("OCI_CONFIG_LOCATION", str(emulator.config_file))
        monkeypatch.setenv("TUNE_JOBS_OCI_ENDPOINT", emulator.endpoint)
        ocid = emulator.vault.add("token", VALUE.encode())
        Path("train.py").write_text(SCRIPT)
        backend = describe_backend(emulator).rstrip() + "\n  poll_seconds: 0.2\n  start_rate: 50"
        on = (
            f"controller: {{shape: VM.Standard.E4.Flex, ocpus: 1, memory_gb: 8, conda: {bucket}/c, "
        )
        on += f"env: {{PYTHONPATH: {ROOT}, TOKEN: {{secret: {ocid}}}}}}}\n"
        Path("study.yaml").write_text(
            STUDY.format(
                backend=backend, ocid=ocid, storage=f"{bucket}/study", store=f"{bucket}/runs"
            )
            + on
        )
        assert main(["run", "study.yaml", "--detach"]) == 0
        main(["logs", "study.yaml", "controller", "-f"])
        printed = print_everything(capsys, str(tmp_path))
        assert b"final-1-1" in printed
        main(["pull", f"{bucket}/study", f"{tmp_path}/pulled.db"])
        assert not find(printed)
        assert not [form for data in read_service(emulator) for form in find(data)]
        objects = emulator.object_storage.buckets["tune-jobs"].objects
        logs = [each.data.decode() for name, each in objects.items() if name.endswith("log.txt")]
        runs = [log for log in logs if "digest" in log]
        assert len(runs) >= 4
        for log in runs:
            check_log(log)
        assert search(tmp_path) == []
