"""What pages and figures make of unusual values, names and search spaces."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial

from tune_jobs.core.formatting import format_parameter
from tune_jobs.dashboard.comparable import list_objectives, project
from tune_jobs.dashboard.comparison_figures import comparison_figures
from tune_jobs.dashboard.drawing import LARGEST
from tune_jobs.dashboard.figures import FIGURES, figure_names
from tune_jobs.dashboard.figures.curves import curves_figure
from tune_jobs.dashboard.figures.pairs import pair_info
from tune_jobs.dashboard.importance import importance_figure, importance_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameter_axes import axis_info, log_ticks
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.report.suggestions import suggest_next_steps
from tune_jobs.dashboard.report.writing import report_markdown
from tune_jobs.dashboard.trial_rows import TrialTables

CATEGORIES = (None, True, 2.5, "True", "None", "", "1", 7)


def trial(number: int, *values: float, **params: tuple[Any, BaseDistribution | None]) -> Trial:
    """Return a trial with parameters and their distributions."""
    return Trial(
        number,
        "COMPLETE",
        values,
        {name: value for name, (value, _) in params.items()},
        0.0,
        1.0,
        distributions={name: d for name, (_, d) in params.items() if d is not None},
    )


def numbers(value: Any) -> list[float]:
    """Return all numbers of a figure."""
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list | tuple):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, float | int) else []


@pytest.mark.parametrize(
    ("distribution", "values", "is_log"),
    [
        (FloatDistribution(0.0, 5.0), (0.004, 5.0), False),
        (FloatDistribution(1e-5, 0.1, log=True), (0.01, 0.1), True),
        (IntDistribution(1, 4096, log=True), (16, 32), True),
        (IntDistribution(1, 4096), (1, 4096), False),
        (CategoricalDistribution([1, 4096]), (1, 4096), True),
        (None, (0.004, 5.0), True),
        (None, (0.04, 5.0), False),
    ],
)
def test_distribution_decides_about_a_log_axis(
    distribution: BaseDistribution | None, values: tuple[float, ...], is_log: bool
) -> None:
    trials = [trial(i, 0.0, x=(v, distribution)) for i, v in enumerate(values)]
    axis = axis_info("x", trials)
    assert axis.log is is_log
    assert list(axis.positions) == pytest.approx([math.log10(v) if is_log else v for v in values])


def test_scale_is_guessed_if_trials_disagree() -> None:
    low, high = FloatDistribution(0.001, 5.0, log=True), FloatDistribution(0.0, 9.0)
    assert axis_info("x", [trial(0, 0.0, x=(0.001, low)), trial(1, 0.0, x=(9.0, high))]).log
    assert not axis_info("x", [trial(0, 0.0, x=(0.1, low)), trial(1, 0.0, x=(9.0, high))]).log


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (1e-5, 0.1, ["1e-5", "1e-4", "0.001", "0.01", "0.1"]),
        (0.01, 0.3, ["0.01", "0.02", "0.05", "0.1", "0.2"]),
        (20, 60, ["20", "30", "40", "50", "60"]),
    ],
)
def test_narrow_log_axes_have_ticks(low: float, high: float, labels: list[str]) -> None:
    ticks = log_ticks(low, high)
    assert [label for _, label in ticks] == labels
    assert [p for p, _ in ticks] == pytest.approx([math.log10(float(label)) for label in labels])


def test_values_of_different_types_look_different() -> None:
    shown = [format_parameter(each) for each in CATEGORIES]
    assert shown == ["None", "True", "2.5", "'True'", "'None'", "''", "'1'", "7"]
    ordinary = ["adam", "none", "a b", "relu6", "1st", "ü", "a,b"]
    assert [format_parameter(each) for each in ordinary] == ordinary
    odd = [" a", "a\tb", "a\nb", '"', '"a"', "nan", "1e5", "[1]", "\\", '"\\""']
    assert len({format_parameter(each) for each in odd}) == len(odd)
    assert format_parameter(0.123456789, 4) == "0.1235"
    assert format_parameter(0.123456789) == "0.123456789"


@pytest.fixture
def mixed() -> Study:
    """Return a study whose categories look alike, and parameters that JavaScript knows."""
    study = optuna.create_study(direction="maximize")
    m = CategoricalDistribution(list(CATEGORIES))
    x = FloatDistribution(0.0, 1.0)
    for i in range(48):
        params = {"m": CATEGORIES[i % 8], "__proto__": i / 48, "constructor": (i * 7 % 48) / 48}
        spaces = {"m": m, "__proto__": x, "constructor": x}
        study.add_trial(create_trial(params=params, distributions=spaces, value=float(i % 8)))
    return read_study(study)


def test_figures_keep_categories_apart(mixed: Study) -> None:
    axis = axis_info("m", mixed.trials)
    assert axis.categories == len(CATEGORIES)
    assert {label for _, label in axis.ticks} == set(map(format_parameter, CATEGORIES))
    assert importance_info(mixed)[0][0] == "m"


def test_tables_keep_categories_apart(mixed: Study) -> None:
    answer = TrialTables().answer(mixed, {})
    place = [column["id"] for column in answer["columns"]].index("param:m")
    assert {row[place] for row in answer["rows"]} == {
        "None", "True", 2.5, "'True'", "'None'", "''", "'1'", 7
    }  # fmt: skip
    report = report_markdown([mixed])
    assert "m = 7" in report


def test_importance_has_a_row_for_each_name(mixed: Study) -> None:
    figure = importance_figure(mixed)
    (trace,), axis = figure["data"], figure["layout"]["yaxis"]
    assert set(axis["ticktext"]) == {"m", "__proto__", "constructor"}
    assert trace["y"] == axis["tickvals"] == [0, 1, 2]
    figures = comparison_figures([mixed, mixed])
    _, compared = figures["importances"]
    assert set(compared["layout"]["xaxis"]["ticktext"]) == {"m", "__proto__", "constructor"}


@pytest.fixture
def conditional() -> Study:
    """Return a study in which a model of a kind decides about further parameters."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))

    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("model", ["svm", "forest"]) == "svm":
            loss = abs(math.log10(trial.suggest_float("c", 1e-3, 1e3, log=True)) - 1.0)
        else:
            loss = abs(trial.suggest_int("trees", 1, 100) - 40) / 10
        if trial.number in (5, 6, 7):
            trial.suggest_float("rare", 0.0, 1.0)
        return loss + 0.1 * trial.suggest_float("common", 0.0, 1.0)

    study.optimize(objective, n_trials=60)
    return read_study(study)


