"""The exact command lines, before anything is started."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.conftest import MakeTuner
from tune_jobs.errors import CommandLineError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.styles import Environment


def test_a_preview_is_what_is_run(make_tuner: MakeTuner, tmp_path: Path) -> None:
    line = CommandLine(["fit", "{parameters}"], parameters={"n": Environment("N")})
    tuner = make_tuner(command_line=line)
    previews = tuner.preview(3)
    assert len(previews) == 3
    for preview in previews:
        words = shlex.split(repr(preview))
        assert words[0] == f"N={preview.params['n']}"
        assert words[2:] == [str(tmp_path / "train.sh"), "fit", f"--x={preview.params['x']!r}"]
    assert tuner.study.trials == []
    assert not (tmp_path / "runs").exists()


def test_only_what_the_constraints_accept_is_shown(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(valid=lambda params: params["n"] > 7)
    assert {p.params["n"] for p in tuner.preview(20)} == {8, 9}


def test_parameters_that_collide_are_found_before_anything_is_started(
    make_tuner: MakeTuner,
) -> None:
    tuner = make_tuner(space=lambda trial: {"a_b": trial.suggest_int("a_b", 0, 1), "a-b": 2})
    with pytest.raises(CommandLineError, match="--a-b"):
        tuner.preview(1)
    with pytest.raises(CommandLineError, match="--a-b"):
        tuner.optimize(n_trials=1)
    assert tuner.study.trials == []
