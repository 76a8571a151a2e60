"""Which shape would do for the runs of a study, and what it would have cost.

The rule is `advise`:

    memory   the peak of all runs and 25 % more; at least half as much again as the limit of runs
             that were killed for their memory, and their limit if that is only likely
    CPU      the cores that were busy in 95 % of the time at most, of the run at the 95th
             percentile, and 20 % more; as before if the CPU was busy nearly all the time
    GPU      none, if no run has used it
    local    as many runs at once as the machine has memory and cores for, by the same numbers

A price is known for the size that was used. For another size of the same shape it is multiplied by
the larger ratio of OCPUs and memory: an upper bound, as each OCPU and each GB has a price.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.costs import HOUR, Amount, Prices
from tune_jobs.core.formatting import duration, html_table
from tune_jobs.core.job_runs import KILLED
from tune_jobs.core.nodes import parse_shape
from tune_jobs.core.resource_usage import GIBIBYTE, ResourceUsage
from tune_jobs.runtime.usage_summary import is_nearly_full

MEMORY_HEADROOM = 0.25
"""Share of the memory peak that is added to it."""

CPU_HEADROOM = 0.2
"""Share of the busy cores that is added to them."""

KILLED_GROWTH = 0.5
"""Share of the memory limit that is added to it after runs were killed for their memory."""

BUSY = 0.9
"""Share of the cores from which on a run may have waited for them."""

IDLE_GPU = 0.03
"""Share of a GPU's time and memory below which no run has used it."""

LEAST_RUNS = 3
"""Runs of trials that have to be measured, and `LEAST_SECONDS` of them; final runs are few."""

LEAST_SECONDS = 60.0

GENERAL_SHAPE = "VM.Standard.E4.Flex"
"""Shape to suggest in place of one without a choice of its size."""

MOST_GB_PER_OCPU = 64
"""Memory that a flexible shape has for each OCPU, at most; it has 1 GB at least. Source: OCI's page
on VM.Standard.E4.Flex."""


@dataclass(frozen=True)
class Size:
    """What a run gets.

    Args:
        shape: Compute shape; None for a local run.
        ocpus: OCPUs, or cores of a local machine; None if unknown.
        memory_gb: Memory in units of 2**30 bytes; None if unknown.
        gpu: Whether it has a GPU.
    """

    shape: str | None
    ocpus: float | None = None
    memory_gb: float | None = None
    gpu: bool = False

    @property
    def is_flexible(self) -> bool:
        """Whether the shape leaves a choice of OCPUs and memory."""
        return (self.shape or "").endswith(".Flex")

    def __str__(self) -> str:
        unit = "OCPUs" if self.shape else "cores"
        parts = [
            f"{self.ocpus:g} {unit if self.ocpus != 1 else unit[:-1]}" if self.ocpus else "",
            f"{self.memory_gb:.3g} GB" if self.memory_gb else "",
        ]
        size = " and ".join(part for part in parts if part)
        return f"{self.shape or 'this machine'}{f' with {size}' if size else ''}"


@dataclass(frozen=True)
class GroupAdvice:
    """Advice on runs that got the same.

    Args:
        group: ``trials`` or ``final runs``.
        backend: Name of the backend.
        runs, measured, killed: Number of runs that have ended, of those whose usage is known, and
            of those that were killed for their memory.
        nodes: Number of nodes of each run.
        used: What each node of the last measured run got.
        suggested: What would do; None if there is too little data, if the shape has no size that
            would do, and for local runs.
        max_parallel: Local runs that the machine has room for at once; None otherwise.
        cost: What the runs cost.
        would_cost: What they would have cost at most; None if that is not known.
        facts: The numbers that it rests on, by name.
        reasons: The same in words.
    """

    group: str
    backend: str
    runs: int
    measured: int
    killed: int
    used: Size
    suggested: Size | None = None
    nodes: int = 1
    max_parallel: int | None = None
    cost: Amount = field(default_factory=Amount)
    would_cost: Amount | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    @property
    def has_enough_data(self) -> bool:
        """Whether there is advice at all."""
        return self.suggested is not None or self.max_parallel is not None

    def rows(self) -> list[tuple[str, str]]:
        """Return labels and values for people."""
        nodes = f"{self.nodes} nodes of " if self.nodes > 1 else ""
        rows = [(self.group, f"{self.runs} on {nodes}{self.used}, {self.measured} measured")]
        if self.max_parallel is not None:
            rows.append(("would do", f"max_parallel={self.max_parallel}"))
        elif self.suggested == self.used:
            rows.append(("would do", "what they have"))
        elif self.suggested is not None:
            rows.append(("would do", _describe_setting(self.suggested)))
        rows += [("because", reason) for reason in self.reasons]
        rows.append(("cost", _describe_amount(self.cost)))
        if self.would_cost is not None and self.suggested != self.used:
            rows.append(("would have cost", f"at most {_describe_amount(self.would_cost)}"))
        return rows


