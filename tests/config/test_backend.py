"""The backend of a study.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.config.backend import make_backend
from tune_jobs.config.study_config import load_study
from tune_jobs.errors import ConfigError

STUDY = """\
study: s
script: train.sh
metric: value
direction: maximize
parameters: {x: {type: float, low: 0, high: 1}}
"""


def build(folder: Path, backend: str, study: str = STUDY) -> LocalBackend:
    (folder / "train.sh").touch()
    file = folder / "study.yaml"
    file.write_text(study + backend)
    built = make_backend(load_study(file), folder)
    assert isinstance(built, LocalBackend)
    return built


def test_local_options(tmp_path: Path) -> None:
    backend = build(
        tmp_path,
        "backend: {type: local, link: [data], time_limit: 2m, grace: 3, env: {N: 1, A: b}}",
    )
    assert backend.link == [tmp_path / "data"]
    assert (backend.time_limit, backend.grace, backend.env) == (120, 3, {"N": "1", "A": "b"})
    assert "train.sh" in repr(backend)


@pytest.mark.parametrize("written", ["", "backend: local", "backend: {time_limit: , link: }"])
def test_defaults(tmp_path: Path, written: str) -> None:
    backend, plain = build(tmp_path, written), LocalBackend(tmp_path / "train.sh")
    assert (backend.link, backend.env, backend.time_limit) == ([], {}, None)
    assert backend.grace == plain.grace


@pytest.mark.parametrize(
    ("backend", "problem"),
    [
        ("backend: lokal", "study.yaml:6: backend: 'lokal' is unknown (did you mean 'local'?)"),
        ("backend:\n  type: lokal", "study.yaml:7: backend.type: 'lokal' is unknown"),
        ("backend:\n\n  grcae: 3", "study.yaml:8: backend: unknown key 'grcae' (did you mean"),
        ("backend:\n  python: p", "study.yaml:7: backend: unknown key 'python'"),
        (
            "backend:\n  grace: soon",
            "study.yaml:7: backend.grace: 'soon' is not a number",
        ),
        ("backend:\n  time_limit: soon", "backend.time_limit: invalid duration 'soon'"),
        ("backend:\n  time_limit: -1", "backend.time_limit: invalid duration -1"),
        ("backend:\n  link: data", "study.yaml:7: backend.link: 'data' is not a list"),
        ("backend:\n  env: [A]", "study.yaml:7: backend.env: ['A'] is not a mapping"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, backend: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(tmp_path, backend)
    assert problem in str(error.value)
    assert str(error.value).count("study.yaml") == 1


def test_an_invalid_entry_point_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"study\.yaml:2: entry point -m 'a b'"):
        build(tmp_path, "", STUDY.replace("script: train.sh", "module: a b"))
