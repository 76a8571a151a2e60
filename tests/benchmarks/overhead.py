"""What a tuner costs beside the trials themselves: one command, one table.

    python -m tests.benchmarks.overhead

Every contender runs the same trials (each a process that prints a number) in a process of its own,
so that time, CPU and memory are its own. Nothing is asserted about time: see README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
from tests.benchmarks.workload import WORKLOADS, Workload, run_bare_pool, space

REPOSITORY = Path(__file__).parents[2]
BARE = "bare pool"
TUNERS = ("tune_jobs", "ask/tell", "optimize")
HEADER = (
    "workload|contender|seconds|slot utilisation|of the bare pool|trials/s|CPU ms/trial|peak MB"
)
CONTENDERS = (BARE, *(f"{tuner}, {storage}" for tuner in TUNERS for storage in STORAGES))


@dataclass(frozen=True)
class Cost:
    """What was spent beside the trials.

    Args:
        seconds: From the first ask to the last tell; importing and creating the study are before.
        cpu_seconds: Of the tuner's processes, without its trials.
        rss_mb: The most memory that they had.
    """

    seconds: float
    cpu_seconds: float
    rss_mb: float


@dataclass(frozen=True)
class Helper:
    """What a second process of a tuner had used when it was last looked at."""

    cpu_seconds: float = 0.0
    rss_mb: float = 0.0


Runner = Callable[[Workload, optuna.Study], Helper | None]


# -- inside the process of one contender ------------------------------------------------------


def measure(contender: str, workload: Workload, sampler: str, seed: int) -> Cost:
    """Run one contender in this process."""
    tuner, _, storage = contender.partition(", ")
    study = open_study(storage, sampler, seed)
    run = runner_of(tuner, seed)
    cpu, begin = _cpu_seconds(), time.perf_counter()
    helper = run(workload, study) or Helper()
    seconds, cpu = time.perf_counter() - begin, _cpu_seconds() - cpu
    if tuner != BARE:
        _check(workload, study)
    return Cost(seconds, cpu + helper.cpu_seconds, _peak_rss_mb("self") + helper.rss_mb)


def runner_of(tuner: str, seed: int) -> Runner:
    """How to run one; its imports are done when this returns, as Optuna is for the others."""
    if tuner == BARE:
        return lambda workload, _: run_bare_pool(workload, seed)
    if tuner == "tune_jobs":
        return tune_jobs_runner()
    return run_ask_tell if tuner == "ask/tell" else run_optimize


def tune_jobs_runner() -> Runner:
    """Our contender; it has a second process, the local host."""
    from tune_jobs import LocalBackend, Tuner
    from tune_jobs.backends.local.service import LocalService

    host = Helper()
    close = LocalService.close

    def measure_and_close(service: LocalService) -> None:
        nonlocal host
        # The host leaves when nobody is connected: this is the last moment to look at it.
        for pid in _children("tune_jobs.backends.local.host"):
            host = Helper(_cpu_seconds_of(pid), _peak_rss_mb(pid))
        close(service)

    LocalService.close = measure_and_close  # type: ignore[assignment, method-assign]

    def run(workload: Workload, study: optuna.Study) -> Helper:
        backend = LocalBackend(workload.command)
        tuner = Tuner(study, space, backend, metric="value", max_parallel=workload.slots)
        tuner.optimize(n_trials=workload.trials)
        return host

    return run


def _check(workload: Workload, study: optuna.Study) -> None:
    """Fast and wrong does not count."""
    trials = study.get_trials(deepcopy=False)
    good = [trial for trial in trials if trial.value == trial.params["x"]]
    if not len(good) == len(trials) == workload.trials:
        raise RuntimeError(f"{len(good)} of {len(trials)} trials have the right value")


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _children(module: str) -> Iterator[str]:
    """Processes that this one started and that run ``module``."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(_stat(folder.name)[1])
            command = (folder / "cmdline").read_text().split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if parent == os.getpid() and module in command:
            yield folder.name


def _cpu_seconds_of(pid: str) -> float:
    """A process without its children, which are the trials."""
    return sum(int(ticks) for ticks in _stat(pid)[11:13]) / os.sysconf("SC_CLK_TCK")


