"""The acceptance program: its price, its question, and the removal of what it made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import oci
import pytest
import yaml

from tests.acceptance.__main__ import describe_emulator, describe_price, main
from tests.acceptance.removal import remove_all
from tests.acceptance.tenancy import TAG, read_tenancy
from tests.oci_emulator import Emulator
from tune_jobs.metric_store.folder import open_folder

models = oci.data_science.models


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """Emulated tenancy."""
    with Emulator(tmp_path / "oci", execute=False) as running:
        yield running


@pytest.fixture
def file(emulator: Emulator, tmp_path: Path) -> Path:
    """File of the emulated tenancy."""
    path = tmp_path / "tenancy.yaml"
    path.write_text(yaml.safe_dump(describe_emulator(emulator)))
    return path


def test_price(file: Path) -> None:
    price = describe_price(8, read_tenancy(file, "session"))
    assert price == "8 tests, about 24 job runs, 2.0 hours of VM.Standard.E4.Flex: price 0.10"


def test_unknown_key_is_refused(file: Path) -> None:
    file.write_text(file.read_text() + "shap: x\n")
    with pytest.raises(ValueError, match="unknown key 'shap'"):
        read_tenancy(file, "session")


def test_only_what_the_session_made_is_removed(emulator: Emulator, file: Path) -> None:
    tenancy = read_tenancy(file, "session")
    emulator.data_science.duration = lambda run: 3600.0
    client = tenancy.connection.client(oci.data_science.DataScienceClient)
    place = {"project_id": emulator.project, "compartment_id": emulator.compartment}
    infrastructure = models.ManagedEgressStandaloneJobInfrastructureConfigurationDetails(
        shape_name="VM.Standard2.1", block_storage_size_in_gbs=50
    )
    on = {**place, "job_infrastructure_configuration_details": infrastructure}
    jobs = {
        name: client.create_job(models.CreateJobDetails(**on, freeform_tags=tags)).data.id
        for name, tags in {"ours": {TAG: "session"}, "theirs": {TAG: "other"}, "noted": {}}.items()
    }
    client.create_job_artifact(jobs["ours"], b"", content_disposition="attachment; filename=a.py")
    client.create_job_run(models.CreateJobRunDetails(**place, job_id=jobs["ours"]))
    record = yaml.safe_dump({"id": jobs["noted"]}).encode()
    open_folder(f"{tenancy.store}/test/study-1", {"connection": tenancy.connection}).write(
        "jobs/abc.yaml", record
    )
    objects = emulator.object_storage.buckets["tune-jobs"].objects
    parent = tenancy.store.rpartition("/")[0]
    open_folder(parent, {"connection": tenancy.connection}).write("sessions.txt", b"kept")
    removed = remove_all(tenancy, "session")
    assert sorted(removed) == sorted([jobs["ours"], jobs["noted"], "1 objects"])
    assert emulator.data_science.jobs() == [jobs["theirs"]]
    assert emulator.data_science.runs() == []
    assert list(objects) == ["acceptance/sessions.txt"]


@pytest.mark.slow
def test_suite_runs_in_a_tenancy_by_configuration(
    emulator: Emulator,
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    emulator.world.execute = True
    selected = ["--", "-k", "exit_code or more", "-q"]
    assert main(["--tenancy", str(file), *selected], ask=lambda question: "no") == 0
    assert emulator.data_science.jobs() == []
    assert main(["--tenancy", str(file), "--yes", *selected]) == 0
    assert emulator.data_science.jobs() == []
    assert "removed ocid1.datasciencejob" in capsys.readouterr().out
    assert not emulator.object_storage.buckets["tune-jobs"].objects
