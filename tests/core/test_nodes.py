"""Runs with several nodes: how their shape is written, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.core.costs import Amount, Prices
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.nodes import check_nodes, describe_shape, parse_shape
from tune_jobs.core.usage import RunStatistics
from tune_jobs.errors import ConfigError


@pytest.mark.parametrize(("nodes", "shape"), [(1, "VM.A"), (2, "VM.A"), (16, "local")])
def test_a_shape_is_read_as_it_was_written(nodes: int, shape: str) -> None:
    assert parse_shape(describe_shape(nodes, shape)) == (nodes, shape)


def test_a_run_has_at_least_one_node() -> None:
    assert check_nodes(3) == 3
    with pytest.raises(ConfigError, match="nodes=-1"):
        check_nodes(-1)


def test_so_many_nodes_are_a_mistake() -> None:
    with pytest.raises(ConfigError, match="nodes=1000000000: a run has at most 1000 nodes"):
        check_nodes(10**9)


def test_each_node_of_a_run_has_its_price() -> None:
    prices = Prices({"VM.A": 2.0, "local": 0.5})
    assert prices.amount(7200, "4 x VM.A", "data_science") == Amount(2.0, 16.0)
    assert prices.amount(7200, "4 x local", "local") == Amount(2.0, 4.0)
    assert prices.amount(7200, "VM.A", "data_science") == Amount(2.0, 4.0)


def test_expectations_count_the_nodes_of_the_runs() -> None:
    statistics = RunStatistics({"VM.A": 3.0})
    first = Attempt("r-1", 0, 1, "data_science", AttemptState.SUBMITTED, Invocation(), 0.0)
    seen = RunUpdate("r-1", RunState.IN_PROGRESS, started=0.0, shape="2 x VM.A")
    statistics.seen(seen, now=0.0)
    assert statistics.accrued({"r-1": first}, now=3600.0).money == 6.0
    ended = replace(
        first, state=AttemptState.SUCCEEDED, started=0.0, finished=3600.0, shape="2 x VM.A"
    )
    statistics.ended(ended)
    assert statistics.amount_of(None, "data_science") == Amount(1.0, 6.0)
    costs = statistics.costs({}, now=3600.0, trials_left=3)
    assert costs.spent.money == 6.0
    assert costs.forecast == Amount(4.0, 24.0)