def _stat(pid: str) -> list[str]:
    """``/proc/PID/stat`` from the state on; the name before it may contain blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _peak_rss_mb(pid: str) -> float:
    # Not ru_maxrss: a process begins with that of the one which started it.
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


# -- outside ----------------------------------------------------------------------------------


def spawn(contender: str, workload: Workload, options: argparse.Namespace) -> Cost | str:
    """Measure one contender in a fresh process and folder; text if it failed."""
    module = [sys.executable, "-m", "tests.benchmarks.overhead"]
    what = [f"--child={contender}", f"--workload={workload.name}"]
    how = [f"--sampler={options.sampler}", f"--seed={options.seed}"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        done = subprocess.run(
            module + what + how, cwd=folder, env=environment, capture_output=True, text=True
        )
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Cost(**json.loads(done.stdout))


def measure_all(
    workload: Workload, contenders: Sequence[str], options: argparse.Namespace
) -> dict[str, list[Cost]]:
    """Costs by contender; repeats take turns, so that a busy minute hits everybody."""
    costs: dict[str, list[Cost]] = {contender: [] for contender in contenders}
    failed: set[str] = set()
    for _ in range(options.repeat):
        for contender in contenders:
            if contender in failed:
                continue
            result = spawn(contender, workload, options)
            if isinstance(result, Cost):
                costs[contender].append(result)
            else:
                failed.add(contender)
                _note(f"{workload.name}: {contender} is left out: {result}")
    return {contender: found for contender, found in costs.items() if contender not in failed}


def rows(workload: Workload, costs: dict[str, list[Cost]]) -> Iterator[list[str]]:
    """The table's rows."""
    medians = {contender: _median(repeats) for contender, repeats in costs.items()}
    for contender, cost in medians.items():
        utilisation = f"{workload.ideal_seconds / cost.seconds:.2f}" if workload.seconds else "–"
        ratio = f"{medians[BARE].seconds / cost.seconds:.2f}" if BARE in medians else "–"
        yield [
            f"{workload.name}: {workload.trials} on {workload.slots}",
            contender,
            f"{cost.seconds:.2f}",
            utilisation,
            ratio,
            f"{workload.trials / cost.seconds:.1f}",
            f"{1000 * cost.cpu_seconds / workload.trials:.1f}",
            f"{cost.rss_mb:.0f}",
        ]


def _median(costs: Sequence[Cost]) -> Cost:
    """The median of each number by itself."""
    columns = zip(*(asdict(cost).values() for cost in costs), strict=True)
    return Cost(*map(statistics.median, columns))


def machine(options: argparse.Namespace) -> str:
    """Where and how this was measured."""
    folder = options.directory or tempfile.gettempdir()
    kind = ["df", "--output=fstype", folder]
    filesystem = subprocess.run(kind, capture_output=True, text=True).stdout.split()[-1:]
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, Optuna {optuna.__version__}, "
        f"{' '.join(filesystem) or 'unknown filesystem'} at {folder}, {options.sampler} sampler, "
        f"median of {options.repeat}"
    )


def _note(text: str) -> None:
    """For whoever watches; the table alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def print_row(cells: Sequence[str]) -> None:
    """One row of a Markdown table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="What a tuner costs beside the trials themselves.")
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="one of them only")
    parser.add_argument("--only", action="append", help="contenders whose name contains this")
    parser.add_argument("--repeat", type=int, default=1, help="runs to take the median of")
    parser.add_argument("--sampler", choices=SAMPLERS, default="random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", help="where the studies are written (default: temporary)")
    parser.add_argument("--child", choices=CONTENDERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = parse_arguments()
    workloads = [WORKLOADS[name] for name in options.workload or WORKLOADS]
    if options.child:
        cost = measure(options.child, workloads[0], options.sampler, options.seed)
        print(json.dumps(asdict(cost)))
        return
    wanted = options.only or [""]
    contenders = [c for c in CONTENDERS if c == BARE or any(part in c for part in wanted)]
    before = os.getloadavg()[0]
    columns = HEADER.split("|")
    print_row(columns)
    print_row(["---", "---", *["---:"] * (len(columns) - 2)])
    for workload in workloads:
        for row in rows(workload, measure_all(workload, contenders, options)):
            print_row(row)
    print(f"\n{machine(options)}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
