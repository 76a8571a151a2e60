"""Let three model classes compete in one study, and print the best trial of each."""

import optuna
import optunahub


def objective(trial):
    model = trial.suggest_categorical("model", ["svm", "forest", "net"])
    if model == "svm":
        return 0.12 + 0.01 * trial.suggest_float("c", 0.0, 1.0)
    if model == "forest":
        return 0.10 + 0.001 * abs(trial.suggest_int("depth", 1, 32) - 20)
    return min(0.5, abs(trial.suggest_float("rate", 0.0, 1.0) - 0.3))


if __name__ == "__main__":
    ModelClassSampler = optunahub.load_module("samplers/model_classes").ModelClassSampler
    sampler = ModelClassSampler("model", seed=1)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=100)
    for model, trial in sampler.winners(study).items():
        print(model, trial.value, trial.params)
