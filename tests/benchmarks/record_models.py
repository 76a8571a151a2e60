"""Records the tables of real models that the samplers' benchmark looks up.

    python -m tests.benchmarks.record_models        about ten minutes; writes into data/

    boosting_diabetes.csv   gradient boosting on scikit-learn's diabetes data: a grid of five
                            parameters, the mean squared error of three folds
    models_digits.csv       four classes of models on a third of scikit-learn's digits: the error
                            rate of five folds

The last two columns are the value (less is better) and the seconds that fitting took.
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


def boosting() -> Iterator[list[str]]:
    """One row a point of the grid; the numbers of trees are stages of the same fit."""
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
            began = time.process_time()
            fitted = clone(model).fit(x[train], y[train])
            seconds += time.process_time() - began
            shown = fitted.staged_predict(x[test])
            errors += [float(np.mean((y[test] - stage) ** 2)) for stage in shown]
        for trees in map(int, BOOSTING["trees"]):
            value, spent = errors[trees - 1] / len(folds), seconds * trees / len(errors)
            point = (rate, trees, depth, subsample, leaf)
            yield [*map(str, point), f"{value:.2f}", f"{spent:.4f}"]


def _made(kind: str, point: dict[str, Any]) -> Any:
    if kind == "svm":
        return SVC(C=point["c"], gamma=point["gamma"])
    if kind == "forest":
        return RandomForestClassifier(
            point["trees"],
            max_depth=point["depth"],
            max_features=point["features"],
            random_state=0,
        )
    if kind == "neighbors":
        return KNeighborsClassifier(point["k"], p=point["p"])
    return make_pipeline(StandardScaler(), LogisticRegression(C=point["c"], max_iter=500))


def models() -> Iterator[list[str]]:
    """One row a point of a class's grid."""
    x, y = load_digits(return_X_y=True)
    x, y = x[:600], y[:600]
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y))
    for kind, grid in MODELS.items():
        for levels in itertools.product(*grid.values()):
            model = _made(kind, dict(zip(grid, levels, strict=True)))
            wrong, began = 0, time.process_time()
            for train, test in folds:
                fitted = clone(model).fit(x[train], y[train])
                wrong += int(np.sum(fitted.predict(x[test]) != y[test]))
            spent = time.process_time() - began
            point = " ".join(map(str, levels))
            yield [kind, point, f"{wrong / len(y):.6f}", f"{spent:.4f}"]


def main() -> None:
    """Write both tables."""
    for name, head, rows in (
        ("models_digits.csv", ["model", "point"], models()),
        ("boosting_diabetes.csv", list(BOOSTING), boosting()),
    ):
        with (DATA / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([[*head, "value", "seconds"], *rows])


if __name__ == "__main__":
    main()
