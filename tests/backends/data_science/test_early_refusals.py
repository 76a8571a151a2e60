"""Runs that cannot work end before their script, once for all of them, and say how to fix it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.data_science.conftest import MakeBackend, permit_tuners
from tests.oci_emulator import Emulator, Fault
from tune_jobs import Tuner
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE
from tune_jobs.errors import BackendError
from tune_jobs.runtime.refusals import EXIT_CODES, NO_OCI, NOT_PERMITTED, describe_refusal

MakeTuner = Callable[..., Tuner]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """File that the script creates."""
    return tmp_path / "script-ran"


@pytest.fixture
def tuner(make_backend: MakeBackend, build_tuner: MakeTuner, marker: Path) -> Tuner:
    script = f"open({str(marker)!r}, 'a').write('x')\nprint('value: 1')\n"
    return build_tuner(make_backend(script), max_parallel=2)


def test_runs_without_the_policy_of_the_bucket(
    tuner: Tuner, emulator: Emulator, marker: Path
) -> None:
    families = ("data-science-family", "object-family", "logging-family")
    permit_tuners(emulator, *(f"manage {family}" for family in families))
    with pytest.raises(BackendError, match="allow dynamic-group <job-runs> to manage objects"):
        tuner.optimize(n_trials=12)
    causes = [t.user_attrs.get(CAUSE_ATTRIBUTE, "") for t in tuner.study.trials]
    assert any("the job run may not write to oci://" in cause for cause in causes)
    assert not marker.exists(), "the script was never started"
    assert len(emulator.data_science.runs()) == 2, "as many as in parallel"
    emulator.access.statements = None
    tuner.optimize(n_trials=2)
    assert {t.state.name for t in tuner.study.trials} == {"COMPLETE"}
    assert not any(t.user_attrs.get(CAUSE_ATTRIBUTE) for t in tuner.study.trials)


def test_runs_whose_python_has_no_oci(tuner: Tuner, emulator: Emulator, marker: Path) -> None:
    emulator.world.deviations.add("oci-installed")
    with pytest.raises(BackendError, match="choose a conda environment"):
        tuner.optimize(n_trials=12)
    assert not marker.exists()
    assert len(emulator.data_science.runs()) == 2


def test_script_may_exit_with_the_same_codes(
    make_backend: MakeBackend, build_tuner: MakeTuner
) -> None:
    tuner = build_tuner(make_backend(f"raise SystemExit({NO_OCI})"), max_parallel=1)
    tuner.optimize(n_trials=1)
    (attempt,) = tuner.attempts(0)
    assert (attempt.exit_code, tuner.study.trials[0].state.name) == (NO_OCI, "FAIL")


def test_refusals_name_the_fix() -> None:
    named = describe_refusal(NOT_PERMITTED, "oci://mine@ns/prefix")
    assert "target.bucket.name = 'mine'" in named
    assert describe_refusal(1, "oci://mine@ns/prefix") == ""
    assert all(describe_refusal(code, "oci://mine@ns/prefix") for code in EXIT_CODES)


def test_last_upload_is_repeated_with_new_credentials(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator
) -> None:
    script = "print('value: 0.5')\n"
    tuner = build_tuner(make_backend(script, upload_seconds=1000.0), max_parallel=1)
    refused = Fault(
        "error", "put_object", times=3, status=401, code="NotAuthenticated", path="/metrics/"
    )
    emulator.faults.add(refused)
    tuner.optimize(n_trials=1)
    assert [t.values for t in tuner.study.trials] == [[0.5]]
    assert len(tuner.attempts()) == 1
