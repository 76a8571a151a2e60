"""Every kind of script: what is written for it, that `check` accepts it, and that it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.init.conftest import Copy, Run
from tune_jobs.config.study_config import StudyConfig, load_study
from tune_jobs.core.objectives import Metric
from tune_jobs.core.trial_attributes import SAME_ATTRIBUTE


@dataclass(frozen=True)
class Kind:
    """A kind of script, and what its study.yaml has to say.

    Attributes:
        folder: Its folder below ``tests/data/init``.
        metric: Name and direction of the metric.
        parameters: Parameters that are tuned.
        step: Name of the step.
        call: What `init` is called with.
        fill_in: What has to be filled in, and with what.
    """

    folder: str
    metric: str
    direction: str
    parameters: str
    step: str | None = None
    call: tuple[str, ...] = ("train.py",)
    fill_in: dict[str, str] = field(default_factory=dict)


KINDS = [
    Kind(
        "argparse_groups",
        "val acc",
        "maximize",
        "hidden dropout batch_norm lr batch_size optimizer cosine",
        "epoch",
    ),
    Kind("argparse_commands", "loss", "minimize", "momentum lr width alpha", "step"),
    Kind(
        "argparse_elsewhere",
        "validation error",
        "minimize",
        "lr weight_decay momentum n_layers batch_size",
    ),
    Kind(
        "argparse_forms",
        "score",
        "maximize",
        "lr hidden augment shuffle activation dropout",
        fill_in={"- FILL IN ": "- data.csv "},
    ),
    Kind(
        "click_command",
        "val_loss",
        "minimize",
        "learning_rate batch_size optimizer augment nesterov layers dropout",
        "epoch",
    ),
    Kind("click_group", "rmse", "minimize", "momentum depth eta"),
    Kind(
        "typer_app",
        "val_accuracy",
        "maximize",
        "lr batch_size optimizer dropout augment",
        "epoch",
    ),
    Kind(
        "typer_commands",
        "f1",
        "maximize",
        "depth learning_rate",
        fill_in={"- FILL IN ": "- digits "},
    ),
    Kind(
        "absl_flags",
        "test_loss",
        "minimize",
        "learning_rate batch_size optimizer augment",
        "epoch",
    ),
    Kind(
        "hydra_config",
        "val/loss",
        "minimize",
        "model.hidden_size model.dropout optimizer.lr optimizer.weight_decay batch_size",
        "epoch",
    ),
    Kind(
        "dataclass_simple",
        "eval/score",
        "maximize",
        "learning_rate batch_size optimizer augment",
        "epoch",
    ),
    Kind(
        "tyro_config",
        "auc",
        "maximize",
        "batch_size optimizer.lr optimizer.nesterov",
    ),
    Kind("jsonargparse_function", "mae", "minimize", "learning_rate depth augment", "epoch"),
    Kind("fire_function", "valid loss", "minimize", "lr hidden augment"),
    Kind("docopt_usage", "accuracy", "maximize", "lr batch_size nesterov"),
    Kind("plain_argv", "test accuracy", "maximize", "lr hidden"),
    Kind("plain_assignments", "val_loss", "minimize", "lr units", "epoch"),
    Kind("plain_logging", "val_error", "minimize", "lr"),
    Kind("config_file", "mae", "minimize", "model.depth training.lr", "epoch"),
    Kind("plain_environment", "val_loss", "minimize", "LR BATCH_SIZE"),
    Kind(
        "plain_constants",
        "val_loss",
        "minimize",
        "LR",
        "epoch",
        fill_in={
            "parameters: FILL IN": "parameters: {LR: [0.1, 0.2]}\n"
            "command_line: {parameters: {LR: environment}}"
        },
    ),
    Kind("trains_on_import", "final loss", "minimize", "threshold_lr lr"),
    Kind(
        "never_returns",
        "error",
        "minimize",
        "lr units",
        call=("train.py", "--help-seconds", "1"),
    ),
    Kind("package", "perplexity", "minimize", "lr", "step", call=("-m", "trainer")),
    Kind("links", "mse", "minimize", "lr"),
    Kind(
        "other_languages", "val_loss", "minimize", "lr augment BATCH_SIZE", "epoch", ("train.sh",)
    ),
]
QUICK = ("argparse_commands", "links", "plain_environment")
"""Kinds whose studies run in the fast tests, too."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.folder)
def test_a_study_is_written(kind: Kind, copy: Copy, run: Run) -> None:
    folder = copy(kind.folder)
    before = sorted(folder.rglob("*"))
    code, out, _ = run("init", *kind.call)
    assert code == 0
    assert sorted(folder.rglob("*")) == sorted([*before, folder / "study.yaml"])
    assert ("FILL IN" in out) == bool(kind.fill_in)
    if kind.fill_in:
        code, _, err = run("preview", "study.yaml")
        assert (code, "still to be filled in" in err) == (2, True)
        fill_in(folder / "study.yaml", kind.fill_in)
    assert_as_expected(load_study(folder / "study.yaml"), kind)
    assert run("preview", "study.yaml")[0] == 0


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=kind.folder, marks=[] if kind.folder in QUICK else pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_a_study_runs(kind: Kind, copy: Copy, run: Run) -> None:
    folder = copy(kind.folder)
    run("init", *kind.call)
    fill_in(folder / "study.yaml", kind.fill_in)
    code, out, err = run("check", "study.yaml")
    assert (code, "FAIL" in out) == (0, False), out + err
    code, out, err = run("run", "study.yaml", "--n-trials", "2")
    assert code == 0, out + err
    study = find_study(folder)
    # A configuration that is drawn twice has the values of the first run, and is not counted.
    drawn = [trial for trial in study.get_trials() if SAME_ATTRIBUTE not in trial.user_attrs]
    assert [trial.state.name for trial in drawn] == ["COMPLETE", "COMPLETE"]
    if kind.step:
        assert study.trials[0].intermediate_values


def test_writes_no_empty_command_line(run: Run, tmp_path: Path) -> None:
    """A command line of which only parameters that are not tuned are described is a comment."""
    (tmp_path / "train.py").write_text(
        "import argparse\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr', type=float, default=0.1)\n"
        "parser.add_argument('--batch-size', type=int, default=32)\n"
        "parser.add_argument('--weight-decay', type=float, default=0.1)\n"
        "parser.add_argument('--learning_rate_decay', type=float, default=float('inf'))\n"
        "print(f'loss={parser.parse_args().lr}')\n"
    )
    code, out, err = run("init", "train.py", "--no-run")
    assert code == 0, out + err
    assert "\n# command_line:\n" in (tmp_path / "study.yaml").read_text()
    code, out, err = run("preview", "study.yaml", "-n", "1")
    assert code == 0, out + err


def assert_as_expected(config: StudyConfig, kind: Kind) -> None:
    """Check a study.yaml against the kind's expectations."""
    (metric,) = metrics(config)
    assert (metric.name, *config.directions) == (kind.metric, kind.direction)
    assert config.options.step == kind.step
    assert sorted(config.space.names) == sorted(kind.parameters.split())


def metrics(config: StudyConfig) -> tuple[Metric, ...]:
    """Return the metrics of a configuration."""
    found: Any = config.options.metric
    return tuple(found)


def fill_in(file: Path, values: dict[str, str]) -> None:
    """Replace what a person has to fill in."""
    text = file.read_text()
    for blank, value in values.items():
        assert blank in text
        text = text.replace(blank, value)
    file.write_text(text)


def find_study(folder: Path) -> optuna.Study:
    """Return the only study in a folder."""
    (database,) = folder.glob("*.db")
    storage = f"sqlite:///{database}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)
