"""The data of figures of several objectives, constraints, pairs, costs and promotion."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.dashboard.conftest import MakeStudy
from tests.dashboard.test_figures import run
from tune_jobs.core.attempts import AttemptState
from tune_jobs.core.promotion import Promotion
from tune_jobs.dashboard.drawing import Clock
from tune_jobs.dashboard.figure_view import DrawnFigures, figure_view
from tune_jobs.dashboard.figures import FIGURES, KINDS, draw_printed, figure_names
from tune_jobs.dashboard.figures.choices import read_pair
from tune_jobs.dashboard.figures.constraints import violations_info
from tune_jobs.dashboard.figures.costs import cost_info
from tune_jobs.dashboard.figures.curves import curves_info
from tune_jobs.dashboard.figures.distribution import distribution_info
from tune_jobs.dashboard.figures.front import hypervolume_info
from tune_jobs.dashboard.figures.history import history_info
from tune_jobs.dashboard.figures.pairs import pair_info, rank_info, surface_info
from tune_jobs.dashboard.figures.provisioning import provisioning_info
from tune_jobs.dashboard.figures.rungs import ladder_info
from tune_jobs.dashboard.figures.slots import timeline_figure, timeline_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.objective_view import front_view, objective_view
from tune_jobs.dashboard.parallel_lines import MANY_LINES
from tune_jobs.dashboard.parameter_axes import axis_info, find_ticks
from tune_jobs.dashboard.parameters import parallel_figure
from tune_jobs.dashboard.reading import read_study

OTHERS = ("SUCCEEDED", "FAILED", "CANCELED", "LOST")


def trial(number: int, *values: float, violation: float | None = None, **params: Any) -> Trial:
    constraints = {} if violation is None else {"memory": violation}
    state = "COMPLETE" if values else "FAIL"
    return Trial(number, state, values, params, 0.0, 1.0, constraints=constraints)


def two(*trials: Trial) -> Study:
    return Study("k", "two", (False, True), trials)


@pytest.fixture
def several() -> Study:
    """Return a study of two objectives, the first minimized, in which trial 3 is infeasible."""
    return two(
        trial(0, 4.0, 10.0, violation=0.0, x=0.0, y=0.0),
        trial(1, 2.0, 20.0, violation=-1.0, x=1.0, y=0.0),
        trial(2, 1.0, 15.0, violation=0.0, x=0.0, y=1.0),
        trial(3, 0.1, 99.0, violation=5.0, x=1.0, y=1.0),
    )


def test_hypervolume_without_infeasible_trials(several: Study) -> None:
    info = hypervolume_info(several)
    assert list(info.reference) == pytest.approx([4.3, 9.0])
    assert list(info.numbers) == [0, 1, 2]
    first, second = 0.3 * 1.0, 2.3 * 11.0
    assert list(info.volumes) == pytest.approx([first, second, second + 1.0 * 6.0])


def test_figures_of_each_objective(several: Study) -> None:
    drawn = DrawnFigures()
    first = drawn.draw(several, "history", {}, 0.0)
    second = drawn.draw(several, "history", {"objective": "1"}, 0.0)
    assert first != second
    assert first == drawn.draw(several, "history", {"objective": "0", "other": "x"}, 0.0)
    assert history_info(several, 1).best == [10.0, 20.0, 20.0]
    for name in figure_names(several):
        choices = figure_view(several, name, {}, 0.0)["choices"]
        offers = {choice["name"] for choice in choices}
        assert ("objective" in offers) == (name not in ("front", "hypervolume", "constraints")), (
            name
        )


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("history", {"objective": "2"}),
        ("history", {"objective": "-1"}),
        ("contour", {"x": "<b>unknown"}),
        ("contour", {"x": "x", "y": ""}),
    ],
)
def test_unknown_choices_are_refused(several: Study, name: str, chosen: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is no option: use one of"):
        figure_view(several, name, chosen, 0.0)


def test_pair_of_parameters(several: Study) -> None:
    assert set(read_pair(several, {})[1:]) == {"x", "y"}
    assert read_pair(several, {"x": "y"}) == (0, "y", "x")
    pair = pair_info(several, {"x": "x", "y": "y"})
    assert pair.points == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert rank_info(pair) == pytest.approx([1.0, 2 / 3, 1 / 3, 0.0])
    surface = surface_info(pair)
    assert surface.values[0][0] == pytest.approx(4.0)
    assert surface.values[-1][-1] == pytest.approx(0.1)
    below = surface.values[0]
    assert below[len(below) // 2] == pytest.approx(4.0 - 2.0 * surface.x[len(below) // 2])


def test_contour_has_no_values_far_from_trials_and_between_categories() -> None:
    trials = [
        trial(0, 1.0, c="a", x=1.0),
        trial(1, 3.0, c="a", x=3.0),
        trial(2, 5.0, c="b", x=2.0),
        trial(3, 9.0, c="b", x=2.0),
    ]
    surface = surface_info(pair_info(Study("k", "s", (False,), trials), {"x": "x", "y": "c"}))
    first, second = surface.values
    assert [v for v in first if v is not None][:1] == [1.0]
    assert len([v for v in first if v is None]) == 0
    assert [v for v in second if v is not None] == [5.0], "the best of trials at one place"
    line = [trial(i, float(i), x=float(i), y=float(i)) for i in range(5)]
    found = surface_info(pair_info(Study("k", "s", (False,), line), {}))
    assert {v for row in found.values for v in row} == {None}


def test_distribution(several: Study) -> None:
    info = distribution_info(several, 1)
    assert info.values == {"feasible": [(0, 10.0), (1, 20.0), (2, 15.0)], "infeasible": [(3, 99.0)]}
    assert list(info.shares) == [(10.0, 1 / 3), (15.0, 2 / 3), (20.0, 1.0)]


def test_violations_and_feasible_counts(several: Study) -> None:
    info = violations_info(several)
    assert (info.feasible, info.infeasible) == ([(0, 0.0), (1, 0.0), (2, 0.0)], [(3, 5.0)])
    assert violations_info(several, "memory").feasible[1] == (1, -1.0)
    view = objective_view(several)
    assert view["feasibility"] == {"feasible": 3, "infeasible": 1}
    assert view["front_size"] == 2
    assert view["best_by_objective"] == [
        {"metric": "value 1", "value": 1.0, "trial": 2},
        {"metric": "value 2", "value": 20.0, "trial": 1},
    ]
    rows = front_view(several)["rows"]
    assert [row["trial"] for row in rows] == [2, 1]
    assert rows[0] == {"trial": 2, "values": [1.0, 15.0], "params": [0.0, 1.0]}


def test_timeline_has_states_and_a_clock() -> None:
    runs = [
        replace(run(i, 1e9, 1e9 + 10, 1e9 + 60), state=AttemptState(state))
        for i, state in enumerate(OTHERS)
    ]
    pruned = replace(
        run(4, 1e9, 1e9 + 10, 1e9 + 60), state=AttemptState.CANCELED, cause="pruned: x"
    )
    live = replace(run(5, 1e9, 1e9 + 10, None), state=AttemptState.SUBMITTED)
    study = Study("k", "s", (True,), [], [*runs, pruned, live], owner=None)
    states = ["complete", "failed", "canceled", "lost", "pruned", "running"]
    assert [b.state for b in timeline_info(study.runs, 0.0).bars] == states
    figure = timeline_figure(study, 2e9)
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert set(traces) == {"provisioning", *states}
    assert len({trace["marker"]["color"] for trace in traces.values()}) == len(traces)
    assert figure["layout"]["xaxis"]["type"] == "date"
    assert traces["complete"]["base"] == [Clock().place(1e9 + 10)]
    assert traces["complete"]["x"] == [50_000]
    assert traces["running"]["x"] == [50_000], "until the last event, as no process watches it"


def test_cost_over_time() -> None:
    runs = [run(0, 0, 3600, 7200), run(1, 0, 3600, 10800)]
    definition = {"prices": {"local": 2.0}, "limits": {"max_cost": 9.0, "n_trials": 4}}
    trials = [trial(0, 1.0), trial(1, 1.0)]
    study = Study("k", "s", (True,), trials, runs, owner="me", definition=definition)
    info = cost_info(study, 10800.0)
    assert (info.unit, info.limit) == ("cost", 9.0)
    assert list(zip(info.times, info.used, strict=True)) == [
        (3600, 0.0),
        (7200, pytest.approx(4.0)),
        (10800, pytest.approx(6.0)),
    ]
    assert info.forecast == pytest.approx(12.0), "two trials are left"
    unpriced = cost_info(replace(study, definition={}, owner=None), 10800.0)
    assert (unpriced.unit, unpriced.limit, unpriced.forecast) == ("run hours", None, None)
    assert unpriced.used[-1] == pytest.approx(3.0)


def test_tuner_records_prices_and_limits(tuned: MakeStudy) -> None:
    study = read_study(tuned())
    assert study.definition["prices"] == {"simulated": 2.0}
    info = cost_info(study, 0.0)
    assert info.unit == "cost"
    assert info.used[-1] == pytest.approx(sum(t.cost for t in study.trials))


def test_provisioning_by_shape() -> None:
    small = [replace(run(i, 0, 60 + i, 99), shape="small") for i in range(3)]
    info = provisioning_info([replace(run(9, 5, 10, 99)), *small])
    assert list(info) == ["small", "local"]
    assert info["small"] == [(0, 60.0), (1, 61.0), (2, 62.0)]
    assert info["local"] == [(9, 5.0)]


def test_promotion_counts_configurations(tuned: MakeStudy) -> None:
    promotion = Promotion("epochs", minimum=1, maximum=9, factor=3)
    study = read_study(tuned(n_trials=9, promotion=promotion))
    info = ladder_info(study)
    assert (len(info.paths), info.finished) == (9, 9)
    assert list(info.reached) == [1, 3, 9]
    assert info.reached[1] == 9
    assert 1 <= info.reached[9] <= info.reached[3] < 9
    assert {len(path) for path in info.paths} == {1, 2, 3}
    assert len(study.trials) > 9
    view = objective_view(study)["promotion"]
    assert (view["configurations"], view["finished"], view["pruned"]) == (9, 9, 0)
    assert "rungs" in figure_names(study)
    assert {c.state for c in curves_info(study)} == {"RUNG", "COMPLETE"}
    (lines,) = [t for t in KINDS["rungs"].draw(study, 0.0)["data"] if t["mode"] == "lines"]
    assert lines["customdata"].count(None) == info.reached[3]


def test_parallel_coordinates_mark_missing_values() -> None:
    name = "a" * 50
    trials = [trial(0, 1.0, **{name: 5.0}), trial(1, 2.0, **{name: 9.0}), trial(2, 3.0, z=1)]
    figure = parallel_figure(Study("k", "s", (True,), trials))
    _, dimension, *_ = figure["data"][0]["dimensions"]
    absent = dimension["values"][2]
    assert absent < 5.0
    assert dict(zip(dimension["tickvals"], dimension["ticktext"], strict=True))[absent] == "(none)"
    assert len(dimension["label"]) <= 18
    for axis in figure["data"][0]["dimensions"]:
        assert "tickvals" in axis or axis["tickformat"] == "~g"


def test_figures_say_something_or_are_not_offered() -> None:
    study = two(trial(0, math.inf, 1.0), trial(1))
    for name in figure_names(study):
        assert figure_view(study, name, {}, 0.0)["data"], name
    assert not {"contour", "rank", "distribution", "cost", "hypervolume"} & {*figure_names(study)}


def test_a_live_simulation_ends_with_its_last_event_and_not_now() -> None:
    live = replace(run(1, 0.0, 60.0, None), backend="simulated", state=AttemptState.SUBMITTED)
    ended = replace(run(0, 0.0, 60.0, 7200.0), backend="simulated")
    seen = Study("k", "s", (True,), [trial(0, 1.0), trial(1)], [ended, live], owner="me")
    timeline = FIGURES["timeline"][1](seen, 1.7e9)
    assert timeline["layout"]["xaxis"]["title"]["text"] == "hours of virtual time"
    bars = timeline["data"]
    assert max(b + x for t in bars for b, x in zip(t["base"], t["x"], strict=True)) == 2.0
    assert max(FIGURES["cost"][1](seen, 1.7e9)["data"][0]["x"]) == 2.0


def test_a_run_that_ended_at_the_begin_of_a_virtual_clock_has_ended() -> None:
    (bar,) = timeline_info([run(0, 0.0, 0.0, 0.0)], 1.7e9).bars
    assert bar.ended == 0.0


def test_printed_figures_show_every_objective_without_webgl() -> None:
    trials = [trial(i, i / 10, -i / 10, lr=10.0**-i, c="ab"[i % 2]) for i in range(6)]
    trials.append(trial(6, 2.0, 0.0, lr=1e-3))
    seen = Study("k", "s", (True, False), trials)
    for name in ("history", "parallel", "slice", "importance", "distribution"):
        titles = [printed.title for printed in draw_printed(seen, name, 0.0)]
        assert [title.rpartition(": ")[2] for title in titles] == ["value 1", "value 2"], name
    three = replace(seen, maximize=(True,) * 3, trials=[trial(i, i, -i, 0.0) for i in range(3)])
    fronts = draw_printed(three, "front", 0.0)
    assert [f.key for f in fronts] == ["front-1", "front-2", "front-3"]
    assert fronts[1].title == "Pareto front: value 1 and value 3"


def test_parallel_lines_have_the_axes_of_parallel_coordinates() -> None:
    trials = [trial(i, float(i), lr=10.0**-i, c="ab"[i % 2]) for i in range(5)]
    trials.append(trial(5, 9.0, lr=1e-2))
    seen = Study("k", "s", (True,), trials)
    (printed,) = draw_printed(seen, "parallel", 0.0)
    page = FIGURES["parallel"][1](seen, 0.0)["data"][0]["dimensions"]
    assert printed.figure["layout"]["xaxis"]["ticktext"] == [d["label"] for d in page]
    best = next(t for t in printed.figure["data"] if t.get("name") == "trial 5")
    for y, dimension in zip(best["y"], page, strict=True):
        low, high = dimension["range"]
        assert low + y * (high - low) == pytest.approx(dimension["values"][5], abs=1e-3)
    labels = {a["text"]: (a["x"], a["y"]) for a in printed.figure["layout"]["annotations"]}
    assert labels["(none)"] == (2, 0.0)
    assert labels["0.01"] == (1, 0.5)
    assert [label for _, label in find_ticks(axis_info("n", [trial(0, n=1), trial(1, n=4)]))] == [
        "1",
        "2",
        "3",
        "4",
    ]
    many = replace(seen, trials=[trial(i, float(i % 900), lr=i + 1.0) for i in range(1000)])
    (printed,) = draw_printed(many, "parallel", 0.0)
    assert sum(t["x"].count(0.0) for t in printed.figure["data"]) == MANY_LINES + 1
    assert any(t.get("name") == "trial 899" for t in printed.figure["data"])
