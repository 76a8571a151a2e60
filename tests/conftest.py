"""Fixtures: each test has its own working directory, real processes and real databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.tuner import Tuner

Script = Callable[..., Path]
MakeTuner = Callable[..., Tuner]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty working directory."""
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return tmp_path


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a shell script in which ``$x`` is the tuned parameter, ``$n`` the trial's choice."""

    def write(body: str, name: str = "train.sh") -> Path:
        path = tmp_path / name
        path.write_text(
            'for a in "$@"; do case $a in --x=*) x=${a#--x=};; --n=*) n=${a#--n=};; esac; done\n'
            + body
        )
        return path

    return write


def space(trial: optuna.Trial) -> dict[str, object]:
    """Suggest one float and one integer."""
    return {"x": trial.suggest_float("x", 0.0, 1.0), "n": trial.suggest_int("n", 0, 9)}


@pytest.fixture
def make_tuner(script: Script, tmp_path: Path) -> MakeTuner:
    """Build tuners of a shell script whose metric ``value`` is maximized."""

    def make(body: str = 'echo "value=$x"', **options: object) -> Tuner:
        backend_options = {
            "env": {"here": str(tmp_path)},
            "grace": 1.0,
            "time_limit": 60.0,
            **options.pop("backend_options", {}),  # type: ignore[dict-item]
        }
        study = options.pop("study", None) or optuna.create_study(
            study_name="s",
            storage=f"sqlite:///{tmp_path}/s.db",
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=1),
            pruner=optuna.pruners.NopPruner(),
        )
        settings = {"metric": "value", "max_parallel": 4, "progress": False, **options}
        # The sampler starts over with every tuner and suggests the same configurations.
        settings.setdefault("duplicates", "run")
        backend = LocalBackend(script(body), **backend_options)  # type: ignore[arg-type]
        return Tuner(study, settings.pop("space", space), backend, **settings)  # type: ignore[arg-type]

    return make
