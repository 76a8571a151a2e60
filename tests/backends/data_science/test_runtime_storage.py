"""The runner's way to Object Storage: odd names, and the last upload of a script's reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oci_emulator import Emulator, Fault
from tune_jobs.runtime import oci_answers, upload
from tune_jobs.runtime.upload import GrowingFile, ObjectStorage

NAMES = [
    *("licence=Attribution License/size=1-2/_SUCCESS", "a#b?c%20d&e+f.txt", "ü ñ.bin", "empty"),
    *("-dash", "x" * 200, "trail ", "dot.", "back\\slash"),
]


@pytest.fixture
def storage(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    monkeypatch.setenv("OCI_CONFIG_LOCATION", str(emulator.config_file))
    monkeypatch.setenv("TUNE_JOBS_OCI_ENDPOINT", emulator.endpoint)
    return ObjectStorage("tune-jobs", emulator.namespace, "study")


def test_odd_names_of_outputs_and_checkpoints_come_back(
    storage: ObjectStorage, tmp_path: Path
) -> None:
    for name in NAMES:
        file = tmp_path / "left" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("" if name == "empty" else name)
        storage.put_file(f"runs/a/checkpoints/{name}", str(file))
    assert sorted(storage.find("runs/a/checkpoints")) == sorted(NAMES)
    for name in NAMES:
        storage.get_file(f"runs/a/checkpoints/{name}", str(tmp_path / "back"))
        assert (tmp_path / "back").read_text() == ("" if name == "empty" else name)


@pytest.mark.parametrize("was_accepted", [True, False])
def test_last_reports_endure_refusals(
    was_accepted: bool,
    storage: ObjectStorage,
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(oci_answers, "FIRST_PATIENCE", 3.0)
    reports = tmp_path / "reported.jsonl"
    file = GrowingFile(storage, "metrics/a.jsonl", str(reports))
    if was_accepted:
        reports.write_text("1\n")
        file.upload()
    reports.write_text("1\n2\n")
    for status in (404, 401):
        emulator.faults.add(Fault("error", "put_object", times=1, status=status, code="Blip"))
    upload._upload_finally(file)
    assert storage.get("metrics/a.jsonl") == b"1\n2\n"
    assert "incomplete" not in capsys.readouterr().err


def test_last_reports_that_are_refused_are_said_to_be_missing(
    storage: ObjectStorage,
    emulator: Emulator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "reported.jsonl").write_text("1\n")
    emulator.faults.add(Fault("error", "put_object", status=404, code="BucketNotFound"))
    upload._upload_finally(GrowingFile(storage, "m", str(tmp_path / "reported.jsonl")))
    said = capsys.readouterr().err
    assert said.startswith("tune_jobs: the reports are incomplete: an upload failed: 404 Bucket")
