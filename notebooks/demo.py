"""Tune a small neural network with job runs on this machine and train the best configuration.

    python notebooks/demo.py

The tuned script, train_digits.py, does not import tune_jobs: it takes arguments and prints metrics.
Everything is kept in the folder demo/. A second call resumes the study.
"""

import re
import subprocess
import sys
from pathlib import Path

import optuna

from tune_jobs import CommandLine, LocalBackend, Tuner

N_TRIALS = 40
EPOCHS = 200
SCRIPT = Path(__file__).with_name("train_digits.py")


def space(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
        "hidden": trial.suggest_int("hidden", 32, 256, log=True),
        "alpha": trial.suggest_float("alpha", 1e-5, 1, log=True),
        "activation": trial.suggest_categorical("activation", ["relu", "tanh", "logistic"]),
    }


def main() -> None:
    Path("demo").mkdir(exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="digits",
        storage="sqlite:///demo/digits.db",
        direction="maximize",
        load_if_exists=True,
    )
    tuner = Tuner(
        study,
        space,
        LocalBackend(SCRIPT, env={"OMP_NUM_THREADS": "1"}),
        metric="val_accuracy",
        extra_metrics=["test_accuracy"],
        step="epoch",
        command_line=CommandLine(["{parameters}", "--output-dir={outputs}"]),
        max_parallel=2,
        store="demo/runs",
    )
    print(f"One of the command lines:\n  {tuner.preview(1)[0]}\n")
    tuner.optimize(n_trials=N_TRIALS)
    best = study.best_trial
    print(f"\nBest of {len(study.trials)} trials: number {best.number}, {best.value:.4f}")
    final = tuner.train_best(arguments={"epochs": EPOCHS})
    print(f"\n{final}\n")
    tuned, default = final.metrics["test_accuracy"], measure_defaults()
    print(
        f"On 1297 held-out images: tuned {tuned:.1%}, the script's defaults "
        f"{default:.1%} (both {EPOCHS} epochs): {100 * (tuned - default):+.1f} points"
    )


def measure_defaults() -> float:
    """Return the accuracy of the script's own defaults on the held-out images."""
    printed = subprocess.run(
        [sys.executable, SCRIPT, f"--epochs={EPOCHS}"], capture_output=True, text=True, check=True
    ).stdout
    return float(re.findall(r"test_accuracy=(\S+)", printed)[-1])


if __name__ == "__main__":
    main()
