"""What can travel to a controller, and how the rest is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url

from tests.conftest import MakeTuner, space
from tune_jobs import Infrastructure, LocalBackend
from tune_jobs.detached import installation
from tune_jobs.detached.recipe import Call, build_recipe, check_recipe, read_recipe, write_recipe
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.storage.reference import check_password, refer_to_storage
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.options import CallLimits


def close_over(low: float) -> Callable[[optuna.Trial], dict[str, object]]:
    def sample(trial: optuna.Trial) -> dict[str, object]:
        return {"x": trial.suggest_float("x", low, 1.0)}

    return sample


def of_the_notebook(trial: optuna.Trial) -> dict[str, object]:
    return {"x": trial.suggest_float("x", 0.0, 1.0)}


of_the_notebook.__module__ = "__main__"


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (lambda trial: {"x": trial.suggest_float("x", 0, 1)}, "the search space is a lambda"),
        (close_over(0.0), r"the search space is a closure \('sample', made in 'close_over'\)"),
        (of_the_notebook, "the search space is defined in the program or notebook itself"),
    ],
)
def test_spaces_that_cannot_travel(made: Any, problem: str, make_tuner: MakeTuner) -> None:
    tuner = make_tuner(space=made)
    with pytest.raises(ConfigError, match=f"^{problem}.*: a space that is made in Python must be"):
        tuner.detach(n_trials=1)
    assert not list(Path("runs").rglob("recipe*")), "nothing was launched"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"valid": lambda params: True}, "the search space is a lambda"),
        ({"command_line": lambda params, paths: []}, "command_line is a lambda: a function or"),
    ],
)
def test_other_functions_that_cannot_travel(
    options: dict[str, Any], problem: str, make_tuner: MakeTuner
) -> None:
    with pytest.raises(ConfigError, match=problem):
        make_tuner(**options).detach(n_trials=1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((20,), "controller=20: must be .* name the rest: detach"),
        ((Infrastructure(shape="VM.Standard2.1"),), "OCI does not reach .* backend 'local'"),
    ],
)
def test_places_that_do_not_fit(
    arguments: tuple[Any, ...], problem: str, make_tuner: MakeTuner
) -> None:
    with pytest.raises(ConfigError, match=problem):
        make_tuner().detach(*arguments, n_trials=1)


def test_the_best_of_several_metrics_is_a_choice() -> None:
    study = optuna.create_study(storage="sqlite:///two.db", directions=["minimize"] * 2)
    tuner = Tuner(study, space, LocalBackend(["true"]), metric=["a", "b"])
    with pytest.raises(ConfigError, match="the best of several metrics is a choice"):
        tuner.detach(n_trials=1, then="train_best")


def build(tuner: Tuner) -> Any:
    reference = refer_to_storage(tuner.study, elsewhere=False)
    return build_recipe(tuner.definition, reference, "runs", Call(CallLimits(n_trials=1)))


def test_a_space_that_is_not_below_source(make_tuner: MakeTuner, tmp_path: Path) -> None:
    recipe = build(make_tuner())
    check_recipe(recipe)
    check_recipe(recipe, Path(__file__).parents[2])
    message = rf"module 'tests.conftest', which is not below source {tmp_path}.* from `source`"
    with pytest.raises(ConfigError, match=message.replace(" from", ".*")):
        check_recipe(recipe, tmp_path)


def test_a_recipe_makes_the_same_tuner(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(bounds={"memory": "<= 2"})
    write_recipe(tmp_path, build(tuner), {})
    assert (tmp_path / "recipe.pickle").stat().st_mode & 0o077 == 0
    recipe = read_recipe(tmp_path)
    made = Tuner(recipe.open_study(), recipe.space, recipe.backend, **vars(recipe.options))
    assert made.definition.space.function is space
    assert made.definition.objectives == tuner.definition.objectives
    assert not (tmp_path / "recipe.pickle").exists(), "it may have a password, and is not kept"


def test_another_installation_is_refused(
    make_tuner: MakeTuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path, build(make_tuner()), {})
    monkeypatch.setattr(installation, "fingerprint_package", lambda: "f" * 64)
    with pytest.raises(StudyError, match=r"this environment has tune_jobs .* \(sources f{12}\)"):
        read_recipe(tmp_path)


@pytest.mark.parametrize(
    ("elsewhere", "fix"), [(False, "sqlite:///s.db"), (True, "oci://bucket@namespace/prefix")]
)
def test_storages_that_no_controller_reaches(elsewhere: bool, fix: str, tmp_path: Path) -> None:
    in_memory = optuna.create_study(study_name="s")
    unnamed = optuna.create_study(study_name="s", storage="sqlite:///:memory:")
    journal = optuna.create_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    )
    for study, problem in ((in_memory, "memory"), (unnamed, "memory"), (journal, "Journal")):
        with pytest.raises(StudyError, match=f"(?s)'s' is in {problem}.*{fix}"):
            refer_to_storage(study, elsewhere=elsewhere)


@pytest.mark.parametrize(
    "url", ["mysql+pymysql://me:hidden@host/db", "postgresql+psycopg://host/db?password=hidden"]
)
def test_a_password_does_not_travel(url: str) -> None:
    with pytest.raises(StudyError, match=r"study 's' has a password.* oci://") as caught:
        check_password("s", make_url(url))
    assert "hidden" not in str(caught.value)
    check_password("s", make_url("postgresql+psycopg://me@host/db"))


def test_a_file_is_not_reached_from_oci(make_tuner: MakeTuner, tmp_path: Path) -> None:
    study = make_tuner().study
    with pytest.raises(StudyError, match=rf"in the file {tmp_path}/s.db, which .* OCI does not"):
        refer_to_storage(study, elsewhere=True)
    assert str(refer_to_storage(study, elsewhere=False)) == f"sqlite:///{tmp_path}/s.db"
