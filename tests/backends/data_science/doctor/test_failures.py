"""The doctor while the service refuses or fails requests, and when it is interrupted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.data_science.doctor.conftest import Examine, find_faults, find_rest
from tests.oci_emulator import Delays, Emulator, Fault
from tune_jobs.backends.data_science.doctor.run_trials import Timing
from tune_jobs.cli.doctor import check_output
from tune_jobs.errors import ConfigError


@pytest.mark.parametrize("operation", ["put_object", "get_project", "list_jobs", "delete_object"])
def test_short_failures_are_no_findings(
    examine: Examine, emulator: Emulator, operation: str
) -> None:
    emulator.faults.add(Fault("throttle", operation, times=1))
    report = examine()
    assert report.is_good, str(report)
    assert find_rest(emulator) == []


@pytest.mark.parametrize("operation", ["get_job", "get_job_run", "list_job_runs"])
def test_refusal_while_runs_are_live_is_a_finding(
    examine: Examine, emulator: Emulator, operation: str
) -> None:
    after = 1 if operation == "list_job_runs" else 0  # the first one has another purpose
    emulator.faults.add(Fault("error", operation, status=404, code="Odd", times=1, after=after))
    report = examine(run=True)
    assert find_faults(report) == {"runs"}, str(report)
    assert "404 Odd" in str(report)
    assert find_rest(emulator) == []


def test_job_that_is_not_listed_is_removed(examine: Examine, emulator: Emulator) -> None:
    emulator.faults.add(Fault("error", "list_jobs", status=404, code="Odd", after=1))
    emulator.faults.add(Fault("error", "create_job_run", status=400, code="Odd"))
    report = examine(run=True)
    assert find_faults(report) >= {"start"}
    assert find_rest(emulator) == []
    assert report.left == ()


def test_answer_to_the_removal_is_lost(examine: Examine, emulator: Emulator) -> None:
    emulator.faults.add(Fault("drop_after", "delete_job", times=1))
    emulator.faults.add(Fault("error", "create_job_run", status=400, code="Odd"))
    report = examine(run=True)
    assert find_faults(report) == {"start"}, str(report)
    assert report.left == ()


@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_while_it_removes(
    examine: Examine, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    from tune_jobs.backends.data_science.doctor.store_trials import StoreTrials

    said: list[str] = []
    remove, calls = StoreTrials.remove_all, iter(range(times))

    def interrupt(self: StoreTrials) -> list[str]:
        if next(calls, None) is not None:
            raise KeyboardInterrupt
        return remove(self)

    # A signal would arrive at another place each time.
    monkeypatch.setattr(StoreTrials, "remove_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        examine(notice=said.append)
    if times == 1:
        assert find_rest(emulator) == []
        assert "nothing was spent" in said[-1]
    else:
        rest = "\n".join(said)
        assert "may be left" in rest
        assert "oci://tune-jobs@emulated/runs/tune_jobs-doctor-" in rest


def test_output_is_checked_before_anything_is_started(tmp_path: Path) -> None:
    check_output(tmp_path / "doctor.json")
    with pytest.raises(ConfigError, match="no folder"):
        check_output(tmp_path / "missing" / "doctor.json")
    with pytest.raises(ConfigError, match="is a folder"):
        check_output(tmp_path)


def test_emulated_grace_is_enough() -> None:
    assert Timing().grace < Delays().grace
