"""The sentences, suggestions and tables of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from tests.dashboard.conftest import MakeStudy
from tests.dashboard.test_figures import run, trial
from tests.simulation import fails, simulated
from tune_jobs.core.attempts import AttemptState
from tune_jobs.core.promotion import Promotion
from tune_jobs.core.trial_attributes import (
    CAUSE_ATTRIBUTE,
    COST_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
)
from tune_jobs.dashboard.comparing import compare
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.report.composing import compose_report
from tune_jobs.dashboard.report.content import StudyReport, Table
from tune_jobs.dashboard.report.progress import measure_progress, measure_spending
from tune_jobs.dashboard.report.search_space import read_ranges

SPACE = {
    "parameters": {
        "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": True, "step": None},
        "layers": {"type": "int", "low": 1, "high": 16, "log": False, "step": 1},
        "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
        "seed": {"value": 7},
        "momentum": {
            "type": "float",
            "low": 0.0,
            "high": 0.9,
            "log": False,
            "step": 0.1,
            "when": "optimizer == 'sgd'",
        },
    }
}
DEFINITION: Mapping[str, Any] = {
    "space": SPACE,
    "metrics": [{"name": "accuracy", "counts": "last", "pattern": None}],
    "run": {"backend": "local", "command": ["/usr/bin/python3", "/home/a/train.py"]},
    "limits": {"n_trials": 40},
}


def study(*trials: Trial, **changes: Any) -> Study:
    """Return a study that maximizes, with these trials."""
    base = Study("k", "s", (True,), trials, uid="u", definition=DEFINITION)
    return replace(base, **changes)


def report(one: Study) -> StudyReport:
    (part,) = compose_report([one], now=0.0).studies
    return part


def answers(one: Study) -> dict[str, str]:
    return {answer.title: " ".join(answer.sentences) for answer in report(one).answers}


def steps(one: Study) -> str:
    return "\n".join(report(one).next_steps)


def table(one: Study, title: str) -> Table:
    return next(t for t in report(one).tables if t.title == title)


def replicate(number: int, of: int, value: float) -> Trial:
    return replace(trial(number, value), attributes={REPLICATE_ATTRIBUTE: of})


# -- what was tuned -----------------------------------------------------------------------------


def test_what_was_tuned() -> None:
    text = answers(study(trial(0, 0.5, lr=0.01), trial(1)))["What was tuned"]
    assert text == (
        "train.py was tuned to maximize accuracy over 4 parameters. Search space: lr (1e-05 to "
        "0.1, log scale); layers (1 to 16); optimizer (adam, sgd); momentum (0 to 0.9, step 0.1). "
        "2 trials: 1 complete and 1 failed."
    )


def test_search_space_table() -> None:
    found = table(study(trial(0, 0.5, lr=0.012345678, optimizer="adam")), "Search space")
    assert found.columns == ("parameter", "type", "scale", "values", "only if", "best")
    assert found.rows == (
        ("lr", "float", "log", "1e-05 to 0.1", "–", "0.0123457"),
        ("layers", "integer", "linear", "1 to 16", "–", "–"),
        ("optimizer", "categorical", "–", "adam, sgd", "–", "adam"),
        ("seed", "constant", "–", "7", "–", "–"),
        ("momentum", "float", "linear", "0 to 0.9, step 0.1", "optimizer == 'sgd'", "–"),
    )


def test_ranges_of_a_study_that_only_optuna_tuned() -> None:
    plain = optuna.create_study(study_name="plain")
    for high in (1.0, 2.0):
        plain.add_trial(
            create_trial(
                value=high,
                params={"x": 0.5, "n": 3, "kind": "a"},
                distributions={
                    "x": FloatDistribution(0.1, high),
                    "n": IntDistribution(1, 8, log=True),
                    "kind": CategoricalDistribution(["a", "b"]),
                },
            )
        )
    seen = read_study(plain)
    assert [str(each) for each in read_ranges(seen)] == [
        "x (0.1 to 2)",
        "n (1 to 8, log scale)",
        "kind (a, b)",
    ]
    assert "no record of job runs, costs or code" in answers(seen)["What was tuned"]
    assert "Run the configurations of trial 0 and trial 1 again with other seeds" in steps(seen)
    assert "tuner." not in steps(seen)
    assert "Resume" not in steps(seen)
    assert "final run" not in steps(seen)


def test_ranges_that_nothing_records_are_those_of_the_trials() -> None:
    seen = study(trial(0, 0.1, a=1, b="x"), trial(1, 0.2, a=5, b="y"), definition={})
    assert [str(r) for r in read_ranges(seen)] == ["a (1 to 5, as observed)", "b (x, y)"]


# -- what won -----------------------------------------------------------------------------------


def test_by_how_much_the_best_won() -> None:
    seen = study(*(trial(i, v, lr=v) for i, v in enumerate((0.5, 0.8, 0.7, 0.75))))
    assert answers(seen)["What won"] == (
        "Trial 1 won with accuracy = 0.8: lr = 0.8. The first trial, 0, reached 0.5: the best is "
        "better by 0.3 (60 %). It is better than the median (0.725) by 0.075 (10 %). The second "
        "best, trial 3 (0.75), is behind by 0.05 (6.7 %)."
    )
    low = answers(replace(seen, maximize=(False,)))["What won"]
    assert low.startswith("Trial 0 won with accuracy = 0.5")
    assert "It was the first trial" in low


def test_a_single_value_and_equal_values() -> None:
    assert "nothing to compare it with" in answers(study(trial(0, 0.5)))["What won"]
    equal = answers(study(trial(0, 0.5), trial(1, 0.5)))["What won"]
    assert "Trial 1 has the same value." in equal
    six = study(*(trial(i, 0.5) for i in range(6)))
    assert answers(six)["What won"].endswith("5 other trials have the same value.")
    assert "Is the lead more than noise?" not in answers(six), "no trial leads"
    assert "replicate" not in steps(six)
    assert "nan" not in answers(study(trial(0, 0.0), trial(1, 0.1)))["What won"]


def test_infeasible_trials_do_not_win() -> None:
    bad = replace(trial(0, 0.9, lr=0.1), constraints={"memory": 40.0})
    text = answers(study(bad, trial(1, 0.5)))["What won"]
    assert text.startswith("Trial 1 won")
    assert "1 complete trial (50 %) violates a constraint and cannot win." in text
    only = study(bad, definition={**DEFINITION, "bounds": {"memory": "<= 50"}})
    text = answers(only)["What won"]
    assert text.startswith(
        "There is no winner: no trial is feasible yet (1 complete): memory <= 50"
    )
    assert "100 % of the complete trials are infeasible" in steps(only)
    nearest = table(only, "Trials nearest to feasible")
    assert "infeasible: memory by 40" in nearest.rows[0]
    assert {h.label: h.value for h in report(only).highlights}["best"] == "none"


def test_several_objectives() -> None:
    definition = {**DEFINITION, "metrics": [{"name": "accuracy"}, {"name": "seconds"}]}
    trials = [trial(0, 0.9, 9.0), trial(1, 0.8, 3.0), trial(2, 0.7, 5.0)]
    seen = study(*trials, maximize=(True, False), definition=definition)
    text = answers(seen)["What won"]
    assert "2 trials of 3 are Pareto-optimal" in text
    assert "Best accuracy: 0.9 in trial 0 (with seconds = 9)" in text
    assert "Best seconds: 3 in trial 1 (with accuracy = 0.8)" in text
    assert len(table(seen, "Pareto front").rows) == 2
    assert "Is the lead more than noise?" not in answers(seen)
    assert "Choose a trial of the Pareto front" in steps(seen)


def test_infeasible_trials_are_not_on_the_front() -> None:
    front = [trial(i, 1.0 + i, 1.0 + i) for i in range(12)]
    infeasible = [replace(trial(20 + i, 9.0, 9.0), constraints={"c": 1.0}) for i in range(5)]
    seen = study(*front, *infeasible, maximize=(True, False), definition={})
    assert "12 trials of 12 are Pareto-optimal" in answers(seen)["What won"]
    found = table(seen, "Pareto front")
    assert found.note == "The first 10 of 12."
    few = table(replace(seen, trials=[*front[:2], *infeasible]), "Pareto front")
    assert len(few.rows) == 2


# -- noise --------------------------------------------------------------------------------------


def test_noise_is_unknown_without_replicates() -> None:
    seen = study(trial(0, 0.5), trial(1, 0.8))
    assert answers(seen)["Is the lead more than noise?"].startswith("Unknown: one run of each")
    assert "tuner.replicate(1, 5) and tuner.replicate(0, 5)" in steps(seen)


def test_replicates_decide_about_the_lead() -> None:
    best = [replicate(i + 10, 1, v) for i, v in enumerate((0.70, 0.72, 0.71))]
    seen = study(trial(0, 0.5), trial(1, 0.8), *best)
    text = answers(seen)["Is the lead more than noise?"]
    assert "Over 3 runs with other seeds, trial 1 has a mean of 0.71" in text
    assert "No other configuration has replicates" in text
    assert "tuner.replicate(0, 5)" in steps(seen)
    others = [replicate(i + 20, 0, v) for i, v in enumerate((0.50, 0.52, 0.51))]
    text = answers(replace(seen, trials=[*seen.trials, *others]))["Is the lead more than noise?"]
    assert "better than trial 0 (3 runs, mean 0.51) by 0.2: significant" in text
    others = [replicate(i + 20, 0, v) for i, v in enumerate((0.71, 0.74, 0.71))]
    text = answers(replace(seen, trials=[*seen.trials, *others]))["Is the lead more than noise?"]
    assert "worse than trial 0" in text
    assert "not significant" in text


# -- how far, and what it cost ------------------------------------------------------------------


def test_a_running_study_is_interim() -> None:
    live = replace(trial(2), state="RUNNING")
    seen = study(trial(0, 0.5), trial(1, 0.6), live, owner="process 1 on host")
    part = report(seen)
    assert part.is_interim
    assert part.status == "Interim: 2 of 40 trials finished, 1 running or waiting"
    assert part.next_steps[0].startswith("Wait for the end")
    assert "replicate" not in steps(seen)


def test_an_unspent_budget() -> None:
    seen = study(trial(0, 0.5), trial(1, 0.6))
    assert report(seen).status == "2 of 40 trials finished; no process is tuning the study"
    assert "use the rest of the budget: 38 trials had not finished" in steps(seen)


def test_an_empty_study() -> None:
    for seen in (study(), study(definition={}, uid=None)):
        part = report(seen)
        assert part.status == "No trial has finished"
        assert answers(seen)["What won"] == "There is no winner: no trial is complete yet."
        assert answers(seen)["What it cost"] == "Nothing was run."
        assert not part.drawings
    assert compose_report([], now=0.0).studies == ()


def test_failures_by_cause() -> None:
    failed = [
        replace(trial(i), attributes={CAUSE_ATTRIBUTE: f"exit code 1\nno file {i}"})
        for i in range(3)
    ]
    seen = study(*failed, replace(trial(3), attributes={CAUSE_ATTRIBUTE: "out of memory"}))
    found = table(seen, "Failures by cause")
    assert found.rows == (("3", "2", "exit code 1: no file 2"), ("1", "3", "out of memory"))
    assert "4 trials failed, 3 of them such as trial 2: exit code 1: no file 2" in steps(seen)
    assert "4 trials failed, with 2 causes." in answers(seen)["What it cost"]


def test_costs() -> None:
    trials = [
        replace(trial(i, 0.5), attributes={COST_ATTRIBUTE: {"run_hours": 1.0, "money": 2.0}})
        for i in range(4)
    ]
    pruned = replace(
        run(4, 0.0, 60.0, 60.0 + 900.0), cause="pruned at step 2", state=AttemptState.CANCELED
    )
    runs = [*(run(i, 0.0, 60.0, 60.0 + 3600.0) for i in range(4)), pruned]
    seen = study(*trials, runs=runs)
    spending = measure_spending(seen, 0.0)
    assert spending.saved_hours == pytest.approx(0.75)
    assert spending.saved_money == pytest.approx(0.75 * 8.0 / 4.25)
    text = answers(seen)["What it cost"]
    assert text.startswith("1h01m from the first to the last event, with 4h15m of run time in job")
    assert "The trials cost 8" in text
    assert "Stopping runs early saved about 45m00s of run time and 1.41 of cost" in text


def test_times_of_a_study_without_job_runs() -> None:
    seen = study(trial(0, 0.5), trial(1, 0.6), uid=None, definition={})
    text = answers(seen)["What it cost"]
    assert text.startswith("1s from the first to the last event, with 2s of run time in trials")
    best = table(seen, "Best trials")
    assert [best.columns[2], best.rows[0][2]] == ["duration", "1s"]
    other = replace(seen, key="t", name="t")
    assert "'s' took 2s of trials, 't' 2s of trials" in compare([seen, other]).statement
    begun = Trial(0, "RUNNING", (), {}, -60.0, None)
    text = answers(replace(seen, trials=[begun]))["What it cost"]
    assert text.startswith("1m00s from the first to the last event so far")


def test_promotion_counts_configurations() -> None:
    promotion = Promotion("epochs", minimum=1, maximum=9)
    tuner, _ = simulated(promotion=promotion)
    tuner.optimize(n_trials=9)
    seen = read_study(tuner.study)
    assert len(seen.trials) > 9
    assert measure_progress(seen).finished == 9
    assert report(seen).status == "9 of 9 configurations finished"
    text = answers(seen)["What was tuned"]
    assert f"{len(seen.trials)} trials of 9 finished configurations" in text
    assert "stopped on a lower rung" in text
    assert "pruned" not in text


def test_only_failures() -> None:
    tuner, _ = simulated(fails, max_failures=None)
    tuner.study.enqueue_trial({"x": 0.9})
    tuner.optimize(n_trials=1)
    seen = read_study(tuner.study)
    assert "There is no winner: no trial is complete yet" in answers(seen)["What won"]
    assert "Find out why trials fail: 1 trial failed" in steps(seen)
    assert "Train the model" not in steps(seen)


# -- suggestions --------------------------------------------------------------------------------


def spread(value: Callable[[float], float], count: int = 40) -> Study:
    """Return trials over the range of ``lr``, with values that depend on its exponent."""
    exponents = [-5 + 4 * (i * 17 % count) / (count - 1) for i in range(count)]
    trials = [
        trial(i, value(e), lr=10**e, layers=1 + i * 7 % 16, noise=float(i * 11 % 37))
        for i, e in enumerate(exponents)
    ]
    return study(*trials)


def test_best_values_at_a_limit() -> None:
    text = steps(spread(lambda e: e))
    assert "Consider a wider range of lr: " in text
    assert "best trials lie close to its upper limit, 0.1." in text
    assert "lower limit, 1e-05" in steps(spread(lambda e: -e))
    assert "wider range of lr" not in steps(spread(lambda e: -((e + 3) ** 2)))


def test_unimportant_parameters_and_late_improvements() -> None:
    assert (
        "Consider fixing layers and noise, with less than 2 % of the total importance each"
        in steps(spread(lambda e: e, 500))
    )
    rising = study(*(trial(i, float(i), lr=0.001 + i * 1e-5) for i in range(40)))
    assert "the best one was found late" in steps(rising)
    falling = study(*(trial(i, -float(i), lr=0.001 + i * 1e-5) for i in range(40)))
    assert "More trials of the same search space promise little" in steps(falling)


def test_few_trials_are_not_judged() -> None:
    few = spread(lambda e: e)
    text = steps(replace(few, trials=few.trials[:10]))
    assert "range" not in text
    assert "importance" not in text


# -- several studies ----------------------------------------------------------------------------


def test_several_studies_are_compared_first() -> None:
    one, two = study(trial(0, 0.5, lr=0.1)), study(trial(0, 0.7, lr=0.2), name="t")
    made = compose_report([one, two], now=0.0)
    assert made.overview is not None
    assert made.overview.sentences[0] == "The best is t with accuracy = 0.7 (trial 0)."
    assert "one run of each does not show" in made.overview.sentences[1]
    studies, winners = made.overview.tables
    assert [row[0] for row in studies.rows] == ["s", "t"]
    assert winners.columns == ("parameter", "t", "s")
    assert winners.rows == (("lr", "0.2", "0.1"),)


@pytest.mark.parametrize("maximize", [(False,), (True, False)])
def test_studies_that_cannot_be_compared(maximize: tuple[bool, ...]) -> None:
    other = study(trial(0, *[1.0] * len(maximize)), maximize=maximize, definition={})
    made = compose_report([study(trial(0, 0.5)), other], now=0.0)
    assert made.overview is not None
    assert "no winner among them is named" in made.overview.sentences[0]
    assert len(made.overview.tables) == 1
    assert made.overview.drawings == ()


def test_what_can_be_compared_is_compared() -> None:
    studies = [
        study(trial(0, value), name=name, definition={}) for name, value in (("a", 0.5), ("b", 0.7))
    ]
    other = study(trial(0, 9.0), name="c")
    made = compose_report([*studies, other], now=0.0)
    assert made.overview is not None
    assert made.overview.sentences[0] == (
        "Of the 2 studies that maximize value, the best is b with value = 0.7 (trial 0)."
    )
    assert any(line.startswith("'c' is left out") for line in made.overview.warnings)


def test_advice_if_nothing_has_a_value() -> None:
    def advise(*trials: Trial) -> str:
        return steps(study(*trials, uid=None, definition={}))

    pruned = [replace(trial(i), state="PRUNED") for i in range(3)]
    assert advise(*pruned).startswith("Prune later")
    assert "all 3 trials that did not fail were pruned" in advise(*pruned)
    assert "the only trial that did not fail was pruned" in advise(pruned[0])
    assert advise(trial(0, math.inf)).startswith("Find out why values are not finite")


def test_nothing_changes_between_two_reports(tuned: MakeStudy) -> None:
    seen = read_study(tuned())
    assert compose_report([seen], 5.0) == compose_report([seen], 5.0)


def test_waiting_trials_without_a_process() -> None:
    plain = optuna.create_study()
    plain.add_trial(create_trial(state=TrialState.WAITING))
    assert report(read_study(plain)).status.startswith("Interim: 0 trials finished, 1 running or")
    seen = study(trial(0, 0.5), replace(trial(1), state="WAITING"))
    assert "1 trial is waiting to be run" in steps(seen)


def test_each_objective_has_its_figures_and_parallel_coordinates_are_lines() -> None:
    trials = [trial(i, i / 10, float(i % 4), lr=10.0 ** -(i + 1)) for i in range(8)]
    both = study(*trials, maximize=(True, False), definition={})
    titles = [drawing.title for drawing in report(both).drawings]
    for title in ("Optimization history", "Parallel coordinates", "Value by parameter"):
        assert f"{title}: value 1" in titles
        assert f"{title}: value 2" in titles
    lines = next(d for d in report(both).drawings if d.key == "study0-parallel-1")
    assert {trace["type"] for trace in lines.figure["data"]} == {"scatter"}
    many = study(*(trial(i, float(i), lr=i + 1.0) for i in range(2500)))
    notes = {drawing.key: drawing.note for drawing in report(many).drawings}
    assert notes["study0-slice"].endswith("A sample of 2,000 of 2,500 trials.")
    assert notes["study0-parallel"].endswith("A sample of 500 of 2,500 trials.")


def test_an_empty_study_and_a_front_without_infeasible_trials() -> None:
    assert "Tune the study: it has no trials yet." in steps(study(definition={}))
    assert report(study(definition={})).drawings == ()
    bad = replace(trial(2, 9.0, 9.0), constraints={"memory": 1.0})
    both = study(trial(0, 1.0, 2.0), trial(1, 2.0, 1.0), bad, maximize=(True, True), definition={})
    assert {row[0] for row in table(both, "Pareto front").rows} == {"0", "1"}


def test_a_simulated_study_has_no_dates_of_1970() -> None:
    tuner, _ = simulated()
    tuner.optimize(n_trials=4)
    seen = read_study(tuner.study)
    assert "of virtual time" in answers(seen)["What it cost"]
    rows = {row[0]: row[1] for row in report(seen).provenance.rows}
    assert rows["job runs"] == "simulated, in virtual time"
    assert not any("1970" in row for row in rows.values())
