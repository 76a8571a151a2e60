"""Minimize a quadratic function in sixty trials, eight of which are pending at any time."""

import optuna
import optunahub


def start_trial(study):
    trial = study.ask()
    x, y = trial.suggest_float("x", -5.0, 10.0), trial.suggest_float("y", 0.0, 15.0)
    return trial, (x - 3.0) ** 2 + (y - 2.0) ** 2


if __name__ == "__main__":
    JobSampler = optunahub.load_module("samplers/job_sampler").JobSampler
    study = optuna.create_study(sampler=JobSampler(seed=1))
    pending = [start_trial(study) for _ in range(8)]
    for _ in range(52):
        trial, value = pending.pop(0)
        study.tell(trial, value)
        pending.append(start_trial(study))
    print(study.best_value, study.best_params)
