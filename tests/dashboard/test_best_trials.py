"""What the page, the report and comparisons call best: feasible trials that are no replicates."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from sqlalchemy import event

from tests.simulation import MINUTE, simulated
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE
from tune_jobs.dashboard.comparing import compare
from tune_jobs.dashboard.comparison_figures import comparison_figures
from tune_jobs.dashboard.comparison_view import ComparisonQuery, comparison_view
from tune_jobs.dashboard.figures import figure_names, front_figure, history_info
from tune_jobs.dashboard.importance import importance_info
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.parameters import parallel_figure, slice_figure
from tune_jobs.dashboard.races import race_figure
from tune_jobs.dashboard.reading import RelationalSource, open_source, read_study
from tune_jobs.dashboard.report import report_html
from tune_jobs.dashboard.report.composing import compose_report
from tune_jobs.dashboard.study_groups import list_entries
from tune_jobs.dashboard.trial_rows import TrialTables
from tune_jobs.dashboard.views import head_view, study_view
from tune_jobs.notebook.monitor import StudyMonitor
from tune_jobs.tuner import Tuner

Where = tuple[str | BaseStorage, str]


@pytest.fixture(params=["sqlite", "journal"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """Return a storage, and the name under which the dashboard opens it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/s.db", f"{tmp_path}/s.db"
    path = f"{tmp_path}/journal.log"
    return JournalStorage(JournalFileBackend(path)), path


def grows(run: SimulatedRun) -> list[SimulatedReport]:
    """Report an accuracy that grows with the memory it takes; a seed makes it luckier."""
    x, seed = run.number("x"), int(run.arguments.get("seed", 0))
    values = {"acc": x + 0.01 * seed, "memory": 100 * x, "seconds": 1 - x}
    return [SimulatedReport(MINUTE, 1, values)]


def tune(
    where: Where,
    values: list[float],
    name: str = "s",
    bounds: str = "<= 50",
    directions: Any = ("maximize",),
    **options: Any,
) -> Tuner:
    study = optuna.create_study(study_name=name, storage=where[0], directions=directions)
    tuner, _ = simulated(grows, study=study, max_parallel=1, bounds={"memory": bounds}, **options)
    for x in values:
        study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=len(values))
    return tuner


def head_of(where: Where, name: str = "s") -> dict[str, Any]:
    heads = {head.name: head for head in open_source(where[1], "s0-").heads()}
    return head_view(heads[name], 0.0)


def test_the_page_names_the_best_feasible_trial(where: Where) -> None:
    seen = read_study(tune(where, [0.9, 0.2, 0.4]).study)
    assert head_of(where)["best"] == 0.4
    assert head_of(where)["no_best"] == ""
    view = study_view(seen, 0.0)
    assert view["best"] == {"trial": 2, "value": 0.4, "params": {"x": "0.4"}}
    assert (view["no_best"], view["not_best"]) == ("", {"infeasible": 1})
    assert view["front"] == [{"trial": 2, "values": [0.4]}]
    answer = TrialTables().answer(seen, {"state": "INFEASIBLE"})
    names = [column["id"] for column in answer["columns"]]
    rows = [dict(zip(names, row, strict=False)) for row in answer["rows"]]
    assert [(row["value"], row.get("standing")) for row in rows] == [
        (0.4, None),
        (0.2, None),
        (0.9, "infeasible: memory by 40"),
    ]
    assert answer["matching"] == "0"


def test_the_page_of_a_study_with_replicates(where: Where) -> None:
    tuner = tune(where, [0.4, 0.45])
    tuner.replicate(0, 8)
    tuner.optimize(n_trials=8)
    seen = read_study(tuner.study)
    assert max(t.values[0] for t in seen.complete()) > 0.45
    assert head_of(where)["best"] == 0.45
    view = study_view(seen, 0.0)
    assert (view["best"]["trial"], view["not_best"]) == (1, {"replicate": 8})
    info = history_info(seen)
    assert (info.values, info.best) == ([0.4, 0.45], [0.4, 0.45])
    assert len(info.excluded["replicate"]) == 8


def test_nothing_feasible_is_said_everywhere(where: Where) -> None:
    tuner = tune(where, [0.9, 0.6])
    seen = read_study(tuner.study)
    assert head_of(where)["best"] is None
    assert head_of(where)["no_best"] == "no trial is feasible yet (2 complete)"
    view = study_view(seen, 0.0)
    why = "memory <= 50 is violated by at least 10 in 2 of 2. Trial 1 is nearest: memory by 10"
    assert view["best"] is None
    assert view["no_best"] == f"no trial is feasible yet (2 complete): {why}"
    assert f"s: no trial is feasible yet (2 complete): {why}" in str(compare([seen]))
    assert comparison_view([seen], ComparisonQuery(["s"]))["without_best"] == [
        f"s: {view['no_best']}"
    ]
    text = re.sub(r"<script.*?</script>", "", report_html([seen]), flags=re.S)
    assert "There is no winner: no trial is feasible yet (2 complete)" in text
    assert "infeasible: memory by 10" in text  # the trials are still listed
    monitor = StudyMonitor("s", where[0])
    assert "best: no trial is feasible yet (2 complete)" in repr(monitor)
    table = tuner.trials_dataframe()
    assert list(table["standing"]) == ["infeasible"] * 2
    assert list(table["value"]) == [0.9, 0.6]


