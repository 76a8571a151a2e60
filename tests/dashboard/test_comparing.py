"""Comparison of studies."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from scipy.stats import ttest_ind

import tune_jobs
from tests.dashboard.conftest import MakeStudy
from tests.simulation import simulated
from tune_jobs.cli.main import main
from tune_jobs.dashboard.comparing import compare, compare_by
from tune_jobs.dashboard.comparison_figures import comparison_figures
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.races import race_figure
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.study_groups import list_entries
from tune_jobs.dashboard.verdicts import welch_p_value
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


def test_winners_and_the_parameters_in_which_they_differ() -> None:
    result = compare([study("a", [0.1, 0.5, 0.3]), study("b", [0.9, 0.2])])
    assert [(w.study, w.trial, w.value) for w in result.winners] == [("b", 0, 0.9), ("a", 1, 0.5)]
    assert result.differing == ["x"]
    assert "further runs of each study's best trial with other seeds do" in result.statement
    assert "x=0" in str(result)
    assert "complete" in str(result).splitlines()[0]
    same = compare([study("a", [0.1]), study("b", [0.1])])
    assert all(str(same).splitlines()), "no empty line without differing parameters"


def test_a_percentage_is_given_where_it_says_something() -> None:
    for first, second, gap in (
        (0.9, 0.5, "by 0.4 (80 %),"),
        (1e300, 1e-300, "by 1e+300, 1e+300 against 1e-300"),
        (1.7e308, -1.7e308, "by more than 1.8e+308, 1.7e+308 against -1.7e+308"),
        (1.0, 0.0, "by 1, 1 against 0"),
        (123.0, 1.0, "by 122, 123 against 1"),
    ):
        assert gap in compare([study("a", [first]), study("b", [second])]).statement


def test_without_an_objective_the_most_frequent_one_is_compared() -> None:
    named = replace(study("n", [9.0]), definition={"metrics": [{"name": "acc"}]})
    several = Study("m", "m", (True, True), [])
    found = compare_by([study("a", [0.1]), named, several, study("b", [0.2])])
    assert [w.study for w in found.winners] == ["b", "a"]
    assert found.objective == "max:"
    assert list(found.notes) == [
        "'n' is left out, as it does not have value (maximize): it has acc (maximize)",
        "'m' is left out, as it does not have value (maximize): it has value 1 (maximize), "
        "value 2 (maximize)",
    ]
    with pytest.raises(ConfigError, match="different objectives: choose one of max:, max:acc"):
        compare_by([study("a", [0.1]), named])
    joined = compare_by([study("a", [0.1]), named], objective="acc")
    assert len(joined.winners) == 2, "who names the objective says that they are the same"


def test_significance_of_a_difference() -> None:
    clear = compare([study("a", [0.5], 5, 0.01), study("b", [0.9], 5, 0.01)])
    assert "the difference is significant" in clear.statement
    close = compare([study("a", [0.50], 5, 0.05), study("b", [0.51], 5, 0.05)])
    assert "the difference is not significant" in close.statement
    assert len(close.winners[0].replicates) == 5
    same = compare([study("a", [0.5], 5), study("b", [0.5], 5)])
    assert "the difference is not significant" in same.statement


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 2.0], [1.5, 4.0]),
        ([0.91, 0.92, 0.93, 0.90], [0.88, 0.95, 0.70]),
        ([0.1, 0.1, 0.11], [0.2, 0.3, 0.25, 0.2]),
    ],
)
def test_welch_p_value(a: list[float], b: list[float]) -> None:
    expected = ttest_ind(a, b, equal_var=False).pvalue
    assert welch_p_value(a, b) == pytest.approx(expected, rel=1e-9)
    assert welch_p_value(b, a) == pytest.approx(expected, rel=1e-9)


def test_p_value_of_samples_without_variance() -> None:
    assert welch_p_value([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert welch_p_value([1.0, 1.0], [2.0, 2.0]) == 0.0


def test_studies_that_cannot_be_compared() -> None:
    up, down = study("a", [0.5]), Study("d", "d", (False,), [])
    with pytest.raises(ValueError, match="some studies maximize"):
        compare([up, down])
    with pytest.raises(ConfigError, match="several objectives"):
        compare([Study("m", "m", (True, True), [])])
    assert "fewer than two studies" in compare([up]).statement


def test_warnings_about_different_code_data_and_metrics() -> None:
    def with_definition(name: str, metric: str, code: str, data: str = "1") -> Study:
        made = study(name, [0.5])
        definition = {
            "metrics": [{"name": metric, "counts": "last"}],
            "run": {"code_sha256": code},
            "data": {f"{name}.csv": {"bytes": 1, "sha256": data}},
        }
        return Study(name, name, (True,), made.trials, definition=definition)

    assert (
        compare([with_definition("a", "acc", "1"), with_definition("b", "acc", "1")]).warnings == []
    )
    assert compare(
        [with_definition("a", "acc", "1"), with_definition("b", "acc", "1", "2")]
    ).warnings == ["the studies have different data: 'a', 'b'"]
    warnings = compare([with_definition("a", "acc", "1"), with_definition("b", "f1", "2")]).warnings
    assert len(warnings) == 2
    assert "'a', 'b'" in warnings[0]


def test_races_by_trials_time_run_hours_and_cost(tuned: MakeStudy) -> None:
    studies = [read_study(tuned("a")), read_study(tuned("b", max_parallel=2))]
    for axis, last in (
        ("trials", [len(s.complete()) for s in studies]),
        ("hours", [sum(t.run_hours for t in s.trials) for s in studies]),
        ("money", [sum(t.cost for t in s.trials) for s in studies]),
        ("time", [max(r.finished or 0 for r in s.runs) / 3600 for s in studies]),
    ):
        ends = [trace["x"][-1] for trace in race_figure(list_entries(studies), axis)["data"]]
        for end, whole in zip(ends, last, strict=True):
            assert 0.5 * whole < end <= whole * 1.0001, axis
    assert set(comparison_figures(studies)) > {"race-money", "together", "importances"}


def test_replicates_of_a_tuned_study() -> None:
    tuner, _ = simulated()
    tuner.optimize(n_trials=10)
    best = tuner.study.best_trial.number
    tuner.replicate(best, 3)
    tuner.replicate(best, 1)
    tuner.optimize(n_trials=4)
    copies = tuner.study.trials[10:]
    assert [t.user_attrs["tune_jobs:replicate_of"] for t in copies] == [best] * 4
    argv = [" ".join(a.invocation.argv) for a in tuner.attempts()[10:]]
    assert [text.rpartition("--seed=")[2] for text in argv] == ["1", "2", "3", "4"]
    assert {t.params["x"] for t in copies} == {tuner.study.trials[best].params["x"]}
    seen = read_study(tuner.study)
    (winner,) = compare([seen]).winners
    assert winner.trial == best
    assert len(winner.replicates) == 4


def test_the_compare_command(
    tuned: MakeStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned("a")
    tuned("b")
    assert (
        main(["compare", f"{tmp_path}/studies.db::a", f"{tmp_path}/studies.db::b", "--json"]) == 0
    )
    assert len(json.loads(capsys.readouterr().out)["winners"]) == 2
    assert main(["compare", f"{tmp_path}/studies.db"]) == 0
    assert "'a' and 'b' have the same best value" in capsys.readouterr().out
    assert main(["compare", f"{tmp_path}/studies.db::c"]) == 3
    assert "it has: 'a', 'b'" in capsys.readouterr().err
    (tmp_path / "empty.db").touch()
    assert main(["compare", f"{tmp_path}/empty.db"]) == 3
    assert "empty.db has no studies: run one" in capsys.readouterr().err


def test_a_group_by_a_user_attribute_and_an_objective_of_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studies = []
    for name, kind, center in (("a", "old", 0.5), ("b", "old", 0.52), ("c", "new", 0.9)):
        study = optuna.create_study(
            study_name=name, storage=f"sqlite:///{tmp_path}/s.db", directions=["maximize"] * 2
        )
        study.add_trial(optuna.trial.create_trial(values=[center, -center]))
        study.set_user_attr("kind", kind)
        studies.append(study)
    found = tune_jobs.compare(studies, objective="max:value 1", group="attribute:kind")
    assert [(w.study, w.group) for w in found.winners] == [("c", "new"), ("b", "old"), ("a", "old")]
    assert "'new' is ahead of 'old' by 0.39" in found.statement
    assert found.objective == "max:value 1"
    assert found.notes[0] == ("'a' has several objectives; not compared: value 2 (maximize)")

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["compare", f"{tmp_path}/s.db", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    by_attribute = ("--objective", "value 1", "--group", "attribute:kind", "--json")
    code, out, _ = call(*by_attribute)
    assert code == 0
    assert json.loads(out)["statement"] == found.statement
    code, out, _ = call("--objective=value 2", "--label=a=x", "--label=b=x")
    assert code == 0
    assert "'x' is ahead of 'c'" in out
    assert out.splitlines()[0].endswith("group")
    for words, problem in {
        (): "study 'a' has several objectives: choose one of max:value 1, max:value 2",
        ("--objective=f1",): "no study has the objective 'f1'; there are: value 1 (maximize), ",
        (
            "--objective=value 1",
            "--group=attribute:size",
        ): "no study has the user attribute 'size'; there are: kind",
        ("--objective=value 1", "--group=size"): "unknown grouping 'size': use name, or attribute:",
        ("--label=z=x",): "--label z=x: use STUDY=GROUP with one of 'a', 'b', 'c'",
        ("--label=a=x", "--group=name"): "--label names groups by hand: leave --group out",
    }.items():
        code, _, err = call(*words)
        assert (code, problem in err) == (2, True), err
