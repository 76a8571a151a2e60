"""What to change about a job run that failed."""

from __future__ import annotations

import os
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.conftest import MakeTuner
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.cli.main import main
from tune_jobs.errors import TuneJobsError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.failure_hints import FailedRun, find_hint

HEAD = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--x")
parser.parse_args()
"""

MakePythonTuner = Callable[..., Tuner]


@pytest.fixture
def tune(tmp_path: Path) -> MakePythonTuner:
    """Build tuners of a Python script."""

    def build(body: str, backend: dict[str, Any] | None = None, **options: Any) -> Tuner:
        script = tmp_path / "train.py"
        script.write_text(body)
        study = optuna.create_study(direction="maximize")
        return Tuner(
            study,
            {"x": [1, 2]},
            LocalBackend("train.py", **(backend or {})),
            metric="value",
            progress=False,
            **options,
        )

    return build


def read_cause(tuner: Tuner) -> str:
    """Return the first line of why a tuner's first trial failed."""
    try:
        tuner.optimize(n_trials=1)
    except TuneJobsError as error:
        return str(error)
    (trial,) = tuner.study.trials
    return str(trial.user_attrs["tune_jobs:cause"]).partition("\n")[0]


# -- runs on this machine ---------------------------------------------------------------------


def test_a_file_beside_the_tuner_has_to_be_linked(tune: MakePythonTuner, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/bc.csv").write_text("1\n")
    body = f'{HEAD}print("value:", open("data/bc.csv").read())\n'
    hint = (
        f"data/bc.csv is in {tmp_path}, but a run works in a folder of its own: "
        'LocalBackend(link=["data"]), in study.yaml backend: {link: ["data"]}'
    )
    tuner = tune(body)
    assert f"FAIL  script: {hint} (exit code 1)\n" in str(tuner.check())
    assert f"exit code 1: {hint}" in read_cause(tuner)
    linked = tune(body, {"link": ["data"]})
    assert linked.check()


def test_the_hint_is_shown_by_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study/bc.csv").write_text("1\n")
    (tmp_path / "study/train.py").write_text('print("value:", open("bc.csv").read())\n')
    study = tmp_path / "study/study.yaml"
    study.write_text(
        "study: s\nscript: train.py\nmetric: value\ndirection: maximize\nparameters: {x: [1, 2]}\n"
        "n_trials: 1\n"
    )
    hint = 'in study.yaml backend: {link: ["bc.csv"]}'
    assert main(["check", str(study)]) == 1
    assert hint in capsys.readouterr().out
    main(["run", str(study)])
    main(["show", str(study), "0"])
    assert hint in capsys.readouterr().out
    study.write_text(f'{study.read_text()}backend: {{link: ["bc.csv"]}}\n')
    assert main(["check", str(study)]) == 0


def test_a_folder_that_is_missing_has_to_be_created(tune: MakePythonTuner, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    cause = read_cause(tune('open("results/out.csv", "w")\n'))
    assert "a run works in a folder of its own, which has no results: create it" in cause


def test_a_file_that_exists_nowhere_has_no_hint(tune: MakePythonTuner) -> None:
    assert read_cause(tune('open("data/bc.csv")\n')).endswith("exit code 1")


def test_options_in_another_spelling(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(HEAD.replace("--x", "--learning_rate") + 'print("value: 1")')
    backend, space = LocalBackend("train.py"), {"learning_rate": [0.1, 0.2]}
    tuner = Tuner("s", space, backend, metric="value", direction="maximize", progress=False)
    assert 'CommandLine(naming="underscore")' in str(tuner.check())
    assert 'CommandLine(naming="underscore")' in read_cause(tuner)
    line = CommandLine(naming="underscore")
    assert Tuner("s", space, backend, metric="value", command_line=line).check()


def test_relative_folders_of_the_python_path_are_found(
    tune: MakePythonTuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/mine.py").write_text("VALUE = 1\n")
    body = 'import mine\nprint("value:", mine.VALUE)\n'
    cause = read_cause(tune(body))
    assert f"module mine is in {tmp_path}/src, where the run does not look for it: " in cause
    assert f'LocalBackend(env={{"PYTHONPATH": "{tmp_path}/src"}})' in cause
    assert tune(body, {"env": {"PYTHONPATH": "src"}}).check()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["src", os.environ.get("PYTHONPATH", ".")]))
    assert tune(body).check()


def test_the_python_path_of_a_module_is_kept(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.py").write_text("VALUE = 1\n")
    (tmp_path / "train.py").write_text('import mine\nprint("value:", mine.VALUE)\n')
    backend = LocalBackend("-m train", env={"PYTHONPATH": str(tmp_path / "other")})
    study = optuna.create_study(direction="maximize")
    assert Tuner(study, {"x": [1, 2]}, backend, metric="value", progress=False).check()


def test_an_interpreter_without_a_package_that_this_one_has(
    tune: MakePythonTuner, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare/bin/python")
    cause = read_cause(tune("import optuna\n", {"python": python, "env": {"PYTHONPATH": ""}}))
    assert f"{python} has no module optuna, but {sys.executable} has: " in cause
    assert f'LocalBackend(python="{sys.executable}")' in cause


def test_a_package_that_is_not_installed(tune: MakePythonTuner) -> None:
    cause = read_cause(tune("import nowhere_to_be_found\n"))
    assert cause.endswith(
        f"{sys.executable} has no module nowhere_to_be_found: "
        f"{sys.executable} -m pip install nowhere_to_be_found"
    )


def test_a_script_that_asks_for_input(tune: MakePythonTuner) -> None:
    assert "a run has no terminal" in read_cause(tune("input()\n"))


def test_a_program_without_permission(make_tuner: MakeTuner, tmp_path: Path) -> None:
    helper = tmp_path / "helper.sh"
    helper.write_text("#!/bin/sh\necho value=1\n")
    report = make_tuner(f"{helper}").check()
    assert f"{helper} is not executable: chmod +x {helper}" in str(report)


# -- the table --------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with files of a project."""
    for path in (
        "data/train.csv",
        "my data/a b.csv",
        "lib/util.py",
        "helper.sh",
        "train.py",
        "out",
    ):
        file = tmp_path / "project" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (tmp_path / "run/work").mkdir(parents=True)
    return tmp_path / "project"


def failed(project: Path, log: str, cause: str = "exit code 1", **facts: Any) -> FailedRun:
    return FailedRun(
        cause=cause,
        log=log,
        **{
            "command": (sys.executable, f"{project}/train.py"),
            "folders": (project,),
            "work": project.parent / "run/work",
            "max_parallel": 4,
            **facts,
        },
    )


@pytest.mark.parametrize(
    ("log", "link"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: 'data/train.csv'", "data"),
        ("FileNotFoundError: [Errno 2] No such file or directory: './data/train.csv'", "data"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'data'", "data"),
        ("FileNotFoundError: data/train.csv not found.", "data"),
        ("cat: data/train.csv: No such file or directory", "data"),
        ("cat: 'my data/a b.csv': No such file or directory", "my data"),
        ("cannot open file 'data/train.csv': No such file or directory", "data"),
        ("ValueError: dataset folder data/ does not exist", "data"),
        ("ERROR: could not open data/train.csv\nAborted", "data"),
        ('SystemError: opening file "data/train.csv": No such file or directory', "data"),
        ("python: can't open file '{work}/helper.sh': [Errno 2] No such file", "helper.sh"),
        ("OSError: {work}/data/train.csv not found", "data"),
    ],
)
def test_files_to_link(log: str, link: str, project: Path) -> None:
    work = project.parent / "run/work"
    hint = find_hint(failed(project, f"loading\n{log.format(work=work)}\n"))
    assert f'LocalBackend(link=["{link}"])' in hint
    (work / link).symlink_to(project / link)
    assert find_hint(failed(project, f"loading\n{log.format(work=work)}\n")) == ""


@pytest.mark.parametrize(
    ("log", "hint"),
    [
        (
            "RuntimeError: CUDA out of memory. Tried",
            "lower max_parallel (up to 4",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory.", "the GPU ran out of memory"),
        ("MemoryError", "it ran out of memory: lower max_parallel"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate", "it ran out of memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "it ran out of memory"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("RuntimeError: Address already in use", "its port is in use"),
        ("AssertionError: Torch not compiled with CUDA enabled", "does not see the GPU"),
        ("train.sh: line 3: python: command not found", f"write {sys.executable} in the script"),
        ("sh: 1: nvcc: not found", "the program nvcc is not on the run's PATH: install it"),
        ("sh: 1: ./helper.sh: Permission denied", "helper.sh is not executable: chmod +x"),
        ("PermissionError: [Errno 13] Permission denied: './helper.sh'", "chmod +x"),
        ("{python}: No module named nowhere.train", ""),
        ("ModuleNotFoundError: No module named 'util_none'", "-m pip install util_none"),
        ("ModuleNotFoundError: No module named 'lib.util'", "module lib.util is in {project}"),
        ("ModuleNotFoundError: No module named 'lib.other'", ""),
        ("_tkinter.TclError: no display name and no $DISPLAY environment variable", "MPLBACKEND"),
        ("epoch 1\nvalue: 3", ""),
        ("ValueError: file not found in the archive", ""),
        ("OSError: 'https://host/data/train.csv' not found", ""),
        ("train.py: data.bin not found", ""),
    ],
)
def test_other_messages(log: str, hint: str, project: Path) -> None:
    facts = {"python": sys.executable, "project": project}
    found = find_hint(failed(project, log.format(**facts)))
    assert (hint.format(**facts) in found) if hint else (found == "")


@pytest.mark.parametrize(
    ("cause", "hint"),
    [
        ("could not be started: [Errno 8] Exec format error: '{project}/helper.sh'", "first line"),
        ("could not be started: [Errno 13] Permission denied: '{project}/helper.sh'", "chmod +x"),
        (
            "could not be started: [Errno 2] No such file or directory: '{project}/helper.sh'",
            "the interpreter in the first line",
        ),
        ("could not be started: [Errno 2] No such file or directory: 'Rscript'", "not on PATH"),
        ("killed by signal SIGKILL (out of memory?)", "if this machine ran out of memory"),
        ("killed by signal SIGSEGV", ""),
    ],
)
def test_causes(cause: str, hint: str, project: Path) -> None:
    found = find_hint(failed(project, "", cause.format(project=project)))
    assert (hint in found) if hint else (found == "")


def test_the_last_message_counts(project: Path) -> None:
    log = (
        "ModuleNotFoundError: No module named 'triton_none'\n"
        "continuing without it\n"
        "FileNotFoundError: [Errno 2] No such file or directory: 'data/train.csv'\n"
    )
    assert 'link=["data"]' in find_hint(failed(project, log))


def test_a_run_on_another_machine_is_not_told_to_link(project: Path) -> None:
    elsewhere: dict[str, Any] = {"backend": "data_science", "command": (), "work": None}
    log = "FileNotFoundError: [Errno 2] No such file or directory: 'data/train.csv'"
    hint = find_hint(failed(project, log, **elsewhere))
    assert "not in the job's artifact" in hint
    assert "link" not in hint
    log = "ModuleNotFoundError: No module named 'lib'"
    assert "source=" in find_hint(failed(project, log, **elsewhere))
    log = "ModuleNotFoundError: No module named 'sklearn'"
    assert "choose another conda environment" in find_hint(failed(project, log, **elsewhere))


def test_a_file_in_the_parent_folder_cannot_be_linked(project: Path) -> None:
    log = "FileNotFoundError: [Errno 2] No such file or directory: '../project/data/train.csv'"
    assert "pass an absolute path" in find_hint(failed(project, log))


def test_a_file_of_another_folder_is_linked_by_its_absolute_path(project: Path) -> None:
    log = "FileNotFoundError: [Errno 2] No such file or directory: 'data/train.csv'"
    hint = find_hint(failed(project, log, folders=(project / "lib", project)))
    assert f'LocalBackend(link=["{project}/data"])' in hint
