"""Measures one contender of `overhead` in this process, and prints its cost as JSON.

    python -m tests.benchmarks.contender CONTENDER WORKLOAD [--sampler tpe] [--seed 1]

The study is written to the current folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna

from tests.benchmarks.stock_optuna import (
    SAMPLERS,
    STORAGES,
    open_study,
    run_ask_tell,
    run_optimize,
)
from tests.benchmarks.workload import WORKLOADS, Workload, run_bare_pool, suggest

BARE_POOL = "bare pool"
TUNERS = ("tune_jobs", "ask/tell", "optimize")
CONTENDERS = (BARE_POOL, *(f"{tuner}, {storage}" for tuner in TUNERS for storage in STORAGES))


@dataclass(frozen=True)
class Cost:
    """Time and resources that a contender used, without those of its trials.

    Args:
        seconds: From the first ask to the last tell, without imports and study creation.
        cpu_seconds: User and system time of the contender's processes.
        rss_mb: Peak resident memory of the same processes.
    """

    seconds: float
    cpu_seconds: float
    rss_mb: float


@dataclass(frozen=True)
class HostCost:
    """Resources that the local host of tune_jobs, a second process, used."""

    cpu_seconds: float = 0.0
    rss_mb: float = 0.0


Runner = Callable[[Workload, optuna.Study], HostCost | None]


def measure(contender: str, workload: Workload, sampler: str, seed: int) -> Cost:
    """Run a contender and return its cost.

    Raises:
        RuntimeError: If a trial does not have the value that its process printed.
    """
    tuner, _, storage = contender.partition(", ")
    study = open_study(storage, sampler, seed)
    run = build_runner(tuner, seed)
    cpu, start = _own_cpu_seconds(), time.perf_counter()
    host = run(workload, study) or HostCost()
    seconds, cpu = time.perf_counter() - start, _own_cpu_seconds() - cpu
    if tuner != BARE_POOL:
        _check(workload, study)
    return Cost(seconds, cpu + host.cpu_seconds, _peak_rss_mb("self") + host.rss_mb)


def build_runner(tuner: str, seed: int) -> Runner:
    """Return the function that runs a tuner; all that it needs is imported by then."""
    if tuner == BARE_POOL:
        return lambda workload, _: run_bare_pool(workload, seed)
    if tuner == "tune_jobs":
        return _build_tune_jobs_runner()
    return run_ask_tell if tuner == "ask/tell" else run_optimize


def _build_tune_jobs_runner() -> Runner:
    from tune_jobs import LocalBackend, Tuner
    from tune_jobs.backends.local.service import LocalService

    cost = HostCost()
    close = LocalService.close

    def measure_and_close(service: LocalService) -> None:
        nonlocal cost
        # The host exits once its last client has disconnected, so it is measured before.
        for pid in _find_children("tune_jobs.backends.local.host"):
            cost = HostCost(_cpu_seconds(pid), _peak_rss_mb(pid))
        close(service)

    LocalService.close = measure_and_close  # type: ignore[assignment, method-assign]

    def run(workload: Workload, study: optuna.Study) -> HostCost:
        backend = LocalBackend(workload.command)
        tuner = Tuner(study, suggest, backend, metric="value", max_parallel=workload.slots)
        tuner.optimize(n_trials=workload.trials)
        return cost

    return run


def _check(workload: Workload, study: optuna.Study) -> None:
    trials = study.get_trials(deepcopy=False)
    correct = [trial for trial in trials if trial.value == trial.params["x"]]
    if not len(correct) == len(trials) == workload.trials:
        raise RuntimeError(
            f"{len(correct)} of {len(trials)} trials have the value that their process printed; "
            f"{workload.trials} were expected"
        )


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _find_children(module: str) -> Iterator[str]:
    """Yield the ids of this process's children that run a module."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(_read_stat(folder.name)[1])
            command = (folder / "cmdline").read_text().split("\0")
        except OSError:  # the process has ended
            continue
        if parent == os.getpid() and module in command:
            yield folder.name


def _cpu_seconds(pid: str) -> float:
    """Return user and system time of a process, without its children, which are trials."""
    return sum(int(ticks) for ticks in _read_stat(pid)[11:13]) / os.sysconf("SC_CLK_TCK")


def _read_stat(pid: str) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the process name, which may hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _peak_rss_mb(pid: str) -> float:
    # ru_maxrss would be inherited from the parent process.
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Measure one contender and print its cost."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.contender")
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--sampler", choices=SAMPLERS, default="random")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    workload = WORKLOADS[options.workload]
    cost = measure(options.contender, workload, options.sampler, options.seed)
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main()