@dataclass(frozen=True)
class Advice:
    """What `tune_jobs.Tuner.advise` returns.

    Args:
        groups: Advice on each kind of runs that differ in backend and shape, trials first.
    """

    groups: tuple[GroupAdvice, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """Return labels and values for people."""
        return [row for group in self.groups for row in group.rows()]

    def __str__(self) -> str:
        lines = [f"{label:<16} {value}" for label, value in self.rows()]
        return "\n".join(lines) if lines else "no run has ended: there is nothing to advise on"

    def _repr_html_(self) -> str:
        return html_table(self.rows())


def advise(attempts: Sequence[Attempt], prices: Prices, max_parallel: int) -> Advice:
    """Return advice on the runs of a study.

    Args:
        attempts: All attempts of the study.
        prices: Money per run hour.
        max_parallel: How many local runs may be live at once.
    """
    groups: dict[tuple[bool, str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.told is not None and attempt.seconds is not None:
            groups[attempt.is_final, attempt.backend, attempt.shape or ""].append(attempt)
    found = [_advise_group(groups[key], prices, max_parallel) for key in sorted(groups)]
    return Advice(tuple(found))


def _advise_group(attempts: Sequence[Attempt], prices: Prices, max_parallel: int) -> GroupAdvice:
    first = attempts[0]
    nodes, described = parse_shape(first.shape or "")
    shape = described if described not in ("", "local") else None
    measured = [attempt for attempt in attempts if attempt.usage is not None]
    usages = [attempt.usage for attempt in measured if attempt.usage is not None]
    cost = sum((prices.of(attempt) for attempt in attempts), Amount())
    advice = GroupAdvice(
        group="final runs" if first.is_final else "trials",
        backend=first.backend,
        runs=len(attempts),
        measured=len(usages),
        killed=sum(map(was_killed_for_memory, attempts)),
        nodes=nodes,
        used=_find_last_size(shape, measured),
        cost=cost,
    )
    telling = [attempt.usage for attempt in measured if attempt.usage if _is_telling(attempt)]
    if shortage := _find_shortage(advice, telling):
        return replace(advice, reasons=(shortage,))
    facts = {**_measure(usages), **_measure_kills(measured)}
    if shape is None:
        return _advise_local(advice, facts, max_parallel)
    return _estimate(_advise_shape(advice, facts), measured, prices)


def was_killed_for_memory(attempt: Attempt) -> bool:
    """Return whether a run was killed for its memory, as its cause or its memory says."""
    if attempt.state != AttemptState.FAILED:
        return False
    if "(out of memory: " in (attempt.cause or ""):
        return True
    return attempt.usage is not None and is_nearly_full(attempt.usage.as_record())


def was_perhaps_killed_for_memory(attempt: Attempt) -> bool:
    """Return whether a run was killed for an unknown reason, of which memory is the likely one."""
    if attempt.state != AttemptState.FAILED or was_killed_for_memory(attempt):
        return False
    cause = attempt.cause or ""
    is_killed = attempt.exit_code == KILLED and "not for memory" not in cause
    return "(out of memory?" in cause or is_killed


def _is_telling(attempt: Attempt) -> bool:
    """Return whether a run has got so far that its use says what such runs need."""
    if attempt.state in (AttemptState.FAILED, AttemptState.LOST):
        return was_killed_for_memory(attempt) or was_perhaps_killed_for_memory(attempt)
    return True


def _find_last_size(shape: str | None, measured: Sequence[Attempt]) -> Size:
    """Return what the last run got; the size may have been changed since the others."""

    def rank(attempt: Attempt) -> tuple[float, float, float]:
        used = attempt.usage or ResourceUsage()
        return attempt.finished or 0.0, used.memory_limit or 0.0, used.cores or 0.0

    known = [a for a in measured if a.usage and (a.usage.memory_limit or a.usage.cores)]
    if not known:
        return _find_size(shape, ResourceUsage())
    size = _find_size(shape, max(known, key=rank).usage or ResourceUsage())
    return replace(size, gpu=size.gpu or any(a.usage.gpus for a in known if a.usage))


def _find_size(shape: str | None, used: ResourceUsage) -> Size:
    ocpus = used.cores / _cores_per_ocpu(shape) if used.cores else None
    memory = used.memory_limit / GIBIBYTE if used.memory_limit else None
    if shape is not None:  # the kernel keeps a part of the memory of a machine
        ocpus = None if ocpus is None else max(1.0, float(round(ocpus)))
        memory = None if memory is None else float(math.ceil(memory))
    return Size(shape, ocpus, memory, gpu=_is_gpu_shape(shape) or bool(used.gpus))


def _is_gpu_shape(shape: str | None) -> bool:
    return ".GPU" in (shape or "").upper()


def _cores_per_ocpu(shape: str | None) -> int:
    """Return the cores that a run sees for each OCPU: those of Ampere A1 have one thread."""
    return 1 if shape is None or ".A1." in shape else 2


def _find_shortage(advice: GroupAdvice, usages: Sequence[ResourceUsage]) -> str:
    seconds = sum(u.seconds or 0.0 for u in usages)
    least = LEAST_RUNS if advice.group == "trials" else 1
    if len(usages) < least or seconds < LEAST_SECONDS:
        return (
            f"too little data: {len(usages)} of {advice.runs} runs were measured and did not fail, "
            f"for {duration(seconds)} in all; {least} and {duration(LEAST_SECONDS)} are needed"
        )
    if not any(u.memory_peak for u in usages) and not any(u.cpu_mean for u in usages):
        return "too little data: neither CPU nor memory were measured"
    return ""


def _measure(usages: Sequence[ResourceUsage]) -> dict[str, float]:
    """Return the numbers that the advice rests on."""
    facts: dict[str, float] = {}
    peaks = [u.memory_peak for u in usages if u.memory_peak is not None]
    if peaks:
        facts["memory_peak_gb"] = max(peaks) / GIBIBYTE
        facts["memory_needed_gb"] = facts["memory_peak_gb"] * (1.0 + MEMORY_HEADROOM)
    busy = [
        max(u.cpu_p95 or 0.0, u.cpu_mean) * u.cores
        for u in usages
        if u.cpu_mean is not None and u.cores
    ]
    if busy:
        facts["cores_p95"] = _quantile(busy, 0.95)
        facts["cores"] = max(u.cores or 0.0 for u in usages)
        facts["cores_needed"] = facts["cores_p95"] * (1.0 + CPU_HEADROOM)
    gpu = [u.gpu_peak for u in usages if u.gpu_peak is not None]
    if gpu:
        facts["gpu_peak"] = max(gpu)
        used = [
            min(1.0, u.gpu_memory_peak / u.gpu_limit)
            for u in usages
            if u.gpu_memory_peak and u.gpu_limit
        ]
        facts["gpu_memory_share"] = max(used, default=0.0)
    return facts


def _measure_kills(measured: Sequence[Attempt]) -> dict[str, float]:
    """Return the largest limits of runs that were killed for their memory, or perhaps for it."""
    facts: dict[str, float] = {}
    kinds = (
        ("killed_gb", was_killed_for_memory),
        ("perhaps_killed_gb", was_perhaps_killed_for_memory),
    )
    for name, was_killed in kinds:
        limits = [
            attempt.usage.memory_limit / GIBIBYTE
            for attempt in measured
            if attempt.usage and attempt.usage.memory_limit and was_killed(attempt)
        ]
        if limits:
            facts[name] = max(limits)
    return facts


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


# -- shapes ---------------------------------------------------------------------------------------


def _advise_shape(advice: GroupAdvice, facts: Mapping[str, float]) -> GroupAdvice:
    used, reasons = advice.used, list[str]()
    needs_gpu = _explain_gpu(used, facts, reasons)
    ocpus = _choose_ocpus(used, facts, reasons)
    memory = _choose_memory(advice, facts, reasons)
    suggested: Size | None = used
    if not needs_gpu and used.gpu:
        suggested = _fit(GENERAL_SHAPE, ocpus, memory)
    elif used.is_flexible:
        suggested = _fit(str(used.shape), ocpus, memory)
    elif not used.gpu and _is_smaller(ocpus, memory, used):
        suggested = _fit(GENERAL_SHAPE, ocpus, memory)
    elif advice.killed and memory is not None and memory > (used.memory_gb or memory):
        suggested = None
        reasons.append(f"{used.shape} has one size: take a shape with {memory:g} GB at least")
    return replace(advice, suggested=suggested, facts=facts, reasons=tuple(reasons))


def _explain_gpu(used: Size, facts: Mapping[str, float], reasons: list[str]) -> bool:
    """Return whether the runs need a GPU; one that was not measured is kept."""
    if not used.gpu:
        return False
    peak = facts.get("gpu_peak")
    if peak is None:
        reasons.append("the GPU was not measured")
        return True
    reasons.append(f"the GPU was busy {peak:.0%} of the time at most")
    return peak > IDLE_GPU or facts["gpu_memory_share"] > IDLE_GPU


def _choose_ocpus(used: Size, facts: Mapping[str, float], reasons: list[str]) -> float | None:
    if "cores_needed" not in facts:
        reasons.append("how many cores were busy was not measured")
        return used.ocpus
    per_ocpu = _cores_per_ocpu(used.shape)
    cores = facts["cores_p95"]
    reasons.append(
        f"{cores:.2g} of {facts['cores']:g} cores were busy in 95 % of the time at most, and "
        f"{CPU_HEADROOM:.0%} more"
    )
    most = max(1.0, float(round(facts["cores"] / per_ocpu)))  # trials may have different sizes
    needed = float(max(1, math.ceil(facts["cores_needed"] / per_ocpu - 1e-9)))
    if cores >= BUSY * facts["cores"]:
        reasons.append("the CPU was busy nearly all the time: more of it may shorten the runs")
        return most
    return min(needed, most)


def _choose_memory(
    advice: GroupAdvice, facts: Mapping[str, float], reasons: list[str]
) -> float | None:
    used, peak = advice.used, facts.get("memory_peak_gb")
    killed_gb = facts.get("killed_gb", used.memory_gb) if advice.killed else None
    least = 0.0
    if killed_gb is not None:
        least = math.ceil(killed_gb) * (1.0 + KILLED_GROWTH)
        reasons.append(
            f"{advice.killed} of {advice.runs} runs were killed for their memory, at "
            f"{math.ceil(killed_gb):.3g} GB: {KILLED_GROWTH:.0%} more"
        )
    elif "perhaps_killed_gb" in facts:
        least = float(math.ceil(facts["perhaps_killed_gb"]))
        reasons.append(f"runs were killed, perhaps for their memory: {least:.3g} GB or more")
    if peak is None:
        reasons.append("memory was not measured")
        return float(math.ceil(max(least, used.memory_gb or 0.0))) or None
    limit = "" if used.memory_gb is None else f" of {used.memory_gb:.3g}"
    reasons.append(f"memory peak {peak:.3g}{limit} GB, and {MEMORY_HEADROOM:.0%} more")
    return float(max(1, math.ceil(max(facts["memory_needed_gb"], least) - 1e-9)))


def _fit(shape: str, ocpus: float | None, memory: float | None) -> Size:
    """Return a size that a flexible shape allows."""
    if memory is not None:
        ocpus = max(ocpus or 1.0, float(math.ceil(memory / MOST_GB_PER_OCPU)))
        memory = max(memory, ocpus)
    return Size(shape, ocpus, memory)


def _is_smaller(ocpus: float | None, memory: float | None, used: Size) -> bool:
    if None in (ocpus, memory, used.ocpus, used.memory_gb):
        return False
    return ocpus <= used.ocpus / 2 or memory > used.memory_gb  # type: ignore[operator]


def _estimate(advice: GroupAdvice, measured: Sequence[Attempt], prices: Prices) -> GroupAdvice:
    """Return advice with what the runs would have cost at most, if that is known."""
    used, suggested, cost = advice.used, advice.suggested, advice.cost
    if suggested is None:
        return advice
    if suggested == used:
        return replace(advice, would_cost=cost)
    if suggested.shape != used.shape:
        price = prices.per_hour.get(str(suggested.shape))
        money = None if price is None else cost.hours * advice.nodes * price
    else:
        sizes = [_find_size(used.shape, a.usage) for a in measured if a.usage]
        # A price is that of each size; runs of another one had the same.
        ratios = [ratio for size in {used, *sizes} if (ratio := _compare(suggested, size))]
        money = cost.money * max(ratios) if ratios else None
    would_cost = None if money is None else Amount(cost.hours, money)
    return replace(advice, would_cost=would_cost)


def _compare(new: Size, old: Size) -> float | None:
    """Return how much a size of a shape costs of another one at most; None if unknown."""
    ratios = [
        mine / other
        for mine, other in ((new.ocpus, old.ocpus), (new.memory_gb, old.memory_gb))
        if mine and other
    ]
    return max(ratios) if ratios else None


# -- local runs -----------------------------------------------------------------------------------


def _advise_local(
    advice: GroupAdvice, facts: Mapping[str, float], max_parallel: int
) -> GroupAdvice:
    used, room, reasons = advice.used, list[float](), list[str]()
    if "cores_needed" in facts and used.ocpus:
        room.append(used.ocpus / max(facts["cores_needed"], 0.01))
        reasons.append(
            f"{facts['cores_p95']:.2g} of {used.ocpus:g} cores were busy in 95 % of the time at "
            f"most, and {CPU_HEADROOM:.0%} more"
        )
    if "memory_needed_gb" in facts and used.memory_gb:
        room.append(used.memory_gb / max(facts["memory_needed_gb"], 0.01))
        reasons.append(
            f"memory peak {facts['memory_peak_gb']:.3g} of {used.memory_gb:.3g} GB, and "
            f"{MEMORY_HEADROOM:.0%} more"
        )
    if facts.get("gpu_peak", 0.0) > IDLE_GPU:
        room.append(1.0 / max(facts["gpu_peak"], facts["gpu_memory_share"]))
        reasons.append(f"the GPU was busy {facts['gpu_peak']:.0%} of the time at most")
    if advice.killed:
        room.append(max_parallel / 2)
        reasons.append(f"{advice.killed} of {advice.runs} runs were killed for their memory")
    elif "perhaps_killed_gb" in facts:
        room.append(float(max_parallel))
        reasons.append("runs were killed, perhaps for their memory")
    reasons.append(f"up to {max_parallel} were live at once")
    return replace(
        advice,
        max_parallel=max(1, int(min(room) + 1e-9)) if room else max_parallel,
        would_cost=None,
        facts=facts,
        reasons=tuple(reasons),
    )


# -- words ----------------------------------------------------------------------------------------


def _describe_setting(size: Size) -> str:
    gpu = "" if size.gpu else ", no GPU"
    ocpus = f", ocpus={size.ocpus:g}" if size.ocpus else ""
    memory = f", memory_gb={size.memory_gb:g}" if size.memory_gb else ""
    return f"shape={size.shape}{ocpus}{memory}{gpu}"


def _describe_amount(amount: Amount) -> str:
    time = f"{duration(amount.hours * HOUR)} of run time"
    return f"{time}, {amount.money:.4g}" if amount.money else time
