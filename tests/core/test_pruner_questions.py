"""At which steps the pruner is asked."""

from __future__ import annotations

import itertools

from tune_jobs.core.pruner_questions import ASK_WORK, select_asked_steps


def test_every_step_of_a_short_curve() -> None:
    assert select_asked_steps([], 0) == frozenset()
    assert select_asked_steps(range(5, 300), 300) == set(range(5, 300))


def test_a_long_curve_costs_linear_time() -> None:
    for total in (1_000, 10_000, 100_000, 1_000_000):
        new = range(total // 2, total)
        asked = select_asked_steps(new, total)
        assert max(asked) == new[-1], "the last one is always asked at"
        assert 1 <= len(asked) <= max(1, ASK_WORK // total)
        assert asked <= set(new)


def test_the_steps_are_spread() -> None:
    asked = sorted(select_asked_steps(range(20_000), 20_000))
    gaps = {after - before for before, after in itertools.pairwise(asked)}
    assert gaps == {2_000}
