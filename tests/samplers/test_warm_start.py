from __future__ import annotations

from typing import Any, Literal

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import create_trial

from tune_jobs.samplers import WarmStartSampler
from tune_jobs.samplers.warm_start.sampler import ATTRIBUTE

Direction = Literal["minimize", "maximize"]


def earlier(best: float = 0.8, count: int = 64, direction: Direction = "minimize") -> optuna.Study:
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
    trial = study.ask()
    trial.suggest_float("lr", 0.05, 0.78)
    trial.suggest_int("layers", 1, 20)
    trial.suggest_categorical("kind", ["b", "c", "a"])
    trial.suggest_float("new", 0.0, 1.0)
    return trial, trial.params


def warm(sources: list[optuna.Study], **options: Any) -> optuna.Study:
    sampler = WarmStartSampler(
        sources, RandomSampler(seed=1), rename={"rate": "lr"}, seed=1, **options
    )
    return optuna.create_study(sampler=sampler)


def is_warm(trial: optuna.Trial) -> bool:
    return ATTRIBUTE in trial.storage.get_trial(trial._trial_id).system_attrs


def test_the_best_come_first_renamed_and_within_the_new_ranges() -> None:
    study = warm([earlier()], trials=32)
    begun = [ask(study) for _ in range(32)]
    assert [is_warm(t) for t, _ in begun] == [i % 2 == 0 for i in range(32)]
    first = begun[0][1]
    assert first["lr"] == 0.78, "0.79 is out of the new range: its end"
    assert {p["lr"] for t, p in begun[:16] if is_warm(t)} <= {0.78} | {
        (i + 0.5) / 64 for i in range(64)
    }
    assert "old" not in first
    assert len({p["new"] for _, p in begun}) == 32
    assert not any(is_warm(ask(study)[0]) for _ in range(8)), "that was half of the first 32"


def test_sources_take_turns_and_a_configuration_comes_once_before_it_comes_near() -> None:
    study = warm([earlier(0.2), earlier(0.7)], trials=80)
    rates = [p["lr"] for t, p in (ask(study) for _ in range(80)) if is_warm(t)]
    assert abs(rates[0] - 0.2) < 0.02
    assert abs(rates[1] - 0.7) < 0.02
    assert len(set(rates[:16])) == 16
    again = rates[16:32]
    assert again != rates[:16]
    assert all(abs(a - b) < 0.35 for a, b in zip(again, rates[:16], strict=True))


def test_nothing_more_is_taken_when_it_does_not_pay() -> None:
    study = warm([earlier()], trials=32)
    for _ in range(12):
        trial, _ = ask(study)
        study.tell(trial, 1.0 if is_warm(trial) else 0.5)
    assert not any(is_warm(ask(study)[0]) for _ in range(20))
    good = warm([earlier()], trials=32)
    for _ in range(12):
        trial, _ = ask(good)
        good.tell(trial, 0.5 if is_warm(trial) else 1.0)
    assert is_warm(ask(good)[0])


def test_the_direction_is_that_of_each_study() -> None:
    study = warm([earlier(0.3, direction="maximize")])
    assert abs(ask(study)[1]["lr"] - 0.3) < 0.02


def test_a_choice_that_is_gone_is_chosen_anew_and_enqueued_trials_are_left_alone() -> None:
    source = earlier()
    study = warm([source])
    study.enqueue_trial({"lr": 0.5, "layers": 3})
    trial, params = ask(study)
    assert (params["lr"], params["layers"], is_warm(trial)) == (0.5, 3, False)
    study = warm([source])
    trial = study.ask()
    assert isinstance(trial.suggest_categorical("layers", ["few", "many"]), str)
    assert trial.suggest_categorical("kind", ["c", "d"]) in ("c", "d")
    assert is_warm(trial)


def test_the_same_seed_begins_in_the_same_way() -> None:
    assert [ask(s)[1] for s in [warm([earlier()])] for _ in range(9)] == [
        ask(s)[1] for s in [warm([earlier()])] for _ in range(9)
    ]


def test_a_source_with_several_objectives_is_refused_and_an_empty_one_is_no_help() -> None:
    with pytest.raises(ValueError, match="several objectives"):
        WarmStartSampler([optuna.create_study(directions=["minimize"] * 2)])
    study = warm([optuna.create_study()])
    assert not is_warm(ask(study)[0])