def test_importance_of_conditional_parameters(conditional: Study) -> None:
    found = dict(importance_info(conditional))
    assert set(found) == {"model", "c", "trees", "common"}
    assert max(found, key=lambda name: found[name]) in ("c", "trees")
    figure = importance_figure(conditional)
    labels = figure["layout"]["yaxis"]["ticktext"]
    assert "common" in labels
    assert any(label.startswith("c (") and label.endswith("of 60 trials)") for label in labels)
    assert "rare (left out: only 3 trials)" in labels
    assert figure["data"][0]["x"][-1] is None


def test_contour_takes_parameters_that_occur_together(conditional: Study) -> None:
    pair = pair_info(conditional)
    assert len(pair.trials) > 10
    apart = pair_info(conditional, {"x": "c", "y": "trees"})
    assert not apart.trials
    for name in ("contour", "rank"):
        figure = FIGURES[name][1](conditional, 0.0, {"x": "c", "y": "trees"})
        assert figure["layout"]["annotations"][0]["text"] == "no trial has both parameters"


def test_advice_ignores_parameters_that_few_trials_have() -> None:
    study = optuna.create_study()
    x = FloatDistribution(0.0, 1.0)
    for i in range(60):
        params = {"x": i / 60, "y": (i * 37 % 60) / 60}
        if i % 10 == 7:
            params["seldom"] = (i * 7 % 60) / 60
        spaces: dict[str, BaseDistribution] = dict.fromkeys(params, x)
        study.add_trial(create_trial(params=params, distributions=spaces, value=i / 60))
    seen = read_study(study)
    assert dict(importance_info(seen))["seldom"] < 0.02
    assert not any("fixing" in line and "seldom" in line for line in suggest_next_steps(seen))


