"""Imports are light, and every public name can be imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tune_jobs

HEAVY = (
    *("oci", "ads", "pandas", "plotly", "sqlalchemy", "optuna", "fsspec", "rich", "numpy"),
    *("scipy", "werkzeug"),
)


def loaded_after(code: str) -> set[str]:
    """Return the names of the heavy modules that are loaded after ``code``."""
    program = f"{code}\nimport sys\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_package_is_light() -> None:
    assert loaded_after("import tune_jobs") == set()


def test_reporting_is_light() -> None:
    assert loaded_after("from tune_jobs import report, outputs_dir, checkpoint_dir") == set()


def test_the_host_of_local_runs_is_light() -> None:
    assert loaded_after("import tune_jobs.backends.local.host") == set()


def test_the_tuner_does_not_load_what_it_may_never_need() -> None:
    assert loaded_after("from tune_jobs import Tuner, LocalBackend") <= {
        *("optuna", "sqlalchemy", "fsspec", "numpy")
    }


def test_the_tuner_does_not_load_the_dashboard() -> None:
    program = (
        "import sys\nfrom tune_jobs import Tuner\n"
        "print(*[m for m in sys.modules if m.startswith('tune_jobs.dashboard')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_public_name_is_there() -> None:
    for name in tune_jobs.__all__:
        assert getattr(tune_jobs, name).__name__ == name
    assert set(dir(tune_jobs)) == set(tune_jobs.__all__)
    assert not hasattr(tune_jobs, "Tunner")


def test_the_core_is_light() -> None:
    code = (
        "import importlib, pkgutil, tune_jobs.core as core\n"
        "for module in pkgutil.iter_modules(core.__path__, 'tune_jobs.core.'):\n"
        "    importlib.import_module(module.name)"
    )
    assert loaded_after("import tune_jobs.core") == set()
    assert loaded_after(code) <= {"optuna", "numpy"}


def test_a_renamed_public_name_warns() -> None:
    with pytest.warns(DeprecationWarning, match="SimulatedReport"):
        assert tune_jobs.Report is tune_jobs.SimulatedReport
