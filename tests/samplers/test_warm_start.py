"""WarmStartSampler: choice, order and adaptation of earlier configurations."""

from __future__ import annotations

from typing import Any, Literal

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import create_trial

from tune_jobs.samplers import WarmStartSampler
from tune_jobs.samplers.warm_start.sampler import START_ATTRIBUTE, starts

Direction = Literal["minimize", "maximize"]


def create_source(
    best: float = 0.8, count: int = 64, direction: Direction = "minimize"
) -> optuna.Study:
    study = optuna.create_study(direction=direction)
    sign = 1.0 if direction == "minimize" else -1.0
    for i in range(count):
        rate = (i + 0.5) / count
        params = {"rate": rate, "layers": 1 + i % 9, "kind": "ab"[i % 2], "old": i}
        study.add_trial(
            create_trial(
                params=params,
                distributions={
                    "rate": FloatDistribution(0.0, 1.0),
                    "layers": IntDistribution(1, 9),
                    "kind": CategoricalDistribution(["a", "b"]),
                    "old": IntDistribution(0, 1000),
                },
                value=sign * abs(rate - best),
            )
        )
    return study


def ask(study: optuna.Study) -> tuple[optuna.Trial, dict[str, Any]]:
    """Start a trial of a space that differs from the source's in every parameter."""
    trial = study.ask()
    trial.suggest_float("lr", 0.05, 0.78)
    trial.suggest_int("layers", 1, 20)
    trial.suggest_categorical("kind", ["b", "c", "a"])
    trial.suggest_float("new", 0.0, 1.0)
    return trial, trial.params


def create_warm_study(sources: list[optuna.Study], **options: Any) -> optuna.Study:
    sampler = WarmStartSampler(
        sources, RandomSampler(seed=1), rename={"rate": "lr"}, seed=1, **options
    )
    return optuna.create_study(sampler=sampler)


def is_warm(trial: optuna.Trial) -> bool:
    return START_ATTRIBUTE in trial.storage.get_trial(trial._trial_id).system_attrs


def test_best_configurations_come_first_renamed_and_clipped() -> None:
    study = create_warm_study([create_source()], trials=32)
    asked = [ask(study) for _ in range(32)]
    assert [is_warm(t) for t, _ in asked] == [i % 2 == 0 for i in range(32)]
    first = asked[0][1]
    assert first["lr"] == 0.78, "0.79 is clipped to the narrowed range"
    assert {p["lr"] for t, p in asked[:16] if is_warm(t)} <= {0.78} | {
        (i + 0.5) / 64 for i in range(64)
    }
    assert "old" not in first
    assert len({p["new"] for _, p in asked}) == 32
    assert not any(is_warm(ask(study)[0]) for _ in range(8)), "only among the first 32"


def test_sources_take_turns_and_reused_configurations_are_perturbed() -> None:
    study = create_warm_study([create_source(0.2), create_source(0.7)], trials=80)
    rates = [p["lr"] for t, p in (ask(study) for _ in range(80)) if is_warm(t)]
    assert abs(rates[0] - 0.2) < 0.02
    assert abs(rates[1] - 0.7) < 0.02
    assert len(set(rates[:16])) == 16
    reused = rates[16:32]
    assert reused != rates[:16]
    assert all(abs(a - b) < 0.35 for a, b in zip(reused, rates[:16], strict=True))


def test_warm_starts_end_when_they_are_no_better() -> None:
    study = create_warm_study([create_source()], trials=32)
    for _ in range(12):
        trial, _ = ask(study)
        study.tell(trial, 1.0 if is_warm(trial) else 0.5)
    assert not any(is_warm(ask(study)[0]) for _ in range(20))
    good = create_warm_study([create_source()], trials=32)
    for _ in range(12):
        trial, _ = ask(good)
        good.tell(trial, 0.5 if is_warm(trial) else 1.0)
    assert is_warm(ask(good)[0])


def test_direction_of_each_source_is_respected() -> None:
    study = create_warm_study([create_source(0.3, direction="maximize")])
    assert abs(ask(study)[1]["lr"] - 0.3) < 0.02


def test_removed_categories_are_sampled_and_enqueued_trials_are_kept() -> None:
    source = create_source()
    study = create_warm_study([source])
    study.enqueue_trial({"lr": 0.5, "layers": 3})
    trial, params = ask(study)
    assert (params["lr"], params["layers"], is_warm(trial)) == (0.5, 3, False)
    study = create_warm_study([source])
    trial = study.ask()
    assert isinstance(trial.suggest_categorical("layers", ["few", "many"]), str)
    assert trial.suggest_categorical("kind", ["c", "d"]) in ("c", "d")
    assert is_warm(trial)


def test_suggestions_are_reproducible_given_a_seed() -> None:
    assert [ask(s)[1] for s in [create_warm_study([create_source()])] for _ in range(9)] == [
        ask(s)[1] for s in [create_warm_study([create_source()])] for _ in range(9)
    ]


def test_source_with_several_objectives_is_rejected_and_an_empty_one_is_ignored() -> None:
    with pytest.raises(ValueError, match="several objectives"):
        WarmStartSampler([optuna.create_study(directions=["minimize"] * 2)])
    study = create_warm_study([optuna.create_study()])
    assert not is_warm(ask(study)[0])


def test_infeasible_trials_and_replicates_are_no_starts() -> None:
    source = optuna.create_study()

    def add(x: float, value: float, **marks: Any) -> None:
        space: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}
        source.add_trial(create_trial(params={"x": x}, distributions=space, value=value, **marks))

    add(0.1, -9.0, constraints={"size": 1.0})
    add(0.2, -8.0, system_attrs={"constraints": (0.5,)})
    add(0.3, -7.0, user_attrs={"tune_jobs:replicate_of": 4})
    add(0.4, float("-inf"))
    add(0.5, 1.0, constraints={"size": 0.0})
    add(0.6, 0.0)
    assert starts([source], {}) == [{"x": 0.6}, {"x": 0.5}]


def test_warm_starts_end_when_they_are_infeasible() -> None:
    study = create_warm_study([create_source()], trials=40)
    warm = []
    for _ in range(40):
        trial, params = ask(study)
        warm.append(is_warm(trial))
        if is_warm(trial):
            trial.set_constraint("size", 1.0)
        study.tell(trial, params["lr"] - 100.0 * is_warm(trial))
    assert any(warm[:8])
    assert not any(warm[12:])
