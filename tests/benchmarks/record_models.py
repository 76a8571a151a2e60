"""Record tables of real models, which the benchmark of the samplers looks up.

    python -m tests.benchmarks.record_models        about ten minutes; writes to data/

    boosting_diabetes.csv   gradient boosting on scikit-learn's diabetes data: a grid of five
                            parameters, mean squared error over three folds
    models_digits.csv       four model classes on a third of scikit-learn's digits: error rate
                            over five folds

The last two columns are the value, to be minimized, and the seconds that fitting took.
"""

from __future__ import annotations

import csv
import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tests.benchmarks.samplers.tasks import BOOSTING, DATA, MODELS


def record_boosting() -> Iterator[list[str]]:
    """Yield a row per point of the grid; different numbers of trees are stages of one fit."""
    x, y = load_diabetes(return_X_y=True)
    folds = list(KFold(3, shuffle=True, random_state=0).split(x))
    stages = int(max(BOOSTING["trees"]))
    others = [BOOSTING[name] for name in ("rate", "depth", "subsample", "leaf")]
    for rate, depth, subsample, leaf in itertools.product(*others):
        model = GradientBoostingRegressor(
            learning_rate=rate,
            n_estimators=stages,
            max_depth=depth,
            subsample=subsample,
            min_samples_leaf=leaf,
            random_state=0,
        )
        errors, seconds = np.zeros(stages), 0.0
        for train, test in folds:
            start = time.process_time()
            fitted = clone(model).fit(x[train], y[train])
            seconds += time.process_time() - start
            predictions = fitted.staged_predict(x[test])
            errors += [float(np.mean((y[test] - stage) ** 2)) for stage in predictions]
        for trees in map(int, BOOSTING["trees"]):
            value, spent = errors[trees - 1] / len(folds), seconds * trees / len(errors)
            point = (rate, trees, depth, subsample, leaf)
            yield [*map(str, point), f"{value:.2f}", f"{spent:.4f}"]


def record_models() -> Iterator[list[str]]:
    """Yield a row per point of the grid of each class."""
    x, y = load_digits(return_X_y=True)
    x, y = x[:600], y[:600]
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y))
    for name, grid in MODELS.items():
        for levels in itertools.product(*grid.values()):
            model = _create_model(name, dict(zip(grid, levels, strict=True)))
            n_wrong, start = 0, time.process_time()
            for train, test in folds:
                fitted = clone(model).fit(x[train], y[train])
                n_wrong += int(np.sum(fitted.predict(x[test]) != y[test]))
            seconds = time.process_time() - start
            point = " ".join(map(str, levels))
            yield [name, point, f"{n_wrong / len(y):.6f}", f"{seconds:.4f}"]


def _create_model(name: str, params: dict[str, Any]) -> Any:
    if name == "svm":
        return SVC(C=params["c"], gamma=params["gamma"])
    if name == "forest":
        return RandomForestClassifier(
            params["trees"],
            max_depth=params["depth"],
            max_features=params["features"],
            random_state=0,
        )
    if name == "neighbors":
        return KNeighborsClassifier(params["k"], p=params["p"])
    return make_pipeline(StandardScaler(), LogisticRegression(C=params["c"], max_iter=500))


def main() -> None:
    """Write both tables."""
    for name, head, rows in (
        ("models_digits.csv", ["model", "point"], record_models()),
        ("boosting_diabetes.csv", list(BOOSTING), record_boosting()),
    ):
        with (DATA / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([[*head, "value", "seconds"], *rows])


if __name__ == "__main__":
    main()
