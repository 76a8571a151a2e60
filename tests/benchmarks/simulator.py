"""10,000 trials of one second on 16 slots: in virtual time, and with real processes.

    python -m tests.benchmarks.simulator             seconds
    python -m tests.benchmarks.simulator --real      eleven minutes more

Ideal are 625 s. Virtual time shows what the tuner itself costs; the same loop then runs processes
that sleep.
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
    """Seconds, and the tuner's CPU seconds."""
    study = optuna.create_study(
        study_name="many", storage=storage, sampler=optuna.samplers.RandomSampler(seed=1)
    )
    space = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    tuner = Tuner(study, space, backend, metric="value", max_parallel=SLOTS, progress=False)
    began, cpu = time.monotonic(), time.process_time()
    tuner.optimize(n_trials=trials)
    took = time.monotonic() - began, time.process_time() - cpu
    values = [t.value for t in study.get_trials(deepcopy=False)]
    assert len(values) == trials
    assert None not in values
    return took


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="with processes, too")
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ideal = options.trials / SLOTS
    print(
        "| runs | study | virtual s | real s | ideal s | over the ideal | CPU ms/trial | peak MB |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, storage in (("memory", None), ("sqlite", "sqlite:///sim.db")):
            simulated = SimulatedBackend(
                lambda run: [SimulatedReport(1.0, None, {"value": run.number("x")})]
            )
            seconds, cpu = tune(simulated, storage, options.trials)
            _row("simulated", name, f"{simulated.now:.0f}", seconds, None, cpu, options.trials)
        if options.real:
            script = Path(folder, "train.sh")
            script.write_text('sleep 1\necho "value=${1#--x=}"\n')
            seconds, cpu = tune(LocalBackend(script), "sqlite:///real.db", options.trials)
            _row("processes", "sqlite", "–", seconds, ideal, cpu, options.trials)


def _row(
    runs: str, study: str, virtual: str, seconds: float, ideal: float | None, cpu: float, n: int
) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    over = "–" if ideal is None else f"{seconds / ideal - 1:.1%}"
    shown = "–" if ideal is None else f"{ideal:.0f}"
    print(
        f"| {runs} | {study} | {virtual} | {seconds:.1f} | {shown} | {over} | "
        f"{1000 * cpu / n:.2f} | {peak} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
