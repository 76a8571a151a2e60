"""The doctor against an emulator that behaves as assumed, or deviates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.backends.data_science.conftest import MakeBackend, describe_backend, permit_tuners
from tests.backends.data_science.doctor.conftest import TIMING, Examine, find_faults, find_rest
from tests.oci_emulator import Emulator, Fault
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Secret
from tune_jobs.backends.oci_runs.assumptions import ASSUMPTIONS
from tune_jobs.cli.main import main
from tune_jobs.errors import ConfigError
from tune_jobs.oci.policies import JOBS, RUN_SECRETS, RUN_STORE, STORE

TRIED = [a.id for a in ASSUMPTIONS.values() if a.tried]

HIDING = {
    "oci-installed",  # hides whether the store works
    "resource-principal",
    "nonzero-fails",  # hides the wording
    "cancel-sigterm",  # hides the time until KILL
    "put-replaces",  # hides the etag
    "listed-at-once",
    "run-listed",  # hides the listing
    "output-logged",  # hides the reports that cannot be uploaded
    "deleted-gone",  # leaves runs behind
}
"""Deviations that hide others."""


def test_tenancy_as_assumed(
    emulator: Emulator, examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = examine(run=True, max_parallel=4, prices={"VM.Standard.E4.Flex": 3.6})
    assert report.is_good, str(report)
    tried = {f.id for f in report.register if f.verdict == "holds"}
    assert tried == set(TRIED)
    assert set(TRIED) <= emulator.world.exercised
    assert find_rest(emulator) == []
    assert "2 job runs" in report.cost
    assert "cost" in report.cost
    attached = json.dumps(report.to_dict())
    key = Path(emulator.config()["key_file"]).read_text().splitlines()[1]
    for secret in (key, emulator.config()["fingerprint"], "PRIVATE KEY", emulator.world.user):
        assert secret not in attached
    for item in report.register:
        assert item.id in attached
    assert "killed at once" not in attached  # which is said only if it is so


PLANTED = [
    set(TRIED) - HIDING,
    {"oci-installed", "nonzero-fails", "put-replaces", "cancel-sigterm", "run-listed"},
    {"resource-principal", "listed-at-once"},
    {"output-logged", "exit-code-wording"},
    {"deleted-gone", "arguments-split"},
]


@pytest.mark.parametrize(
    "planted",
    [
        *(pytest.param(planted, id=f"{len(planted)}") for planted in PLANTED[:2]),
        *(pytest.param(p, marks=pytest.mark.slow, id="-".join(sorted(p))) for p in PLANTED[2:]),
    ],
)
def test_deviations_are_named_together(
    emulator: Emulator, examine: Examine, planted: set[str]
) -> None:
    emulator.world.deviations = set(planted)
    report = examine(run=True)
    assert find_faults(report) == planted, str(report)
    assert "deleted-gone" in planted or find_rest(emulator) == []


def test_every_assumption_that_can_be_tried_is_planted() -> None:
    assert set().union(*PLANTED) == set(TRIED)


@pytest.mark.slow
@pytest.mark.parametrize("planted", TRIED)
def test_deviation_is_named(emulator: Emulator, examine: Examine, planted: str) -> None:
    emulator.world.deviations = {planted}
    assert find_faults(examine(run=True)) == {planted}
    assert planted == "deleted-gone" or find_rest(emulator) == []


# -- before money is spent ------------------------------------------------------------------------


def test_without_runs_nothing_is_started(emulator: Emulator, examine: Examine) -> None:
    report = examine()
    assert report.is_good, str(report)
    assert find_rest(emulator) == []
    assert "nothing was spent" in report.cost
    assert not {"create_job", "create_job_run"} & {seen.operation for seen in emulator.requests}


@pytest.mark.parametrize("planted", [set(), {"put-if-absent"}])
def test_a_bucket_that_holds_the_study_is_examined(
    emulator: Emulator, examine: Examine, planted: set[str]
) -> None:
    emulator.world.deviations = planted
    report = examine(storage=f"oci://tune-jobs@{emulator.namespace}/studies")
    assert find_faults(report) == (planted | {"storage"} if planted else set())
    assert "storage" in {check.id for check in report.checks}
    assert find_rest(emulator) == []


def test_service_out_of_reach(examine: Examine, emulator: Emulator) -> None:
    nowhere = Connection(config_file=emulator.config_file, endpoint="http://127.0.0.1:9")
    report = examine(run=True, backend={"connection": nowhere})
    assert "caller" in find_faults(report)
    assert "network" in str(report)
    assert "nothing was spent" in report.cost


def test_expired_key(examine: Examine, emulator: Emulator) -> None:
    emulator.identities.rotate_api_key(write=False)
    report = examine(run=True)
    assert "caller" in find_faults(report)
    assert "401" in str(report)
    assert find_rest(emulator) == []


def test_half_permitted(examine: Examine, emulator: Emulator) -> None:
    permit_tuners(emulator, "manage data-science-family")
    report = examine(run=True)
    assert {"bucket", "log group", "compartment", "limits"} <= find_faults(report)
    assert str(STORE.for_bucket("tune-jobs")) in str(report)
    assert "nothing was spent" in report.cost
    assert find_rest(emulator) == []


def test_missing_bucket(examine: Examine, emulator: Emulator) -> None:
    report = examine(store=f"oci://elsewhere@{emulator.namespace}/runs")
    assert find_faults(report) == {"bucket"}
    assert "oci os bucket create" in str(report)
    assert f"fix: {STORE.for_bucket('elsewhere')}" in str(report)


def test_job_may_not_be_created(examine: Examine, emulator: Emulator) -> None:
    permit_tuners(
        emulator,
        "manage object-family",
        "use data-science-family",
        "manage logging-family",
        "inspect compartments",
        "inspect resource-availability",
    )
    report = examine(run=True)
    assert find_faults(report) == {"job"}, str(report)
    assert str(JOBS) in str(report)
    assert find_rest(emulator) == []


def test_limits_are_lower_than_max_parallel(examine: Examine, emulator: Emulator) -> None:
    emulator.world.limits.available["ds-standard-e4-flex-core-count"] = 3
    report = examine(max_parallel=4)
    assert find_faults(report) == {"limits"}
    assert "3 available, max_parallel needs 4" in str(report)


def test_unknown_shape(examine: Examine, emulator: Emulator) -> None:
    report = examine(backend={"fallback_shapes": ["VM.Standard9.Flex"]})
    assert find_faults(report) == {"shape"}
    assert "VM.Standard9.Flex not among" in str(report)


def test_flexible_shape_without_a_size(
    examine: Examine, emulator: Emulator, infrastructure: Infrastructure
) -> None:
    unsized = replace(infrastructure, ocpus=None, memory_gb=None)
    with pytest.raises(ConfigError, match=r"VM\.Standard\.E4\.Flex is flexible: add its size"):
        examine(backend={"infrastructure": unsized})
    assert find_rest(emulator) == []


def test_clock_is_wrong(examine: Examine, emulator: Emulator) -> None:
    emulator.set_clock_ahead(280.0)
    assert find_faults(examine()) == {"clock"}


def test_store_is_no_bucket(examine: Examine) -> None:
    report = examine(store="runs", run=True)
    assert find_faults(report) == {"bucket"}


# -- interruptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["created", "job run ocid1"])
def test_interrupted(examine: Examine, emulator: Emulator, at: str) -> None:
    said: list[str] = []

    def notice(line: str) -> None:
        said.append(line)
        if at in line and not any("removed" in each for each in said):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(run=True, notice=notice)
    assert find_rest(emulator) == []
    assert ("nothing was spent" if at == "created" else "1 job runs") in said[-1]


def test_second_run_is_refused(examine: Examine, emulator: Emulator) -> None:
    emulator.faults.add(Fault("error", "create_job_run", status=400, code="Odd", after=2))
    report = examine(run=True)
    assert find_faults(report) == {"start"}, str(report)
    assert find_rest(emulator) == []


def test_what_cannot_be_removed_is_named(examine: Examine, emulator: Emulator) -> None:
    emulator.faults.add(Fault("error", "delete_object", status=400, code="Locked"))
    report = examine()
    assert not report.is_good
    assert any("conditional of bucket tune-jobs" in name for name in report.left)
    assert "could not be removed" in str(report)


# -- other jobs, and the command line -------------------------------------------------------------


def test_runs_lack_the_bucket_policy(examine: Examine, emulator: Emulator) -> None:
    permit_tuners(
        emulator,
        "manage data-science-family",
        "manage object-family",
        "manage logging-family",
        "inspect compartments",
        "inspect resource-availability",
        job_runs=["use log-content"],
    )
    report = examine(run=True)
    assert find_faults(report) == {"store-from-run"}, str(report)
    assert str(RUN_STORE) in str(report)


@pytest.mark.slow
def test_existing_job(
    emulator: Emulator, connection: Connection, make_backend: MakeBackend, store: str
) -> None:
    service = make_backend("print('value: 1')").open(
        store, "study-1", _sources(), keep_runs=True, notice=lambda line: None
    )
    job = str(service.describe()["job"])
    service.close()
    before = find_rest(emulator)
    backend = DataScienceBackend.from_ocid(job, connection=connection)
    report = backend.doctor(store, run=True, notice=lambda line: None, timing=TIMING)
    assert report.is_good, str(report)
    assert find_rest(emulator) == before


def _sources() -> Any:
    from tune_jobs.core.job_runs import MetricSources

    return MetricSources(("value",))


def test_command_line(
    emulator: Emulator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "train.py").write_text("print('value: 1')")
    study = tmp_path / "study.yaml"
    study.write_text(
        f"""\
