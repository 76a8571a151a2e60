"""Mistakes in study.yaml: each is an error that names the line, the value and the fix."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mistakes.documents import STUDY
from tune_jobs.cli.main import main

YAML: dict[str, tuple[dict[str, Any], str]] = {
    "storage path": (
        {"storage": "my.db"},
        "'my.db' is not the URL of a database: write sqlite:///",
    ),
    "storage with two slashes": ({"storage": "sqlite://my.db"}, "write sqlite:///study.db"),
    "storage of a folder": ({"storage": "sqlite:///folder"}, "check that its folder exists"),
    "storage of another file": ({"storage": "sqlite:///train.py"}, "file is not a database: the"),
    "storage of no kind": ({"storage": "foo://x"}, "'foo' is not a kind of database: write sqlite"),
    "storage without a driver": (
        {"storage": "mysql://h/x"},
        "pip install pymysql, and write mysql+",
    ),
    "storage that is down": (
        {"storage": "postgresql+psycopg://localhost:1/x"},
        "check that the server runs, and its host and port",
    ),
    "key": ({"max_paralel": 3}, "unknown key 'max_paralel' (did you mean 'max_parallel'?)"),
    "another library's key": ({"n_jobs": 3}, "unknown key 'n_jobs' (did you mean 'max_parallel'?)"),
    "n_trials": ({"n_trials": "five"}, "n_trials: 'five' is not a number"),
    "n_trials 0": ({"n_trials": 0}, "n_trials: 0 is too small: write at least 1"),
    "direction": ({"direction": "maximise"}, "'maximise' is unknown (did you mean 'maximize'?)"),
    "no direction": ({"direction": None}, "direction: is empty: write a string, or remove it"),
    "metric": ({"metric": ["a", "b"]}, "metric: ['a', 'b'] is not a string"),
    "metric key": ({"metric": {"name": "a", "patern": "b"}}, "(did you mean 'pattern'?)"),
    "metrics": ({"metric": "DELETE", "metrics": "a", "direction": "DELETE"}, "'a' is not a list"),
    "parameters": ({"parameters": ["x"]}, "['x'] is not a mapping of keys to values"),
    "type": (
        {"parameters": {"x": {"type": "flaot"}}},
        "'flaot' is unknown (did you mean 'float'?)",
    ),
    "bounds": (
        {"parameters": {"x": {"type": "int", "low": 3, "high": 1}}},
        "low 3 is above high 1",
    ),
    "constraint": ({"constraints": ["y < 3"]}, "unknown name 'y' (known: x)"),
    "sampler": ({"sampler": "tpee"}, "sampler: 'tpee' is unknown (did you mean 'tpe'?)"),
    "sampler number": ({"sampler": {"name": "tpe", "seed": "a"}}, "seed: 'a' is not a number"),
    "sampler argument": ({"sampler": {"name": "tpe", "sead": 1}}, "(did you mean 'seed'?)"),
    "pruner": ({"pruner": "mediann"}, "'mediann' is unknown (did you mean 'median'?)"),
    "script": ({"script": "trian.py"}, "file not found (did you mean 'train.py'?)"),
    "script is a folder": ({"script": "folder"}, "is a folder: name a script in it"),
    "command": (
        {"script": "DELETE", "command": "sh x"},
        "command: 'sh x' is not a list: write [sh, x]",
    ),
    "key of the backend": ({"env": {"A": "1"}}, "unknown key 'env' (write it under `backend:`)"),
    "key of the top level": (
        {"backend": {"max_parallel": 3}},
        "backend: unknown key 'max_parallel' (write it at the top level)",
    ),
    "key of the final run": (
        {"final": {"epochs": 50}},
        "final: unknown key 'epochs' (write it under `arguments:`)",
    ),
    "bounds by other names": ({"parameters": {"x": {"min": 0}}}, "(did you mean 'low'?)"),
    "type of another library": ({"parameters": {"x": {"type": "uniform"}}}, "mean 'float'?)"),
    "goal of a metric": (
        {"metric": {"name": "value", "direction": "maximize"}},
        "metric: unknown key 'direction' (did you mean 'goal'?)",
    ),
    "sampler's class": ({"sampler": "TPESampler"}, "'TPESampler' is a class: write 'tpe'"),
    "backend": ({"backend": "slurm"}, "backend: 'slurm' is unknown (known: data_science, local)"),
    "backend name": ({"backend": {"name": "local"}}, "'name' (did you mean 'type'?)"),
    "backend option": ({"backend": {"time_limt": 3}}, "(did you mean 'time_limit'?)"),
    "backend link": ({"backend": {"link": "data"}}, "backend.link: 'data' is not a list"),
    "backend grace": ({"backend": {"grace": -1}}, "grace=-1: must be a number of seconds of at"),
    "time": ({"timeout": "2 hours"}, "invalid duration '2 hours': write 90s, 30m, 2h, 1d"),
    "duplicates": ({"duplicates": "skip"}, "'skip' is unknown (known: replicate, reuse, run)"),
    "promotion": ({"promotion": {"argument": "e"}}, "has no 'minimum': add `minimum: ...`"),
    "command line": ({"command_line": {"nameing": "dash"}}, "(did you mean 'naming'?)"),
    "style": ({"command_line": {"parameters": {"x": "x"}}}, "unknown key 'x' (known: config, "),
    "final": ({"final": {"argument": {}}}, "(did you mean 'arguments'?)"),
    "prices": ({"prices": {"local": "a"}}, "prices.local: 'a' is not a number"),
    "data": ({"data": "a.csv"}, "data: 'a.csv' is not a list"),
    "study": ({"study": 3}, "study: 3 is not a string: put it in quotes"),
}


@pytest.mark.parametrize("mistake", YAML)
def test_study_yaml(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    changes, problem = YAML[mistake]
    document = {**copy.deepcopy(STUDY), **changes}
    document = {key: value for key, value in document.items() if value != "DELETE"}
    Path("study.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    assert main(["run", "study.yaml"]) in (2, 3)
    printed = capsys.readouterr().err
    assert printed.startswith("tune-jobs: ")
    assert problem in printed


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sampler": "gp"}, "study.yaml:11: 'gp' needs 'torch': pip install torch"),
        ({"storage": "sqlite:///train.py"}, "file is not a database"),
    ],
)
def test_a_check_finds_what_would_stop_the_study(
    changes: dict[str, Any],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    Path("study.yaml").write_text(yaml.safe_dump({**STUDY, **changes}, sort_keys=False))
    assert main(["check", "study.yaml"]) in (2, 3)
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "study.yaml: is empty"),
        ("- a\n", "study.yaml:1: ['a'] is not a mapping"),
        ("study:\n\tx: 1\n", "study.yaml:2: invalid YAML: found character"),
        ("study: a\nstudy: b\n", "duplicate key 'study', first in line 1"),
        ("\0", "study.yaml: invalid YAML"),
        ("a: &a [*a]\n", "a[0]: contains itself by an alias"),
    ],
)
def test_files_that_are_no_study(
    text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("study.yaml").write_text(text)
    assert main(["run", "study.yaml"]) == 2
    assert problem in capsys.readouterr().err
