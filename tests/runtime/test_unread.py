"""Explanations of metrics that were not found."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import MAX_LINE
from tune_jobs.runtime.unread import explain_unread, metric_like_names

BAR = "\u2588" * 10
YOLO = (
    f"     Class  Images  Instances  Box(P     R  mAP50  mAP50-95): 100%|{BAR}| 4/4 [00:01<00:00]\n"
    "       all     128        929   0.64  0.53  0.605     0.446\n"
)
FASTAI = "epoch     train_loss  accuracy  time    \n0         0.51        0.81      00:10   \n"
PANDAS = "   epoch  loss   acc\n0      1   0.5  0.80\n1      2   0.4  0.85\n"
MARKDOWN = "| epoch | loss | acc |\n|---|---|---|\n| 1 | 0.5 | 0.9 |\n"


@pytest.mark.parametrize(
    ("log", "name", "reason", "found"),
    [
        ("Epoch 1: accuracy is 0.91 (35ms)", "accuracy", "'is' is between", [(1, 0.91)]),
        ("accuracy is 0,91 (35ms)", "accuracy", "'is' is between", [(None, 0.91)]),
        ("accuracy: 0,91", "accuracy", "'0,91' has a decimal comma", [(None, 0.91)]),
        ("accuracy of the network on 10000 images: 91 %", "accuracy", "'of the", [(None, 91.0)]),
        ("accuracy: 9905/10000 (99%)", "accuracy", "'9905/10000' is not a num", [(None, 99.0)]),
        ("accuracy: 0.5 -> 0.6", "accuracy", "'0.5' is not a number alone", [(None, 0.6)]),
        ("accuracy [0.91, 0.8]", "accuracy", "'[' is between", [(None, 0.91)]),
        ("accuracy ........ 0.91", "accuracy", "'........' is between", [(None, 0.91)]),
        ("accuracy is 1,234.5", "accuracy", "'is' is between", [(None, 1234.5)]),
        ("accuracy is 12,345", "accuracy", "'is' is between", [(None, 12345.0)]),
        ("accuracy: 1.234,5", "accuracy", "'1.234,5' has a decimal comma", [(None, 1234.5)]),
        ("accuracy: 1 234,5", "accuracy", "'1 234,5' has a decimal comma", [(None, 1234.5)]),
        ("accuracy 0.5 -> 0.6 (+0.1)", "accuracy", "'0.5' is not a num", [(None, 0.6)]),
        ("accuracy is 0.9,loss is 0.3", "accuracy", "'is' is between", [(None, 0.9)]),
        ("accuracy is inf", "accuracy", "'is' is between", [(None, math.inf)]),
        ("got 91.5% accuracy", "accuracy", "before the name", [(None, 91.5)]),
        ("Epoch 2: 0.91 of accuracy", "accuracy", "before the name", [(2, 0.91)]),
        ("accuracy: Tensor(shape=[1], [0.5])", "accuracy", "is between", [(None, 0.5)]),
        ("accuracy [##--] 0.91", "accuracy", "'[##--]' is between", [(None, 0.91)]),
        (YOLO, "mAP50-95", "is the header of a column", [(None, 0.446)]),
        (FASTAI, "accuracy", "is the header of a column", [(0, 0.81)]),
        (PANDAS, "acc", "is the header of a column", [(1, 0.8), (2, 0.85)]),
        (MARKDOWN, "acc", "is the header of a column", [(1, 0.9)]),
    ],
)
def test_the_pattern_of_an_explanation_reads_the_metric(
    log: str, name: str, reason: str, found: list[tuple[int | None, float]]
) -> None:
    assert not Extractor([name], step="epoch").feed(f"{log}\n".encode(), 1.0)
    explanation = explain_unread(log.encode(), name, step="epoch")
    assert reason in explanation
    assert log.strip().splitlines()[0].strip()[:20] in explanation
    pattern = re.search(r"set its pattern to '(.*)'$", explanation)
    assert pattern is not None
    extractor = Extractor([name], {name: pattern[1]}, "epoch")
    records = extractor.feed(f"{log}\n".encode(), 1.0) + extractor.finish(1.0)
    assert [(record.step, record.values[name]) for record in records] == found


@pytest.mark.parametrize(
    ("log", "explanation"),
    [
        ("", "nothing was printed"),
        ("\n \n", "nothing was printed"),
        ("hello\n", "no name with a number was printed; the last line is 'hello'"),
        ("loss: 0.5\n", "numbers were printed for: loss"),
        ("Accuracy: 0.9\n", "the line 'Accuracy: 0.9' has 'Accuracy' instead: name the metric"),
        ("val_accuracy=0.9\n", "has 'val_accuracy' instead: name the metric 'val_accuracy'"),
        (f"accuracy: 100%|{BAR}| 4/4\n", "no number follows 'accuracy' in 'accuracy: 100%|"),
        (f"accuracy |{BAR}| 100/100 [100%] in 3.1s (32.2/s)\n", "only a progress bar follows"),
        ("accuracy  [#####-----]   50%  00:00:10\n", "only a progress bar follows 'accuracy' in"),
        ("accuracy \u2501\u2501\u2501\u2578\u2501 66% 0:00:10\n", "only a progress bar follows"),
        ("accuracy: Tensor(shape=[1, 5], dtype=float32,\n", "no number alone follows"),
        ("accuracy:\n  0.91\n", "is in the line below it, '0.91': print both in one line"),
        ("accuracy: 1 234.5\n", "no number alone follows 'accuracy' in 'accuracy: 1 234.5'"),
        ("accuracy: 1.5D-03\n", "no number alone follows"),
        ("accuracy: 0x1F\n", "no number alone follows"),
        ("accuracy: 1.#QNAN\n", "no number alone follows"),
        ("accuracy: 1.5 x 10^-3\n", "no number alone follows"),
        ("accuracy is 12:30\n", "no number alone follows"),
        ("accuracy|loss|f1\n", "no number alone follows"),
        ('{"val": {"accuracy": 0.9}}\n', "name the metric 'val.accuracy'"),
        ("the accuracy was good\n", "no number follows 'accuracy' in 'the accuracy was good'"),
        ("x" * MAX_LINE + " accuracy: 1\n", "is printed after the first 65536 bytes of a line"),
        ("accuracy\u001b[1m is\u0007 good\n", "in 'accuracy is  good'"),
    ],
)
def test_other_explanations(log: str, explanation: str) -> None:
    assert explanation in explain_unread(log.encode(), "accuracy")


def test_output_in_utf_16() -> None:
    assert "PYTHONIOENCODING" in explain_unread("accuracy: 1\n".encode("utf-16"), "accuracy")


def test_a_pattern_that_matches_nothing_is_named() -> None:
    explanation = explain_unread(b"accuracy is 0.9\n", "acc", r"acc=(\S+)")
    assert explanation.startswith(r"the pattern 'acc=(\\S+)' of 'acc' matches no number; ")


def test_a_pattern_that_captures_no_number_is_quoted() -> None:
    explanation = explain_unread(b"epoch 3 acc 0.5\n", "acc", r"(acc) (\S+)")
    assert "captures 'acc' in 'epoch 3 acc 0.5', which is not a number" in explanation


def test_a_pattern_that_is_not_needed_is_to_be_removed() -> None:
    explanation = explain_unread(b"epoch 3 acc 0.5\n", "acc", r"acc=(\S+)")
    assert "matches no number; without a pattern 'acc' is read, such as 0.5" in explanation


@given(st.binary(max_size=300), st.sampled_from(["accuracy", "a", "|", "(", "\\"]))
def test_any_log_can_be_explained(log: bytes, name: str) -> None:
    for data in (log, b"accuracy a | ( \\ " + log, log.replace(b"\n", b" a ")):
        assert explain_unread(data, name, step="epoch").isprintable()


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


@pytest.mark.parametrize("separator", [",", ";", "\t", " , "])
def test_a_pattern_for_csv_in_the_output(separator: str) -> None:
    rows = [["Epoch", "loss", "acc"], ["1", "0.5", "0.9"], ["2", "", "0.91"]]
    log = "".join(separator.join(row) + "\n" for row in rows).encode()
    explanation = explain_unread(log, "acc", step="epoch")
    pattern = re.search(r"above rows such as .*: set its pattern to '(.*)'$", explanation)
    assert pattern is not None
    extractor = Extractor(["acc"], {"acc": pattern[1]}, "epoch")
    records = extractor.feed(log, 1.0)
    assert [(record.step, record.values) for record in records] == [
        (1, {"acc": 0.9}),
        (2, {"acc": 0.91}),
    ]