study: doctor
script: train.py
metric: value
direction: maximize
parameters: {{x: {{type: float, low: 0, high: 1}}}}
max_parallel: 4
store: oci://tune-jobs@{emulator.namespace}/runs
{describe_backend(emulator)}"""
    )
    output = tmp_path / "doctor.json"
    assert main(["doctor", str(study), "--output", str(output)]) == 0
    assert "put-if-absent" in capsys.readouterr().out
    assert json.loads(output.read_text())["register"]
    emulator.world.deviations = {"get-range"}
    assert main(["doctor", str(study), "--json"]) == 1
    register = json.loads(capsys.readouterr().out)["register"]
    assert [f["id"] for f in register if f["verdict"] == "differs"] == ["get-range"]


def test_local_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text("print('value: 1')")
    study = tmp_path / "study.yaml"
    study.write_text(
        "study: doctor\nscript: train.py\nmetric: value\ndirection: maximize\n"
        "backend: {type: local}\nparameters: {x: {type: float, low: 0, high: 1}}\n"
    )
    assert main(["doctor", str(study)]) == 2
    assert "doctor examines OCI" in capsys.readouterr().err


def test_secrets(emulator: Emulator, examine: Examine) -> None:
    ocids = {name: emulator.vault.add(name, b"hf_value") for name in ("A", "B")}
    emulator.vault.set_state(ocids["B"], "PENDING_DELETION")
    env = {name: Secret(ocid) for name, ocid in ocids.items()}
    report = examine(run=True, backend={"env": env})
    found = {finding.id: finding for finding in report.checks}
    verdicts = {id: found[id].verdict for id in found if id.startswith("secret ")}
    assert verdicts == {
        "secret A": "holds",
        "secret B": "differs",
        "secret A in a run": "holds",
        "secret B in a run": "refused",
    }
    assert found["secret B in a run"].fix == str(RUN_SECRETS.for_secret(ocids["B"]))
    assert "hf_value" not in str(report)
