"""Which shape would do: planted usage patterns, and properties of the rule."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.core.advice import GENERAL_SHAPE, GroupAdvice, Size, advise
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.core.costs import Prices
from tune_jobs.core.resource_usage import GIBIBYTE, ResourceUsage

FLEX = "VM.Standard.E4.Flex"
GPU = "VM.GPU.A10.1"
PRICES = Prices({FLEX: 1.0, GPU: 2.0, "local": 0.0})


def usage(
    cores: float, busy: float, memory: float, limit: float, gpu: float | None = None
) -> ResourceUsage:
    """Return the usage of a run: busy cores, and GB of memory below a limit."""
    return ResourceUsage(
        seconds=3600.0,
        cores=cores,
        cpu_mean=busy / cores,
        cpu_p95=busy / cores,
        cpu_peak=busy / cores,
        memory_peak=memory * GIBIBYTE,
        memory_limit=limit * GIBIBYTE,
        gpus=None if gpu is None else 1.0,
        gpu_peak=gpu,
        gpu_limit=None if gpu is None else 24.0 * GIBIBYTE,
        gpu_memory_peak=None if gpu is None else gpu * 24.0 * GIBIBYTE,
    )


def run(number: int, shape: str | None, used: ResourceUsage | None, cause: str = "") -> Attempt:
    """One hour of a trial."""
    return Attempt(
        name=f"trial-{number:06d}-1",
        trial=number,
        attempt=1,
        backend="local" if shape is None else "data_science",
        state=AttemptState.FAILED if cause else AttemptState.SUCCEEDED,
        invocation=Invocation(),
        intended=0.0,
        shape=shape,
        started=0.0,
        finished=3600.0,
        told=3600.0,
        cause=cause or None,
        usage=used,
    )


def runs(shape: str | None, used: ResourceUsage, count: int = 4, first: int = 0) -> list[Attempt]:
    return [run(first + number, shape, used) for number in range(count)]


def advise_one(attempts: list[Attempt], max_parallel: int = 4) -> GroupAdvice:
    (group,) = advise(attempts, PRICES, max_parallel).groups
    return group


PATTERNS = {
    "memory-bound": (FLEX, usage(16, 1.5, 100, 128), Size(FLEX, 2, 125)),
    "one core of many": (FLEX, usage(32, 1.0, 3, 64), Size(FLEX, 1, 4)),
    "idle GPU": (GPU, usage(30, 6.0, 20, 240, gpu=0.0), Size(GENERAL_SHAPE, 4, 25)),
    "busy GPU": (GPU, usage(30, 6.0, 20, 240, gpu=0.8), Size(GPU, 15, 240, gpu=True)),
    "busy CPU": (FLEX, usage(4, 3.9, 3, 32), Size(FLEX, 2, 4)),
    "Ampere": ("VM.Standard.A1.Flex", usage(8, 2.0, 3, 32), Size("VM.Standard.A1.Flex", 3, 4)),
    "large fixed": ("VM.Standard2.24", usage(48, 3.0, 10, 320), Size(GENERAL_SHAPE, 2, 13)),
    "much memory": (FLEX, usage(16, 1.0, 100, 1000), Size(FLEX, 2, 125)),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_planted_pattern_gets_its_shape(name: str) -> None:
    shape, used, wanted = PATTERNS[name]
    assert advise_one(runs(shape, used)).suggested == wanted


def test_each_pattern_of_a_study_gets_its_advice_and_its_cost() -> None:
    attempts = [
        *runs(FLEX, PATTERNS["one core of many"][1]),
        *runs(GPU, PATTERNS["idle GPU"][1], first=4),
    ]
    small, gpu = sorted(advise(attempts, PRICES, 4).groups, key=lambda g: str(g.used.shape))[::-1]
    assert (small.cost.money, gpu.cost.money) == (4.0, 8.0)
    assert small.would_cost is not None
    assert gpu.would_cost is not None
    assert small.would_cost.money == pytest.approx(4.0 * max(1 / 16, 4 / 64))
    assert gpu.would_cost.money == 4.0, "as the other shape is priced"
    text = str(advise(attempts, PRICES, 4))
    assert f"shape={FLEX}, ocpus=1, memory_gb=4, no GPU" in text
    assert "memory peak 3 of 64 GB, and 25% more" in text


def test_each_node_of_a_run_gets_its_size() -> None:
    used = PATTERNS["one core of many"][1]
    group = advise_one(runs(f"2 x {FLEX}", used))
    assert (group.nodes, group.suggested) == (2, Size(FLEX, 1, 4))
    assert advise_one(runs("2 x local", usage(16, 1.0, 6, 64))).max_parallel == 8


def test_killed_runs_get_more() -> None:
    attempts = runs(FLEX, usage(2, 1.0, 8, 16))
    attempts.append(run(9, FLEX, usage(2, 1.0, 15.9, 16), cause="exit code 137"))
    group = advise_one(attempts)
    assert (group.killed, group.suggested) == (1, Size(FLEX, 1, 24))
    assert group.would_cost is not None
    assert group.would_cost.money == pytest.approx(5.0 * 1.5)


SURE = "killed by signal SIGKILL (out of memory: killed at 15.9 of 16 GB)"
UNSURE = "killed by signal SIGKILL (out of memory?)"


def later(attempts: list[Attempt], seconds: float) -> list[Attempt]:
    return [
        replace(each, started=seconds, finished=seconds + 3600.0, told=seconds + 3600.0)
        for each in attempts
    ]


def test_more_memory_is_suggested_once() -> None:
    killed = [run(number, FLEX, usage(2, 1.0, 15.9, 16), SURE) for number in range(3)]
    assert advise_one(killed).suggested == Size(FLEX, 1, 24)
    taken = [*killed, *later(runs(FLEX, usage(2, 1.0, 17, 24), first=3), 4000.0)]
    group = advise_one(taken)
    assert (group.used, group.suggested) == (Size(FLEX, 1, 24), Size(FLEX, 1, 24))


def test_a_size_that_was_taken_is_what_the_runs_have() -> None:
    large = runs(FLEX, usage(32, 1.0, 3, 64))
    small = later(runs(FLEX, usage(2, 1.0, 3, 4), first=4), 4000.0)
    assert advise_one([*large, *small]).used == Size(FLEX, 1, 4)
    smaller = later(runs(FLEX, usage(4, 1.0, 3, 8), first=4), 4000.0)
    group = advise_one([*large, *smaller])
    assert group.would_cost is not None
    assert group.would_cost.money >= 4.0 * 4 / 64 + 4.0 * 4 / 8, "an upper bound"


def test_trials_with_resources_of_their_own() -> None:
    large = runs(FLEX, usage(32, 14.0, 50, 64))
    small = later(runs(FLEX, usage(2, 0.5, 3, 4), first=4), 4000.0)
    group = advise_one([*large, *small])
    assert group.suggested == Size(FLEX, 9, 63), "as the large ones need"


@pytest.mark.parametrize(
    ("cause", "exit_code"), [(UNSURE, None), ("exit code 137", 137), (f"rank 1: {UNSURE}", 137)]
)
def test_runs_that_grew_between_two_looks_do_not_get_less(
    cause: str, exit_code: int | None
) -> None:
    attempts = [run(number, FLEX, usage(2, 1.0, 5, 16), cause) for number in range(3)]
    group = advise_one([replace(each, exit_code=exit_code) for each in attempts])
    assert (group.killed, group.suggested) == (0, Size(FLEX, 1, 16))
    local = [run(number, None, usage(16, 1.0, 2, 64), cause) for number in range(3)]
    local = [replace(each, exit_code=exit_code) for each in local]
    assert advise_one(local).max_parallel == 4, "not more at once"


def test_kills_by_the_kernel_count_and_others_do_not() -> None:
    kernel = (
        "killed by signal SIGKILL (out of memory: the kernel kills processes; its peak was 5 MB)"
    )
    attempts = [run(number, None, usage(16, 1.0, 2, 64), kernel) for number in range(3)]
    group = advise_one(attempts)
    assert (group.killed, group.max_parallel) == (3, 2)
    other = "exit code 137 (not for memory: the kernel has killed nothing since its start)"
    failed = replace(run(9, FLEX, usage(2, 1.0, 5, 16), other), exit_code=137)
    assert advise_one([*runs(FLEX, usage(2, 1.0, 5, 16)), failed]).suggested == Size(FLEX, 1, 7)


def test_a_fixed_shape_that_is_too_small_is_not_what_would_do() -> None:
    killed = [run(n, GPU, usage(30, 6.0, 239, 240, gpu=0.8), SURE) for n in range(3)]
    group = advise_one(killed)
    assert group.suggested is None
    assert "take a shape with 360 GB at least" in str(group.reasons)
    assert "would do" not in str(advise(killed, PRICES, 4))


def test_runs_that_fail_say_little() -> None:
    failed = [run(number, FLEX, usage(32, 0.1, 0.2, 64), "exit code 1") for number in range(9)]
    group = advise_one(failed)
    assert not group.has_enough_data
    assert group.reasons[0].startswith("too little data: 0 of 9 runs")
    pruned = [
        replace(run(n, FLEX, usage(2, 1.0, 8, 16)), state=AttemptState.CANCELED) for n in range(3)
    ]
    assert advise_one([*failed, *pruned]).has_enough_data


def test_shares_of_an_unknown_number_of_cores() -> None:
    used = ResourceUsage(seconds=3600.0, cpu_mean=0.9, gpu_mean=0.0, gpu_peak=0.0)
    group = advise_one(runs(GPU, used))
    assert group.suggested == Size(GENERAL_SHAPE)
    assert "of 0 cores" not in str(group.reasons)


def test_local_runs_get_a_number() -> None:
    used = usage(16, 1.0, 6, 64)
    assert advise_one(runs(None, used)).max_parallel == 8, "memory is what limits them"
    assert advise_one(runs(None, usage(16, 4.0, 1, 64))).max_parallel == 3, "and here the cores"
    assert advise_one(runs(None, usage(2, 2.0, 1, 64))).max_parallel == 1


@pytest.mark.parametrize(
    "attempts",
    [
        runs(FLEX, usage(2, 1.0, 8, 16), count=2),
        [run(number, FLEX, None) for number in range(5)],
        runs(FLEX, replace(usage(2, 1.0, 8, 16), seconds=1.0)),
    ],
)
def test_too_little_data_is_said(attempts: list[Attempt]) -> None:
    group = advise_one(attempts)
    assert not group.has_enough_data
    assert group.reasons[0].startswith("too little data")


def test_live_runs_and_empty_studies() -> None:
    assert advise([], PRICES, 4).groups == ()
    assert "nothing to advise" in str(advise([], PRICES, 4))
    live = [replace(each, told=None) for each in runs(FLEX, usage(2, 1.0, 8, 16))]
    assert advise(live, PRICES, 4).groups == ()


def test_final_runs_are_a_group_of_their_own() -> None:
    trials = runs(FLEX, usage(16, 1.0, 3, 64))
    final = replace(run(0, FLEX, usage(16, 15.9, 50, 64)), name="final-1-1")
    first, second = advise([*trials, final], PRICES, 4).groups
    assert (first.group, second.group) == ("trials", "final runs")
    assert second.suggested == Size(FLEX, 8, 63)


_USED = st.builds(
    lambda cores, busy, limit, memory: usage(cores, cores * busy, limit * memory, limit),
    st.sampled_from([2, 4, 8, 16, 64]),
    st.floats(0.001, 1.0),
    st.sampled_from([1, 16, 64, 500]),
    st.floats(0.001, 1.0),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(_USED, min_size=3, max_size=6), st.sampled_from([FLEX, "VM.Standard2.8", None]))
def test_properties(used: list[ResourceUsage], shape: str | None) -> None:
    attempts = [run(number, shape, each) for number, each in enumerate(used)]
    group = advise_one(attempts)
    shuffled = random.Random(0).sample(attempts, len(attempts))
    assert advise_one(shuffled).suggested == group.suggested
    assert advise_one(shuffled).max_parallel == group.max_parallel
    peak = max(each.memory_peak or 0.0 for each in used) / GIBIBYTE
    if shape is None:
        assert group.max_parallel is not None
        memory = max(each.memory_limit or 0.0 for each in used) / GIBIBYTE
        assert group.max_parallel == 1 or group.max_parallel * peak <= memory
        return
    suggested = group.suggested
    assert suggested is not None
    assert suggested.ocpus is not None
    assert suggested.memory_gb is not None
    if suggested != group.used:
        assert suggested.memory_gb >= peak * 1.25 - 1e-6
        assert 1 <= suggested.memory_gb / suggested.ocpus <= 64 + 1e-9
        assert suggested.ocpus == int(suggested.ocpus)
    if shape == FLEX:
        assert group.would_cost is not None
        assert group.would_cost.hours == group.cost.hours
        again = [replace(each, usage=_on(suggested, each.usage)) for each in attempts if each.usage]
        assert advise_one(again).suggested == suggested, "advice that is taken is the last one"


def _on(size: Size, used: ResourceUsage) -> ResourceUsage:
    """Return the same use of another size."""
    cores = 2.0 * (size.ocpus or 1)
    busy = (used.cpu_mean or 0.0) * (used.cores or 1.0) / cores
    return replace(
        used,
        cores=cores,
        cpu_mean=busy,
        cpu_p95=busy,
        cpu_peak=busy,
        memory_limit=(size.memory_gb or 1.0) * GIBIBYTE,
    )