@pytest.mark.filterwarnings("ignore:.*set_metric_names:optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("storage", ["sqlite", "memory", "journal"])
def test_names_of_objectives_are_those_of_optuna(tmp_path: Any, storage: str) -> None:
    where: Any = {"sqlite": f"sqlite:///{tmp_path}/s.db", "memory": None}.get(storage)
    if storage == "journal":
        backend = optuna.storages.journal.JournalFileBackend(f"{tmp_path}/journal.log")
        where = optuna.storages.JournalStorage(backend)
    study = optuna.create_study(storage=where, directions=["minimize", "maximize"])
    before = read_study(study)
    assert before.metrics == ["value 1", "value 2"]
    study.set_metric_names(["cost", "gain"])
    study.add_trial(create_trial(values=[1.0, 2.0]))
    seen = read_study(study)
    assert seen.metrics == ["cost", "gain"]
    assert "gain" in report_markdown([seen])
    assert list(map(str, list_objectives(seen))) == ["cost (minimize)", "gain (maximize)"]
    assert project(seen, 1).metrics == ["gain"]
    own = {"metrics": [{"name": "loss"}, {"name": "accuracy"}]}
    assert Study("k", "n", seen.maximize, (), definition=own, metric_names=("a", "b")).metrics == [
        "loss",
        "accuracy",
    ]


def test_no_axis_spans_more_than_a_float() -> None:
    study = optuna.create_study()
    values = (math.inf, -math.inf, 1.0, 2.0, 1e308, -1e308, 5e-324, 0.0, -0.0)
    for i, value in enumerate(values):
        study.add_trial(
            create_trial(
                params={"x": i / 10, "y": 1e308 * (i % 2 or -1)},
                distributions={
                    "x": FloatDistribution(0.0, 1.0),
                    "y": FloatDistribution(-1.7e308, 1.7e308),
                },
                value=value,
                intermediate_values={0: value, 1: math.nan, 2: math.inf, 10**9: 1.0},
            )
        )
    seen = read_study(study)
    figures = [FIGURES[name][1](seen, 0.0) for name in figure_names(seen)]
    figures += [figure for _, figure in comparison_figures([seen, seen]).values()]
    assert len(figures) > 8
    for figure in figures:
        for number in numbers(figure):
            if math.isfinite(number):
                assert abs(number) <= 1.2 * LARGEST
                assert number == 0 or abs(number) > 1e-301


def test_curves_of_single_points_are_visible() -> None:
    steps = [{0: 1.0}, {0: 1.0, 1: 2.0, 2: math.nan, 3: 3.0}, {0: math.nan}]
    trials = [Trial(i, "COMPLETE", (1.0,), {}, 0.0, 1.0, each) for i, each in enumerate(steps)]
    (trace,) = curves_figure(Study("k", "s", (False,), trials))["data"]
    assert trace["mode"] == "lines+markers"
    shown = zip(trace["customdata"], trace["x"], trace["marker"]["size"], strict=True)
    assert [(number, step) for number, step, size in shown if size] == [(0, 0), (1, 3)]


def test_numbers_of_categories_may_be_huge() -> None:
    choices = [10**400, 1, 2, 3]
    distribution = CategoricalDistribution(choices)
    trials = [trial(i, float(i), n=(choices[i % 4], distribution)) for i in range(12)]
    axis = axis_info("n", trials)
    assert axis.positions[0] == pytest.approx(400)
    study = Study("k", "s", (False,), trials)
    assert dict(importance_info(study))["n"] == pytest.approx(1.0)
