"""Imports are light, and every public name can be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tune_jobs
from tests.conftest import MakeTuner

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


WITHOUT_EXTRAS = """
import sys

class Blocker:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {"oci", "ads", "pandas", "plotly", "kaleido", "werkzeug"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker)
"""


def run_without_extras(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program as if only the dependencies without extras were installed."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + code], capture_output=True, text=True, check=False
    )


def test_all_public_names_are_imported_without_extras() -> None:
    done = run_without_extras("from tune_jobs import *\nprint(Tuner.__name__, compare.__name__)")
    assert (done.stdout, done.stderr) == ("Tuner compare\n", "")


def test_studies_are_compared_without_extras(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(2)
    done = run_without_extras(
        "from tune_jobs.cli.main import main\nsys.exit(main(['compare', 's.db', '--json']))"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["winners"][0]["study"] == "s"


COMMANDS = {
    "dashboard s.db": "dashboard",
    "report s.db": "dashboard",
    "report s.db --images images": "images",
}


def test_commands_name_the_extra_that_they_need(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(1)
    done = run_without_extras(
        "from tune_jobs.cli.main import main\n"
        f"print(*[main(words.split()) for words in {list(COMMANDS)}])"
    )
    assert done.stdout == "2 2 2\n"
    for line, extra in zip(done.stderr.splitlines(), COMMANDS.values(), strict=True):
        assert f"pip install 'tune_jobs[{extra}]'" in line
    assert not Path("report.html").exists()


CALLS = {
    "Tuner.attach('s', 'sqlite:///s.db').figure()": "pip install 'tune_jobs[dashboard]'",
    "DataScienceBackend.from_script('t.py')": "pip install 'tune_jobs[oci]'",
    "tuner.trials_dataframe()": "pip install pandas",
    "write_report([tuner.study], 'r.html')": "pip install 'tune_jobs[dashboard]'",
}


def test_functions_name_the_extra_that_they_need(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(1)
    done = run_without_extras(
        "from tune_jobs import *\n"
        "space = {'x': [1, 2]}\n"
        "tuner = Tuner('s', space, LocalBackend('t.py'), metric='m', direction='maximize')\n"
        f"for call in {list(CALLS)}:\n"
        "    try: eval(call)\n"
        "    except TuneJobsError as error: print(isinstance(error, ImportError), error)"
    )
    for line, fix in zip(done.stdout.splitlines(), CALLS.values(), strict=True):
        assert line.startswith("True ")
        assert fix in line
