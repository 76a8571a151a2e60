"""Start a study from an earlier one, in which a parameter had another name."""

import optuna
import optunahub


def earlier_objective(trial):
    return (trial.suggest_float("lr", 0.0, 1.0) - 0.3) ** 2


def objective(trial):
    rate, decay = trial.suggest_float("rate", 0.0, 1.0), trial.suggest_float("decay", 0.0, 1.0)
    return (rate - 0.32) ** 2 + 0.1 * decay


if __name__ == "__main__":
    WarmStartSampler = optunahub.load_module("samplers/warm_start").WarmStartSampler
    earlier = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    earlier.optimize(earlier_objective, n_trials=40)
    sampler = WarmStartSampler([earlier], rename={"lr": "rate"}, seed=1)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=40)
    print(study.best_value, study.best_params)