def test_nothing_complete_is_another_state(where: Where) -> None:
    study = optuna.create_study(study_name="s", storage=where[0])
    assert head_of(where)["no_best"] == "no trial is complete yet"
    study.add_trial(create_trial(state=TrialState.FAIL))
    assert head_of(where)["no_best"] == "no trial is complete yet"
    study.add_trial(create_trial(value=-math.inf))
    assert head_of(where)["no_best"] == "no complete trial has a finite value yet"
    assert head_of(where)["best"] is None
    study.add_trial(create_trial(value=7.0))
    assert (head_of(where)["best"], head_of(where)["no_best"]) == (7.0, "")


def test_constraints_of_a_sampler_and_several_studies_at_once(where: Where) -> None:
    for name, up in (("up", True), ("down", False), ("free", True)):
        study = optuna.create_study(
            study_name=name, storage=where[0], direction="maximize" if up else "minimize"
        )
        for value, constraint in ((1.0, 1.0), (2.0, 0.0), (3.0, -1.0), (4.0, 1.0)):
            attrs = {} if name == "free" else {"constraints": (constraint,)}
            study.add_trial(create_trial(value=value, system_attrs=attrs))
        study.add_trial(create_trial(value=9.0 if up else 0.0, user_attrs={REPLICATE_ATTRIBUTE: 1}))
    assert {n: head_of(where, n)["best"] for n in ("up", "down", "free")} == {
        "up": 3.0,
        "down": 2.0,
        "free": 4.0,
    }


def test_the_list_of_studies_takes_as_many_statements_whatever_they_are(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"

    def statements() -> int:
        source = RelationalSource(RDBStorage(url), "")
        seen: list[str] = []
        event.listen(source._engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
        source.heads()
        return len(seen)

    counts = []
    for n in range(4):
        study = optuna.create_study(study_name=f"s{n}", storage=url)
        for value in range(4):
            study.add_trial(create_trial(value=float(value), constraints={"c": float(value - 2)}))
        counts.append(statements())
    assert len(set(counts)) == 1


def test_comparisons_rank_feasible_winners(tmp_path: Path) -> None:
    where = (f"sqlite:///{tmp_path}/s.db", f"{tmp_path}/s.db")
    one = read_study(tune(where, [0.95, 0.2, 0.4], "one").study)
    two = read_study(tune(where, [0.3, 0.45], "two").study)
    result = compare([one, two])
    assert [(w.study, w.value) for w in result.winners] == [("two", 0.45), ("one", 0.4)]
    for axis in ("trials", "time", "hours", "money"):
        curves = race_figure(list_entries([one, two]), axis)["data"]
        assert [max(c["y"]) for c in curves] == [0.4, 0.45], axis
    together = comparison_figures([one, two])["together"][1]["data"][0]["dimensions"][0]
    assert max(together["values"]) == 0.45
    text = re.sub(r"<script.*?</script>", "", report_html([one, two]), flags=re.S)
    assert re.findall(r"best acc</dt><dd>([\d.]+)", text) == ["0.4", "0.45"]
    (part, _) = compose_report([one, two]).studies
    assert [row[:2] for row in part.tables[0].rows] == [("2", "0.4"), ("1", "0.2"), ("0", "0.95")]
    assert "infeasible: memory by 45" in part.tables[0].rows[2]


def test_figures_mark_what_cannot_be_the_best(tmp_path: Path) -> None:
    where = (f"sqlite:///{tmp_path}/s.db", "")
    seen = read_study(tune(where, [0.9, 0.1, 0.2, 0.3, 0.4]).study)
    info = history_info(seen)
    assert list(info.best) == [0.1, 0.2, 0.3, 0.4]
    assert info.excluded == {"infeasible": [(0, 0.9)]}
    (dimension, *_) = parallel_figure(seen)["data"][0]["dimensions"]
    assert dimension["values"] == [0.1, 0.2, 0.3, 0.4]
    (trace,) = slice_figure(seen)["data"]
    assert trace["marker"]["symbol"] == ["circle-open", *["circle"] * 4]
    assert trace["text"][0] == "infeasible: memory by 40"
    assert importance_info(seen)
    json.dumps([info.excluded, trace])


def test_figures_without_a_feasible_trial(tmp_path: Path) -> None:
    seen = read_study(tune((f"sqlite:///{tmp_path}/s.db", ""), [0.9, 0.8, 0.7, 0.6, 0.95]).study)
    names = figure_names(seen)
    assert {"history", "slice"} <= set(names)
    assert not {"parallel", "importance"} & set(names)
    assert history_info(seen).best == []
    assert report_html([seen, Study("e", "e", (True,), [])])


def test_the_front_has_feasible_trials_only(tmp_path: Path) -> None:
    where = (f"sqlite:///{tmp_path}/s.db", f"{tmp_path}/s.db")
    two = ("maximize", "minimize")
    tuner = tune(where, [0.9, 0.2, 0.4], directions=two, metric=["acc", "seconds"])
    seen = read_study(tuner.study)
    assert [t.number for t in seen.front()] == [2]
    traces = {trace["name"]: trace["x"] for trace in front_figure(seen)["data"]}
    assert traces == {"infeasible": [0.9], "dominated": [0.2], "Pareto-optimal": [0.4]}
    assert study_view(seen, 0.0)["front"] == [{"trial": 2, "values": [0.4, 0.6]}]
    assert "Pareto front" in report_html([seen])
    assert "0.4, 0.6 (trial 2)" in repr(StudyMonitor("s", where[0]))
