"""What is compared, in which groups, and what figures show of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.dashboard.comparing import add_trials
from tests.dashboard.conftest import sign_in
from tune_jobs.dashboard.comparable import choose_comparable
from tune_jobs.dashboard.comparison_figures import (
    comparison_figures,
    distribution_figure,
    importances_figure,
)
from tune_jobs.dashboard.comparison_view import MAX_COMPARED, parse_query
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.races import Curve, band_info, race_figure
from tune_jobs.dashboard.study_groups import (
    NAME_LENGTH,
    assign_groups,
    list_entries,
    list_groupings,
    strip_seed,
)
from tune_jobs.dashboard.verdicts import Contender, Outcome, judge
from tune_jobs.errors import ComparisonError


def study(name: str, values: list[Any], metrics: tuple[str, ...] = (), up: bool = True) -> Study:
    """Return a study whose trials take an hour each; a value may be a tuple."""
    each = [v if isinstance(v, tuple) else (v,) for v in values]
    trials = [
        Trial(i, "COMPLETE", v, {"x": float(i)}, 3600.0 * i, 3600.0 * (i + 1))
        for i, v in enumerate(each)
    ]
    definition = {"metrics": [{"name": metric} for metric in metrics]}
    return Study(name, name, (up,) * max(1, len(metrics)), trials, definition=definition)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("digits-seed-3", "digits"),
        ("digits seed=12", "digits"),
        ("digits_4", "digits"),
        ("resnet50", "resnet"),
        ("2026", "2026"),
        ("seed-1", "seed"),
        ("misread-1", "misread"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_names_without_seeds(name: str, stem: str) -> None:
    assert strip_seed(name) == stem


def test_groups_by_name_and_by_hand() -> None:
    studies = [study(name, [1.0]) for name in ("a-1", "a-2", "b-1")]
    assert assign_groups(studies, "", {}) == ["", "", ""]
    assert assign_groups(studies, "name", {}) == ["a", "a", ""]
    assert assign_groups(studies, "hand", {"a-1": "old", "b-1": "old"}) == ["old", "", "old"]
    kinds = [dataclasses.replace(s, attributes={"kind": i // 2}) for i, s in enumerate(studies)]
    assert assign_groups(kinds, "attribute:kind") == ["0", "0", "1"]
    offered = [value for value, _ in list_groupings(kinds)]
    assert offered == ["", "name", "hand", "attribute:kind"]
    entries = list_entries(studies, ["a", "a", ""])
    assert entries[0].color == entries[1].color != entries[2].color


def test_every_line_looks_different_and_has_another_name() -> None:
    entries = list_entries([study("n" * 500, [1.0]) for _ in range(40)])
    assert len({(e.color, e.dash) for e in entries}) == 40
    assert len({e.name for e in entries}) == 40
    assert max(len(e.name) for e in entries) <= NAME_LENGTH + len(" [40]")


def test_means_of_other_seeds_decide_and_not_the_best_values() -> None:
    lucky = Contender("lucky", 0.99, (0.5, 0.52, 0.51))
    steady = Contender("steady", 0.9, (0.88, 0.89, 0.9), run_hours=2.0)
    verdict = judge([lucky, steady], maximize=True)
    assert verdict.outcome is Outcome.BETTER
    assert verdict.sentence.startswith("'steady' is better than 'lucky' by 0.38 (75 %)")
    assert verdict.sentence.endswith("'steady' took 2h00m of runs, 'lucky' 0s of runs")


def test_a_group_is_not_tested_against_replicates() -> None:
    group = Contender("group", 0.9, (0.9, 0.9), is_group=True)
    verdict = judge([group, Contender("alone", 0.5, (0.5, 0.5))], maximize=True)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "2 studies and 1 study do not show" in verdict.sentence


def test_studies_of_other_metrics_directions_and_several_objectives() -> None:
    both = study("both", [(0.5, 9.0), (0.9, math.nan), (0.7, 1.0)], ("acc", "time"))
    loss = study("loss", [0.1], ("loss",), up=False)
    plain = study("plain", [0.6])
    every = [study("acc", [0.8], ("acc",)), both, loss, plain]
    assert [s.name for s in choose_comparable(every).studies] == ["acc", "both"]
    found = choose_comparable(every, "acc")
    assert [s.name for s in found.studies] == ["acc", "both", "plain"]
    assert found.positions == [0, 1, 3]
    assert found.objective.key == "max:acc"
    best = found.studies[1].best()
    assert best is not None
    assert (best.number, best.values) == (2, (0.7,)), "with NaN it is no candidate"
    assert found.studies[1].metrics == ["acc"]
    notes = "\n".join(found.notes)
    assert "'both' has several objectives; not compared: time (maximize)" in notes
    assert "'loss' is left out, as it does not have acc (maximize): it has loss" in notes
    assert "'plain' does not record the name of its metric; it is taken for acc" in notes
    assert [s.name for s in choose_comparable([both, loss], "loss").studies] == ["loss"]
    with pytest.raises(ComparisonError, match="no study has the objective 'auc'"):
        choose_comparable([both], "auc")


def test_bands_begin_where_all_seeds_have_a_value() -> None:
    band = band_info([Curve([1, 4], [0.0, 4.0]), Curve([2], [2.0]), Curve([2, 3], [1.0, 3.0])], 9)
    assert band.xs == [2, 3, 4]
    assert band.median == [1.0, 2.0, 3.0]
    assert band.lower == [0.5, 1.0, 2.5]
    assert band.upper == [1.5, 2.5, 3.5]


def test_races_of_groups_have_a_band_and_room_above() -> None:
    studies = [study("a-1", [0.1, 0.9]), study("a-2", [0.3, 0.7]), study("b", [0.5])]
    figure = race_figure(list_entries(studies, ["a", "a", ""]), "time")
    names = [trace["name"] for trace in figure["data"]]
    assert names == ["a-1", "a-2", "a, lower quartile", "a, upper quartile", "a (median)", "b"]
    assert figure["data"][4]["y"] == pytest.approx([0.2, 0.8])
    assert figure["layout"]["yaxis"]["range"][1] > 0.9
    assert figure["data"][5]["mode"] == "markers", "one point is no line"


def test_distribution_of_values() -> None:
    figure = distribution_figure(list_entries([study("a", [0.0, 10.0, 11.0, 12.0, 13.0])]))
    box, best = figure["data"]
    assert (box["q1"], box["median"], box["q3"]) == ([10.0], [11.0], [12.0])
    assert (box["lowerfence"], box["upperfence"]) == ([10.0], [13.0])
    assert best["x"] == [13.0]


def test_figures_of_many_studies_are_bounded() -> None:
    rising = study("s", [float(i) for i in range(1000)])
    studies = [dataclasses.replace(rising, key=str(i), name=f"s{i}") for i in range(50)]
    entries = list_entries(studies)
    assert sum(len(t["x"]) for t in race_figure(entries, "trials")["data"]) <= 50 * 80
    importances = importances_figure(entries, {s.key: [("x", 1.0)] for s in studies})
    assert importances["data"][0]["type"] == "heatmap"
    assert len(importances["data"][0]["z"]) == 50
    few = comparison_figures([dataclasses.replace(rising, trials=rising.trials[:9])])
    assert set(few) == {"race-trials", "race-time", "distribution", "together", "importances"}


def test_queries() -> None:
    query = parse_query({"study": ["a", "b", "a"], "group": ["hand"], "group.a": [" x "]})
    assert (query.keys, query.grouping, query.labels) == (["a", "b"], "hand", {"a": "x"})
    with pytest.raises(ValueError, match="at most 100 are compared at once"):
        parse_query({"study": [str(i) for i in range(MAX_COMPARED + 1)]})


def test_studies_of_several_storages(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/{name}.db" for name in ("old", "new")]
    for center, path in zip((0.8, 0.9), paths, strict=True):
        for seed in (1, 2):
            add_trials(
                f"sqlite:///{path}",
                f"digits-{seed}",
                center=center,
                seed=seed,
                cost=1.0,
                n_trials=10,
            )
    client = sign_in(paths)
    path = "/api/compare?study=s0-1&study=s0-2&study=s1-1&study=s1-2&group=hand"
    path += "&group.s0-1=old&group.s0-2=old&group.s1-1=new&group.s1-2=new&x=money"
    compared = client.get(path).json
    assert compared is not None
    assert compared["outcome"] == "better"
    assert compared["statement"].startswith("'new' is better than 'old' by 0.1 (")
    assert compared["statement"].endswith(
        "took 2h00m of runs costing 20, 'old' 2h00m of runs costing 20"
    )
    assert [w["group"] for w in compared["winners"]] == ["new", "new", "old", "old"]
    unchanged = client.get(f"{path}&version={compared['version']}").json
    assert unchanged == {"version": compared["version"], "unchanged": True}
    for figure in compared["figures"]:
        answer = client.get(path.replace("compare?", f"compare/figures/{figure['name']}?"))
        assert answer.status_code == 200, answer.json
    study = optuna.load_study(study_name="digits-1", storage=f"sqlite:///{paths[0]}")
    study.add_trial(optuna.trial.create_trial(value=2.0))
    assert client.get(path.replace("compare?", "compare/figures/no?")).status_code == 404
