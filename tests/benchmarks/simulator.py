"""10,000 trials of one second on 16 slots, in virtual time and with real processes.

    python -m tests.benchmarks.simulator             a few seconds
    python -m tests.benchmarks.simulator --real      eleven minutes more

The ideal duration is 625 s. In virtual time the real seconds and the CPU time are those of the
tuner alone. With ``--real`` the same loop runs processes that sleep for a second, and the column
"over the ideal" is the time lost.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import optuna

from tune_jobs import LocalBackend, SimulatedBackend, SimulatedReport, Tuner
from tune_jobs.backends.base import Backend

SLOTS = 16


def tune(backend: Backend, storage: str | None, trials: int) -> tuple[float, float]:
    """Run a study, and return its seconds and the tuner's CPU seconds."""
    study = optuna.create_study(
        study_name="many", storage=storage, sampler=optuna.samplers.RandomSampler(seed=1)
    )
    space = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    tuner = Tuner(study, space, backend, metric="value", max_parallel=SLOTS, progress=False)
    start, cpu = time.monotonic(), time.process_time()
    tuner.optimize(n_trials=trials)
    seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    values = [t.value for t in study.get_trials(deepcopy=False)]
    assert len(values) == trials
    assert None not in values
    return seconds, cpu


def print_row(
    runs: str, study: str, virtual: str, seconds: float, ideal: float | None, cpu: float, n: int
) -> None:
    """Print a row of the table; ``ideal`` is None in virtual time."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    excess = "–" if ideal is None else f"{seconds / ideal - 1:.1%}"
    shown = "–" if ideal is None else f"{ideal:.0f}"
    print(
        f"| {runs} | {study} | {virtual} | {seconds:.1f} | {shown} | {excess} | "
        f"{1000 * cpu / n:.2f} | {peak} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="run real processes as well")
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(
        "| runs | study | virtual s | real s | ideal s | over the ideal | CPU ms/trial | peak MB |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, storage in (("memory", None), ("sqlite", "sqlite:///sim.db")):
            backend = SimulatedBackend(
                lambda run: [SimulatedReport(1.0, None, {"value": run.number("x")})]
            )
            seconds, cpu = tune(backend, storage, options.trials)
            virtual = f"{backend.now:.0f}"
            print_row("simulated", name, virtual, seconds, None, cpu, options.trials)
        if options.real:
            script = Path(folder, "train.sh")
            script.write_text('sleep 1\necho "value=${1#--x=}"\n')
            seconds, cpu = tune(LocalBackend(script), "sqlite:///real.db", options.trials)
            ideal = options.trials / SLOTS
            print_row("processes", "sqlite", "–", seconds, ideal, cpu, options.trials)


if __name__ == "__main__":
    main()
