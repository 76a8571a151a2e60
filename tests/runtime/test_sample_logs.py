"""Extraction of metrics from whole logs."""

from __future__ import annotations

import math

import pytest

from tests.runtime.reading import LOGS, Found, find
from tune_jobs.runtime.unread import metric_like_names

LOG_CASES: list[tuple[str, list[str], str | None, Found]] = [
    (
        "keras2",
        ["val_accuracy", "loss"],
        "epoch",
        [
            (1, {"val_accuracy": 0.65, "loss": 0.3}),
            (2, {"val_accuracy": 0.75, "loss": 0.15}),
            (3, {"val_accuracy": 0.85, "loss": 0.1}),
        ],
    ),
    (
        "keras3",
        ["val_accuracy", "accuracy"],
        "epoch",
        [
            (1, {"accuracy": 0.15, "val_accuracy": 0.16}),
            (2, {"accuracy": 0.25, "val_accuracy": 0.26}),
        ],
    ),
    (
        "lightning",
        ["val_acc", "test_acc", "test_f1"],
        "epoch",
        [
            (0, {"val_acc": 0.731}),
            (1, {"val_acc": 0.831}),
            (1, {"test_acc": 0.8412500023841858}),
            (1, {"test_f1": 0.831250011920929}),
        ],
    ),
    (
        "sklearn",
        ["loss", "Validation score", "accuracy", "score", "AUC"],
        "iteration",
        [
            (1, {"loss": 2.30258509}),
            (2, {"loss": 1.94591015}),
            (2, {"Validation score": 0.8125}),
            (3, {"loss": 1.60943791}),
            (3, {"Validation score": 0.85}),
            (3, {"score": 0.953}),
            (3, {"score": 0.947}),
            (3, {"accuracy": 0.94}),
            (3, {"AUC": 0.987}),
        ],
    ),
    (
        "xgboost",
        ["eval-rmse", "test-logloss"],
        None,
        [
            (None, {"eval-rmse": 1.6}),
            (None, {"eval-rmse": 1.3}),
            (None, {"eval-rmse": 1.1}),
            (None, {"test-logloss": 0.61321}),
        ],
    ),
    (
        "lightgbm",
        ["auc", "valid_1's binary_logloss"],
        None,
        [
            (None, {"auc": 0.971, "valid_1's binary_logloss": 0.251}),
            (None, {"auc": 0.981, "valid_1's binary_logloss": 0.151}),
            (None, {"auc": 0.981, "valid_1's binary_logloss": 0.151}),
        ],
    ),
    (
        "huggingface",
        ["eval_accuracy", "loss"],
        "epoch",
        [
            (0, {"loss": 0.5234}),
            (1, {"loss": 0.4321}),
            (1, {"eval_accuracy": 0.8725}),
            (2, {"eval_accuracy": 0.8925}),
            (2, {"eval_accuracy": 0.8925}),
        ],
    ),
    (
        "tqdm",
        ["loss", "acc"],
        "epoch",
        [
            (None, {"loss": 0.5, "acc": 1.0}),
            (1, {"loss": 1.0}),
            (2, {"loss": 0.5}),
            (3, {"loss": 0.333}),
        ],
    ),
    (
        "pytorch_imagenet",
        ["Acc@1", "Loss"],
        "epoch",
        [
            (0, {"Loss": 6.9234, "Acc@1": 0.39}),
            (0, {"Loss": 6.5, "Acc@1": 1.17}),
            (0, {"Loss": 5.1, "Acc@1": 10.16}),
            (0, {"Acc@1": 9.876}),
        ],
    ),
    (
        "pytorch_mnist",
        ["Accuracy", "loss"],
        "epoch",
        [(1, {"loss": 0.0512}), (2, {"loss": 0.0312})],
    ),
    (
        "json_lines",
        ["accuracy", "val.accuracy", "val.loss"],
        "epoch",
        [
            (1, {"accuracy": 0.71}),
            (2, {"val.accuracy": 0.82, "val.loss": 0.4}),
            (3, {"val.accuracy": 0.85, "val.loss": math.nan}),
            (4, {"accuracy": 0.86}),  # a line that is cut loses the nesting
        ],
    ),
    (
        "yolo",
        ["mAP@0.5", "top-1", "val/acc"],
        None,
        [(None, {"mAP@0.5": 0.612, "top-1": 71.2, "val/acc": 0.7}), (None, {"mAP@0.5": 0.622})],
    ),
    (
        "logging",
        ["accuracy"],
        "epoch",
        [
            (None, {"accuracy": 0.5}),
            (1, {"accuracy": 0.62}),
            (1, {"accuracy": 0.75}),
            (2, {"accuracy": 0.75}),
        ],
    ),
]


@pytest.mark.parametrize(
    ("log", "names", "step", "found"), LOG_CASES, ids=[case[0] for case in LOG_CASES]
)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_logs(log: str, names: list[str], step: str | None, found: Found, chunk: int) -> None:
    assert find((LOGS / f"{log}.txt").read_bytes(), *names, step=step, chunk=chunk) == found


def test_every_sample_log_is_tested() -> None:
    assert {path.stem for path in LOGS.iterdir()} == {case[0] for case in LOG_CASES}


@pytest.mark.parametrize("log", [case[0] for case in LOG_CASES])
def test_the_names_are_names_that_work(log: str) -> None:
    data = (LOGS / f"{log}.txt").read_bytes()
    names = metric_like_names(data, wanted="accuracy")
    assert names
    for name in names:
        assert find(data, name) != [], name
