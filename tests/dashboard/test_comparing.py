"""Comparing studies."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from scipy.stats import t as student

from tests.dashboard.conftest import MakeStudy
from tests.simulation import simulated
from tune_jobs.cli.main import main
from tune_jobs.dashboard.comparing import _two_sided, compare, comparison_figures, race_figure
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.reading import read_study
from tune_jobs.errors import ConfigError


def study(name: str, values: list[float], copies: int = 0, spread: float = 0.0) -> Study:
    """Trials with these values, and replicates of the best one."""
    chance = random.Random(name)
    trials = [
        Trial(i, "COMPLETE", (v,), {"x": i, "same": 1}, float(i), i + 1.0)
        for i, v in enumerate(values)
    ]
    best = max(range(len(values)), key=lambda i: values[i])
    for i in range(copies):
        value = values[best] - 0.01 + chance.gauss(0, spread)
        number = len(values) + i
        again = {"tune_jobs:replicate_of": best}
        trials.append(Trial(number, "COMPLETE", (value,), {"x": best}, 0.0, 99.0, {}, again))
    return Study(name, name, (True,), trials)


def test_winners_and_where_they_differ() -> None:
    result = compare([study("a", [0.1, 0.5, 0.3]), study("b", [0.9, 0.2])])
    assert [(w.study, w.trial, w.value) for w in result.winners] == [("b", 0, 0.9), ("a", 1, 0.5)]
    assert result.differing == ["x"]
    assert "tuner.replicate" in result.statement
    assert "x=0" in str(result)


def test_a_difference_that_is_more_than_noise_and_one_that_is_not() -> None:
    clear = compare([study("a", [0.5], 5, 0.01), study("b", [0.9], 5, 0.01)])
    assert "is more than noise" in clear.statement
    close = compare([study("a", [0.50], 5, 0.05), study("b", [0.51], 5, 0.05)])
    assert "is not more than noise" in close.statement
    assert len(close.winners[0].replicates) == 5
    same = compare([study("a", [0.5], 5), study("b", [0.5], 5)])
    assert "is not more than noise" in same.statement


@pytest.mark.parametrize(("t", "freedom"), [(0.0, 3.0), (1.0, 2.5), (2.3, 7.7), (5.0, 30.0)])
def test_student(t: float, freedom: float) -> None:
    assert _two_sided(t, freedom) == pytest.approx(2 * student.sf(t, freedom), rel=1e-9)


def test_what_cannot_be_compared() -> None:
    up, down = study("a", [0.5]), Study("d", "d", (False,), [])
    with pytest.raises(ValueError, match="some of these studies maximize"):
        compare([up, down])
    with pytest.raises(ConfigError, match="several objectives"):
        compare([Study("m", "m", (True, True), [])])
    assert "only one winner" in compare([up]).statement


def test_other_code_and_another_metric_are_said() -> None:
    def of(name: str, metric: str, code: str, data: str = "1") -> Study:
        made = study(name, [0.5])
        definition = {
            "metrics": [{"name": metric, "counts": "last"}],
            "run": {"code_sha256": code},
            "data": {f"{name}.csv": {"bytes": 1, "sha256": data}},
        }
        return Study(name, name, (True,), made.trials, definition=definition)

    assert compare([of("a", "acc", "1"), of("b", "acc", "1")]).warnings == []
    assert compare([of("a", "acc", "1"), of("b", "acc", "1", "2")]).warnings == [
        "the data is not the same in 'a', 'b'"
    ]
    warnings = compare([of("a", "acc", "1"), of("b", "f1", "2")]).warnings
    assert len(warnings) == 2
    assert "'a', 'b'" in warnings[0]


def test_a_race_by_trials_time_run_hours_and_money(tuned: MakeStudy) -> None:
    studies = [read_study(tuned("a")), read_study(tuned("b", max_parallel=2))]
    for axis, last in (
        ("trials", [len(s.complete()) for s in studies]),
        ("hours", [sum(t.run_hours for t in s.trials) for s in studies]),
        ("money", [sum(t.money for t in s.trials) for s in studies]),
        ("time", [max(r.finished or 0 for r in s.runs) / 3600 for s in studies]),
    ):
        ends = [trace["x"][-1] for trace in race_figure(studies, axis)["data"]]
        for end, whole in zip(ends, last, strict=True):
            assert 0.5 * whole < end <= whole * 1.0001, axis
    assert set(comparison_figures(studies)) > {"race-money", "together", "importances"}


def test_replicates_of_a_real_study() -> None:
    tuner, _ = simulated()
    tuner.optimize(n_trials=10)
    best = tuner.study.best_trial.number
    tuner.replicate(best, 3)
    tuner.replicate(best, 1)
    tuner.optimize(n_trials=4)
    copies = tuner.study.trials[10:]
    assert [t.user_attrs["tune_jobs:replicate_of"] for t in copies] == [best] * 4
    argv = [" ".join(a.invocation["argv"]) for a in tuner.attempts()[10:]]
    assert [text.rpartition("--seed=")[2] for text in argv] == ["1", "2", "3", "4"]
    assert {t.params["x"] for t in copies} == {tuner.study.trials[best].params["x"]}
    seen = read_study(tuner.study)
    (winner,) = compare([seen]).winners
    assert winner.trial == best
    assert len(winner.replicates) == 4


def test_the_command(tuned: MakeStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned("a")
    tuned("b")
    assert (
        main(["compare", f"{tmp_path}/studies.db::a", f"{tmp_path}/studies.db::b", "--json"]) == 0
    )
    assert len(json.loads(capsys.readouterr().out)["winners"]) == 2
    assert main(["compare", f"{tmp_path}/studies.db"]) == 0
    assert "is ahead of" in capsys.readouterr().out
    assert main(["compare", f"{tmp_path}/studies.db::c"]) == 3
    assert "it has: 'a', 'b'" in capsys.readouterr().err
