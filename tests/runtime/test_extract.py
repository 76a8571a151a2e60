"""Extraction of metrics from the output of scripts."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import MAX_LINE, Record, encode
from tune_jobs.runtime.unread import metric_like_names

LOGS = Path(__file__).parent / "logs"
Found = list[tuple[int | None, dict[str, float]]]


def find(
    data: bytes | str,
    *names: str,
    step: str | None = "epoch",
    patterns: Mapping[str, str] | None = None,
    chunk: int = 1 << 20,
) -> Found:
    """Feed output in chunks; return the records as pairs of step and values."""
    data = data.encode() if isinstance(data, str) else data
    extractor = Extractor(names, patterns, step)
    records: list[Record] = []
    for i in range(0, len(data), chunk):
        records += extractor.feed(data[i : i + chunk], 1.0)
    return [(r.step, dict(r.values)) for r in records + extractor.finish(1.0)]


# -- one line -------------------------------------------------------------------------------------

ACCURACY = [
    # common formats
    ("accuracy: 0.91", 0.91),
    ("accuracy=0.91", 0.91),
    ("accuracy = 0.91", 0.91),
    ("accuracy 0.91", 0.91),
    ("accuracy\t0.91", 0.91),
    ("accuracy:0.91", 0.91),
    ("accuracy -> 0.91", 0.91),
    ("accuracy => 0.91", 0.91),
    ("'accuracy': 0.91", 0.91),
    ('"accuracy": "0.91"', 0.91),
    ("accuracy='0.91'", 0.91),
    ("| accuracy | 0.91 |", 0.91),
    ("│ accuracy  │   0.91   │", 0.91),
    # formats of numbers
    ("accuracy: 91.5%", 91.5),
    ("accuracy: 91.5 %", 91.5),
    ("accuracy: 1", 1.0),
    ("accuracy: 1.", 1.0),
    ("accuracy: .5", 0.5),
    ("accuracy: +1.5", 1.5),
    ("accuracy: -1.5", -1.5),
    ("accuracy:-1.5", -1.5),
    ("accuracy: 9.1e-01", 0.91),
    ("accuracy: 9.1E+2", 910.0),
    ("accuracy: inf", math.inf),
    ("accuracy: -inf", -math.inf),
    ("accuracy: Infinity", math.inf),
    ("accuracy: 1,234.5", 1234.5),
    ("accuracy: 1,234,567", 1234567.0),
    ("accuracy: tensor(0.91, device='cuda:0', grad_fn=<DivBackward0>)", 0.91),
    ("accuracy: np.float64(0.91)", 0.91),
    ("accuracy=tf.Tensor(0.91, shape=(), dtype=float32)", 0.91),
    ("accuracy=Array(0.91, dtype=float32)", 0.91),
    # surroundings
    ("Test accuracy: 0.9.", 0.9),
    ("accuracy: 0.9, loss: 0.1", 0.9),
    ("accuracy=0.9,loss=0.1", 0.9),
    ("accuracy: 0.9; done", 0.9),
    ("[accuracy 0.9]", 0.9),
    ("(accuracy=0.9)", 0.9),
    ("INFO:root:accuracy: 0.9", 0.9),
    ("accuracy: 0.9 (0.8)", 0.9),
    ("accuracy: 0.9(0.8)", 0.9),
    ("accuracy: 0.9 ± 0.1", 0.9),
    ("accuracy: 0.9±0.1", 0.9),
    ("accuracy: 0.9+0.1", 0.9),
    ("accuracy: 0.9+/-0.1", 0.9),
    ("accuracy: 0.9!", 0.9),
    ("accuracy: 0.9*", 0.9),
    ("accuracy: 0.9...", 0.9),
    ("accuracy: 0.9 - loss: 0.1", 0.9),
    ("accuracy: 0.9 / loss: 0.1", 0.9),
    ("accuracy: 0.9: a new best", 0.9),
    ("\x1b[32maccuracy\x1b[0m: \x1b[1;31m0.9\x1b[0m", 0.9),
    ("\x1b]8;;http://x\x07accuracy\x1b]8;;\x07: 0.9", 0.9),
    ("\x08\x08accuracy: 0.9\x08\x08", 0.9),
    ("\x00accuracy: 0.9\x00", 0.9),
    # several values in a line
    ("train accuracy: 0.95 | val accuracy: 0.9", 0.9),
    ("accuracy: 0.9 (best accuracy: 0.95)", 0.9),
    ("Best accuracy: 0.95, accuracy: 0.9", 0.9),
    ("best accuracy: 0.95", 0.95),
    # objects
    ('{"accuracy": 0.9}', 0.9),
    ("{'accuracy': 0.9, 'loss': nan}", 0.9),
    ('METRIC {"accuracy": 0.9}', 0.9),
    ("2024-01-02 10:11:12,123 INFO {'accuracy': np.float32(0.9), 'epochs': [1, 2]} done", 0.9),
    ('{"a": {"b": [{"c": "}"}]}, "accuracy": 0.9}', 0.9),
    ('[{"accuracy": 0.8}, {"accuracy": 0.9}]', 0.9),
    ('{"accuracy": "0.9"}', 0.9),
    ('{"accuracy": 0.9', 0.9),
    ("{accuracy: 0.9}", 0.9),
    ("{'a': 1} accuracy: 0.9 {'b': 2}", 0.9),
    ('{"level": "INFO", "message": "epoch 1\\naccuracy: 0.9\\n"}', 0.9),
    ('{"level": "INFO", "message": "\\"accuracy\\": 0.9"}', 0.9),
    # not a number, or only a part of one
    ("accuracy: 1.2.3", None),
    ("accuracy: 1..2", None),
    ("accuracy: 2024-01-02", None),
    ("accuracy: 2024/01/02", None),
    ("accuracy: 12:30", None),
    ("accuracy: 0.91abc", None),
    ("accuracy: 0.91_", None),
    ("accuracy: 35ms", None),
    ("accuracy: 9905/10000 (99%)", None),
    ("accuracy: 9905 / 10000", None),
    ("accuracy: 0,91", None),
    ("accuracy: 1,2", None),
    ("accuracy: 1,2345", None),
    ("accuracy: 0.5,0.6", None),
    ("accuracy: 0.9-0.95", None),
    ("accuracy: 1e", None),
    ("accuracy: 1_000", None),
    ("accuracy: 91% -> 92%", None),
    ("accuracy: 91%/93%", None),
    ("accuracy: 91%-93%", None),
    ("accuracy: 91.5% - 3s", 91.5),
    ("accuracy: 0.9 \u21d2 0.95", None),
    ("accuracy: 0.9\u20140.95", None),
    ("accuracy: 0.9\u20260.95", None),
    ("accuracy: 1\u20442", None),
    ("accuracy: 1\u066b5", None),
    ("accuracy: 1.5\u207b\u00b3", None),
    ("accuracy: 1.5 E-03", None),
    (r"accuracy: 1.5 \times 10^{-3}", None),
    ("accuracy: INFINITY", math.inf),
    # a terminal shows what is written last
    ("accuracy: 0.90\b\b\b\b0.95", 0.95),
    ("accuracy: 0.9\b\b\b", 0.9),
    ("\b\baccuracy: 10\b\b9", 90.0),
    # a percentage of a progress bar
    ("accuracy:  48% 45/93 [=====     ] 3s", None),
    ("accuracy: 91.5% 45/93", 91.5),
    ("accuracy: 0.9 | max. accuracy: 0.95", 0.9),
    ("accuracy: 0x1F", None),
    ("accuracy: 1+2j", 1.0),
    ("accuracy: 2j", None),
    ("accuracy: '0.9 or so'", None),
    ("accuracy: info", None),
    ("accuracy: infinite", None),
    ("accuracy: nano", None),
    ("accuracy: none", None),
    ("accuracy: -", None),
    ("accuracy is 0.9", None),
    ("accuracy 5: 0.9", None),
    ("accuracy 5 = 0.9", None),
    ('{"accuracy": true}', None),
    ('{"accuracy": null}', None),
    ('{"accuracy": [0.9]}', None),
    ('{"train": {"accuracy": 0.9}}', None),
    # another name
    ("val_accuracy: 0.9", None),
    ("accuracy_score: 0.9", None),
    ("val-accuracy: 0.9", None),
    ("val/accuracy: 0.9", None),
    ("val.accuracy: 0.9", None),
    ("accuracy@5: 0.9", None),
    ("accuracy/val: 0.9", None),
    ("accuracy.val: 0.9", None),
    ("accuracy top5: 0.9", None),
    ("accuracy0.9", None),
    ("accuracy-0.9", None),
    ("balancedaccuracy: 0.9", None),
    ("éaccuracy: 0.9", None),
    ("Accuracy: 0.9", None),
    ("--accuracy=0.9", None),
    ("$accuracy=0.9", None),
    ("runs/accuracy/0.9", None),
    ("", None),
]


@pytest.mark.parametrize(("line", "value"), ACCURACY)
def test_a_metric_in_a_line(line: str, value: float | None) -> None:
    expected: Found = [] if value is None else [(None, {"accuracy": value})]
    assert find(line + "\n", "accuracy", step=None) == expected


@pytest.mark.parametrize("line", ["accuracy: nan", "accuracy: -NaN", "{'accuracy': nan}"])
def test_nan_is_a_number(line: str) -> None:
    [(_, values)] = find(line, "accuracy")
    assert math.isnan(values["accuracy"])


@pytest.mark.parametrize(
    ("line", "names", "values"),
    [
        ("mAP@0.5: 0.6, mAP@0.5:0.95: 0.4", ["mAP@0.5"], {"mAP@0.5": 0.6}),
        (
            "mAP@0.5: 0.6, mAP@0.5:0.95: 0.4",
            ["mAP@0.5", "mAP@0.5:0.95"],
            {"mAP@0.5": 0.6, "mAP@0.5:0.95": 0.4},
        ),
        ("mAP@0.5:0.95: 0.4", ["mAP@0.5"], None),
        ("val-loss=1 val/acc=2 top-1: 3", ["val-loss", "val/acc", "top-1"], None),
        ("R²: 0.5, f1 (macro): 0.6", ["R²", "f1 (macro)"], {"R²": 0.5, "f1 (macro)": 0.6}),
        ("précision: 0.5", ["précision"], {"précision": 0.5}),
        ('{"pr\\u00e9cision": 0.5}', ["précision"], {"précision": 0.5}),
        ("val  accuracy: 0.9", ["val accuracy"], {"val accuracy": 0.9}),
        ("val accuracy: 0.9", ["accuracy", "val accuracy"], {"val accuracy": 0.9}),
        ("val accuracy: 0.9", ["accuracy"], {"accuracy": 0.9}),
        ("val_accuracy: 0.9", ["accuracy", "val_accuracy"], {"val_accuracy": 0.9}),
        ('{"val": {"accuracy": 0.9}}', ["val.accuracy"], {"val.accuracy": 0.9}),
        ('{"val.accuracy": 0.9}', ["val.accuracy"], {"val.accuracy": 0.9}),
        ("val.accuracy=0.9", ["val.accuracy"], {"val.accuracy": 0.9}),
        ("{'val': {'top.1': {'acc': 1}}}", ["val.top.1.acc"], {"val.top.1.acc": 1.0}),
        ("valid_0's auc: 0.9", ["auc"], {"auc": 0.9}),
        ("valid_0's auc: 0.9", ["valid_0's auc"], {"valid_0's auc": 0.9}),
        ('{"a\\"b": 1}', ['a"b'], {'a"b': 1.0}),
        ("a.*b: 1 axxb: 2", ["a.*b"], {"a.*b": 1.0}),
        ("top 5 0.9", ["top", "top 5"], {"top 5": 0.9}),
        ("{'x': [1, (2, 3), 4], 'val': {'acc': 1}}", ["val.acc"], {"val.acc": 1.0}),
        ("accuracy=1 loss=2", ["loss", "accuracy"], {"accuracy": 1.0, "loss": 2.0}),
    ],
)
def test_names(line: str, names: Sequence[str], values: dict[str, float] | None) -> None:
    if values is None and len(names) > 1:
        values = {name: float(i) for i, name in enumerate(names, 1)}
    assert find(line, *names) == ([] if values is None else [(None, values)])


# -- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("epoch=3 loss=1", 3),
        ("epoch: 3 loss=1", 3),
        ("Epoch 3/10 - loss: 1", 3),
        ("EPOCH 3 loss=1", 3),
        ("[epoch 3] loss=1", 3),
        ("[Epoch 003/010] loss=1", 3),
        ("Epoch[3/10] loss=1", 3),
        ("Epoch [3] loss=1", 3),
        ("Epoch: [ 3][10/500] loss=1", 3),
        ("Epoch #3 loss=1", 3),
        ("epoch 3: loss=1", 3),
        ("epoch 1,000: loss=1", 1000),
        ("epoch np.int64(3) loss=1", 3),
        ('{"epoch": 3, "loss": 1}', 3),
        ('{"loss": 1, "Epoch": "3"}', 3),
        ("{'loss': 1, 'epoch': 2.75}", 2),
        ("loss=1 epoch=3", 3),
        ("epoch 3: loss=1, the best was epoch 2", 3),
        ("Epoch 3/10\nloss=1", 3),
        ("Epoch 2/10\n\nEpoch 3/10\nsome line\nloss=1", 3),
        ("Epoch 3/10\nloss=1\nEpoch 4/10", 3),
        ('{"epoch": 3}\nloss=1', 3),
        ("epoch 3\nthe epoch ends\nloss=1", 3),
        ("Epoch 3/10\rloss=1", 3),
        ("loss=1", None),
        ("epochs=3 loss=1", None),
        ("num_epoch=3 loss=1", None),
        ("epoch nan loss=1", None),
        ("epoch 1e300 loss=1", None),
        ("epoch 3x loss=1", None),
        ("Epoch 3\nSaving epoch=05-acc=0.91.ckpt\nloss=1", 3),
        ("Epoch 3\nEpoch: 12.3 s\nloss=1", 3),
        ("epoch=3-acc=0.91 loss=1", 3),
        ("epoch: 1.5 ms=2 loss=1", 1),
        ("epoch 1.2.3 loss=1", None),
        ("loss=1\nepoch=3", None),
    ],
)
@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_the_step_of_a_line(text: str, step: int | None, chunk: int) -> None:
    assert find(text, "loss", chunk=chunk) == [(step, {"loss": 1.0})]


def test_a_step_far_back_is_remembered() -> None:
    text = "Epoch 7\n" + "nothing of the kind\n" * 1000 + "loss=1\nloss=2\n"
    assert find(text, "loss", chunk=300) == [(7, {"loss": 1.0}), (7, {"loss": 2.0})]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("at.step", '{"at": {"step": 5}}'),
        ("at.step", "at.step=5"),
        ("progress.at", '{"progress": {"at": 5}}'),
        ("training step", "Training step 5"),
        ("étape", '{"\\u00e9tape": 5}'),
        ("étape", "Étape 5 / 9"),
    ],
)
def test_steps_with_other_names(name: str, line: str) -> None:
    text = f"{line}\nnothing\nloss: 1\n{line} loss: 2\n"
    assert find(text, "loss", step=name) == [(5, {"loss": 1.0}), (5, {"loss": 2.0})]


# -- redraws --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("loss=3\rloss=2\rloss=1\n", [(None, {"loss": 1.0})]),
        ("loss=3\rloss=2\rloss=1", [(None, {"loss": 1.0})]),
        ("loss=3 acc=1\rloss=2\n", [(None, {"loss": 2.0, "acc": 1.0})]),
        ("loss=3\r\nloss=2\r\n", [(None, {"loss": 3.0}), (None, {"loss": 2.0})]),
        ("loss=3\rno\nloss=2\n", [(None, {"loss": 3.0}), (None, {"loss": 2.0})]),
        (
            "epoch 1 loss=3\repoch 1 loss=2\repoch 2 loss=1\n",
            [(1, {"loss": 2.0}), (2, {"loss": 1.0})],
        ),
        ("epoch 1\rloss=3\repoch 2\rloss=2\r", [(1, {"loss": 3.0}), (2, {"loss": 2.0})]),
    ],
)
@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_redraws_of_a_line_are_one_record(text: str, found: Found, chunk: int) -> None:
    assert find(text, "loss", "acc", chunk=chunk) == found


def test_a_line_that_is_complete_is_found_at_once() -> None:
    extractor = Extractor(["loss"])
    assert extractor.feed(b"loss=1\nloss=", 5.0) == [Record(5.0, None, {"loss": 1.0})]
    assert extractor.feed(b"2", 6.0) == []
    assert extractor.finish(7.0) == [Record(7.0, None, {"loss": 2.0})]
    assert extractor.finish(8.0) == []


# -- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"accuracy is (\S+)", "accuracy is 0.9", [(None, {"a": 0.9})]),
        (r"Accuracy: \d+/\d+ \((.*?)\)", "Accuracy: 99/100 (99%)", [(None, {"a": 99.0})]),
        (r"(train|val) (?P<value>\S+)", "train 1\nval 2", [(None, {"a": 1.0}), (None, {"a": 2.0})]),
        (r"(?P<step>\d+) of 9: (\S+)", "3 of 9: 0.5", [(3, {"a": 0.5})]),
        (r"(?P<value>\S+) at (?P<step>\d+)", "0.5 at 4\n", [(4, {"a": 0.5})]),
        (r"^score (\S+)$", "x score 1\nscore 2\r\nscore 3 x\n", [(None, {"a": 2.0})]),
        (r"(?i)SCORE (\S+)", "score 2 Score 3", [(None, {"a": 3.0})]),
        (r"score (\S+)", "score high", []),
        (r"score (\d)?", "score ", []),
        (r"score\s+(\S+)", "score \n 3", []),
        (r"score (\S+)", "\x1b[1mscore \x1b[0m2\x1b[0m", [(None, {"a": 2.0})]),
        (r"score (\S+)", "score 1,234.5", [(None, {"a": 1234.5})]),
        (r"a=(\S+)\Z", "a=1 \na=2\n", [(None, {"a": 2.0})]),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_patterns(pattern: str, text: str, found: Found, chunk: int) -> None:
    assert find(text, patterns={"a": pattern}, chunk=chunk) == found


def test_names_and_patterns_together() -> None:
    text = "Epoch 1\nloss=1, a is 2\nloss=3\na is 4\na=5\n"
    assert find(text, "a", "loss", patterns={"a": r"a is (\S+)"}) == [
        (1, {"a": 2.0, "loss": 1.0}),
        (1, {"loss": 3.0}),
        (1, {"a": 4.0}),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": []}, "name at least one metric"),
        ({"names": [" "]}, "non-empty string"),
        ({"names": ["a\nb"]}, "control characters"),
        ({"names": [str(i) for i in range(257)]}, "257 metrics"),
        ({"names": ["a"], "step": ""}, "non-empty string"),
        ({"names": ["a"], "patterns": {"a": "a is"}}, r"metric 'a': .* needs a group"),
        ({"names": ["a"], "patterns": {"a": r"(?P<step>\d+)"}}, r"metric 'a': .* needs a group"),
        ({"names": ["a"], "patterns": {"a": "(a"}}, r"metric 'a': invalid pattern .*: missing \)"),
    ],
)
def test_what_cannot_be_found_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Extractor(**arguments)


# -- whole logs -----------------------------------------------------------------------------------

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


# -- any bytes, any chunks ------------------------------------------------------------------------

PIECES = [
    *(b"loss", b"acc", b"val_loss", b"epoch", b"Epoch ", b"best "),
    *(
        b"=",
        b": ",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"{",
        b"}",
        b"'",
        b'"',
        b"\\",
        b",",
        b"[",
        b"]",
        b"(",
    ),
    *(
        b"1",
        b"0.5",
        b"nan",
        b"-inf",
        b"1,234",
        b"e5",
        b"%",
        b"/10",
        b"\xff",
        b"\xc3",
        b"\x1b[1m",
        b"\x1b",
    ),
    *(b'{"loss": 1, "epoch": 2}', b"{'acc': tensor(0.5)}", b"loss=0.5 ", b"acc is 3 "),
]
streams = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=40).map(b"".join)
EXTRACTORS: list[dict[str, Any]] = [
    {"names": ["loss", "acc"], "step": "epoch"},
    {"names": ["loss"]},
    {"names": ["loss", "acc"], "patterns": {"acc": r"acc is\s+(\S+)"}, "step": "epoch"},
]


@settings(deadline=None)
@given(streams, st.lists(st.integers(0, 200), max_size=8), st.sampled_from(EXTRACTORS))
def test_it_does_not_matter_how_the_bytes_arrive(
    data: bytes, cuts: list[int], arguments: dict[str, Any]
) -> None:
    whole, parts = Extractor(**arguments), Extractor(**arguments)
    expected = whole.feed(data, 1.0) + whole.finish(1.0)
    found: list[Record] = []
    edges = [0, *sorted(cuts), max([len(data), *cuts])]
    for start, end in pairwise(edges):
        found += parts.feed(data[start:end], 1.0)
    assert found + parts.finish(1.0) == expected
    for record in expected:
        encode(record)


@given(st.binary(max_size=300), st.sampled_from(EXTRACTORS))
def test_any_bytes_will_do(data: bytes, arguments: dict[str, Any]) -> None:
    extractor = Extractor(**arguments)
    extractor.feed(data, 1.0)
    extractor.finish(1.0)
    metric_like_names(data, wanted="loss")


# -- size and speed -------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1000, 65_537, 1 << 20])
def test_the_rest_of_a_line_that_is_too_long_is_ignored(chunk: int) -> None:
    cut_through = b"x" * (MAX_LINE - 8) + b" loss=0.25"
    data = b"\n".join(
        [
            b"loss=1 " + b"x" * 200_000 + b" loss=2",
            b"x" * 200_000 + b" loss=3 epoch=8 " + b"x" * 99 + b" epoch=9",
            cut_through,
            b"loss=4",
        ]
    )
    assert find(data, "loss", chunk=chunk) == [(None, {"loss": 1.0}), (None, {"loss": 4.0})]


def test_a_line_without_an_end_takes_little_memory() -> None:
    data = b"x" * (1 << 20)
    extractor = Extractor(["accuracy"], step="epoch")
    tracemalloc.start()
    for _ in range(20):
        extractor.feed(data, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 << 20


@pytest.mark.parametrize("piece", [b"x" * 80, b"no metric in this line, epoch 3, number 4.5\n"])
def test_output_without_metrics_takes_little_time(piece: bytes) -> None:
    data = piece * ((1 << 20) // len(piece))
    extractor = Extractor(["accuracy", "val_loss"], step="epoch")
    start = time.process_time()
    for _ in range(20):
        extractor.feed(data, 1.0)
    assert time.process_time() - start < 3.0  # takes about 0.2


@pytest.mark.parametrize(
    "piece",
    [
        b"accuracy ",
        b'{"a":',
        b'{"a":[',
        b'\\"',
        b"'\"",
        b" ",
        b"1",
        b",111",
        b"-",
        b"accuracy{",
        b"[(",
        b"a%",
        b"a=",
        b"a:",
    ],
)
def test_no_line_takes_long(piece: bytes) -> None:
    line = b"accuracy {" + piece * (60_000 // len(piece)) + b"x\n"
    start = time.process_time()
    assert find(line, "accuracy") == []
    metric_like_names(line, wanted="accuracy")
    assert time.process_time() - start < 3.0  # takes less than 0.1


# -- names for a message --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted", "names"),
    [
        ("loss: 0.5\nval_accuracy=0.9", "accuracy", ["val_accuracy", "loss"]),
        ("Accuracy: 0.9 lr: 0.1", "accuracy", ["Accuracy", "lr"]),
        ('{"val": {"accuracy": 0.9}, "lr": 1}', "accuracy", ["val.accuracy", "lr"]),
        ("epoch: 3, time: 0.5, f1: 0.6", "", ["f1", "epoch", "time"]),
        ("line 3 of 10 took 5 s", "accuracy", []),
        ("2024-01-02 10:11:12,123 INFO started on 10.0.0.1, Python 3.8.18, pid 77", "accuracy", []),
        ("", "accuracy", []),
        ("a\x1b[1mcc: 0.5", "acc", ["acc"]),
    ],
)
def test_metric_like_names(text: str, wanted: str, names: list[str]) -> None:
    assert metric_like_names(text.encode(), wanted=wanted) == names


def test_metric_like_names_are_few_and_can_be_shown() -> None:
    text = (
        "".join(f"name_{i}: 0.5\n" for i in range(5000))
        + '{"a\\ud800b": 1, "'
        + "x" * 300
        + '": 1}'
    )
    assert len(metric_like_names(text.encode())) == 20
    assert len(metric_like_names(text.encode(), limit=3)) == 3
    assert all(name.startswith("name_") for name in metric_like_names(text.encode(), limit=10_000))


@pytest.mark.parametrize("log", [case[0] for case in LOG_CASES])
def test_the_names_are_names_that_work(log: str) -> None:
    data = (LOGS / f"{log}.txt").read_bytes()
    names = metric_like_names(data, wanted="accuracy")
    assert names
    for name in names:
        assert find(data, name) != [], name
