"""Which trials can be the best ones, and what is said if none is."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from tune_jobs.core.best_trials import Result, Standing, find_best, find_best_trials, read_result
from tune_jobs.core.no_best import explain_no_best
from tune_jobs.core.trial_attributes import (
    DIVERGED_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
    SAME_ATTRIBUTE,
)

REPLICATE, REUSED = {REPLICATE_ATTRIBUTE: 0}, {SAME_ATTRIBUTE: 0}


@pytest.mark.parametrize(
    ("result", "standing"),
    [
        (Result(0, (1.0,)), Standing.CANDIDATE),
        (Result(0, (1.0,), {"size": 0.0}), Standing.CANDIDATE),
        (Result(0, (1.0,), {"size": -3.0, "time": 0.1}), Standing.INFEASIBLE),
        (Result(0, (1.0,), {"size": math.nan}), Standing.INFEASIBLE),
        (Result(0, (1.0,), {}, REPLICATE), Standing.REPLICATE),
        (Result(0, (1.0,), {}, REUSED), Standing.REUSED),
        (Result(0, (-math.inf,)), Standing.NOT_FINITE),
        (Result(0, (1.0, math.inf)), Standing.NOT_FINITE),
        (Result(0), Standing.NO_VALUE),
    ],
)
def test_standing(result: Result, standing: Standing) -> None:
    assert result.standing is standing
    assert result.is_candidate == (standing is Standing.CANDIDATE)


def test_constraints_are_those_of_optuna_in_both_of_its_formats() -> None:
    set_by_trial = create_trial(value=1.0, constraints={"size": 2.0})
    of_a_sampler = create_trial(value=1.0, system_attrs={"constraints": (-1.0, 2.0)})
    assert read_result(set_by_trial).violations == {"size": 2.0}
    assert read_result(of_a_sampler).violations == {"1": 2.0}
    assert not read_result(set_by_trial).is_candidate
    assert not read_result(of_a_sampler).is_candidate


def test_a_pruned_trial_has_a_value_for_optuna_and_is_no_candidate() -> None:
    pruned = create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.5}, value=0.5)
    assert read_result(pruned).standing is Standing.NO_VALUE


RESULTS = st.lists(
    st.builds(
        lambda values, violation, attributes: (values, violation, attributes),
        st.one_of(
            st.just(()),
            st.tuples(*2 * [st.sampled_from([-math.inf, 0.0, 1.0, 2.0, 3.0, math.inf])]),
        ),
        st.sampled_from([None, -1.0, 0.0, 1.0]),
        st.sampled_from([{}, {}, {}, REPLICATE, REUSED]),
    ),
    max_size=12,
)


def build(drawn: list[tuple[Any, ...]], objectives: int) -> list[Result]:
    return [
        Result(number, values[:objectives], {} if v is None else {"size": v}, attributes)
        for number, (values, v, attributes) in enumerate(drawn)
    ]


@given(RESULTS, st.booleans())
def test_the_best_ones_are_the_candidates_with_the_best_value(drawn: Any, up: bool) -> None:
    results = build(drawn, 1)
    candidates = [r for r in results if r.is_candidate]
    best = find_best(reversed(results), (up,))
    assert bool(best) == bool(candidates) == (explain_no_best(results) is None)
    if best:
        values = [r.values[0] for r in candidates]
        wanted = max(values) if up else min(values)
        assert best == [r for r in candidates if r.values[0] == wanted]


@given(RESULTS, st.tuples(st.booleans(), st.booleans()))
def test_the_front_is_what_no_candidate_dominates(drawn: Any, ups: tuple[bool, bool]) -> None:
    results = build(drawn, 2)
    candidates = [r for r in results if r.is_candidate]
    signs = [-1.0 if up else 1.0 for up in ups]

    def dominates(a: Result, b: Result) -> bool:
        pairs = [(s * x, s * y) for s, x, y in zip(signs, a.values, b.values, strict=True)]
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    wanted = {r.number for r in candidates if not any(dominates(o, r) for o in candidates)}
    assert {r.number for r in find_best(results, ups)} == wanted


def test_the_choice_is_that_of_optuna_where_optuna_has_one() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    for values, size in (
        ((1.0, 1.0), 5.0),
        ((2.0, 3.0), 0.0),
        ((3.0, 2.0), 0.0),
        ((1.5, 1.0), -1.0),
    ):
        study.add_trial(create_trial(values=values, constraints={"size": size}))
    ours = find_best_trials(study.trials, (False, True))
    assert {t.number for t in ours} == {t.number for t in study.best_trials} == {1, 3}


def test_why_there_is_no_best_trial() -> None:
    assert str(explain_no_best([])) == "no trial is complete yet"
    assert str(explain_no_best([Result(0)])) == "no trial is complete yet"
    diverged = Result(1, attributes={DIVERGED_ATTRIBUTE: True})
    assert str(explain_no_best([Result(0), diverged])) == "no trial is complete yet (1 diverged)"
    assert "finite" in str(explain_no_best([Result(0, (math.inf,))]))
    assert "replicates" in str(explain_no_best([Result(1, (1.0,), {}, REPLICATE)]))
    assert explain_no_best([Result(0, (1.0,))]) is None


def test_which_bounds_are_violated_and_how_far_the_nearest_trial_is() -> None:
    results = [
        Result(0, (0.9,), {"memory_mb": 1800.0, "seconds": 1.5}),
        Result(1, (0.2,), {"memory_mb": 240.0, "seconds": -1.0}),
        Result(2, (0.3,), {"memory_mb": -5.0, "seconds": 600.0}),
    ]
    found = explain_no_best(results, {"memory_mb": "<= 2000"})
    assert found is not None
    assert found.summary == "no trial is feasible yet (3 complete)"
    assert "memory_mb <= 2000 is violated by at least 240 in 2 of 3" in found.details
    assert "constraint 'seconds' is violated by at least 1.5 in 2 of 3" in found.details
    assert found.details.endswith("Trial 1 is nearest: memory_mb by 240")
