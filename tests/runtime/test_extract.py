"""Extraction of metrics from the output of scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tests.runtime.reading import Found, find
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import Record

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


@pytest.mark.parametrize(
    "text",
    [
        "0.9 to 0.95",
        "90% to 95%",
        "3 up to 4",
        "1.2 million",
        "3 Billion rows",
        "1.2 M",
        "1.2 k, a",
    ],
)
def test_ranges_and_scales_are_not_read_in_part(text: str) -> None:
    assert find(f"loss: {text}", "loss") == []


@pytest.mark.parametrize("text", ["0.5 to be", "0.5 and more", "0.5 M 3", "0.5 B: 4", "0.5 T=3"])
def test_words_after_a_number_are_not_part_of_it(text: str) -> None:
    assert find(f"loss: {text}", "loss") == [(None, {"loss": 0.5})]


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
        ("Epoch 3\nepoch 5 checkpoint loaded\nloss=1", 3),
        ("Epoch 3\nEpoch 9 restored\nloss=1", 3),
        ("Epoch 3\nthe epoch 9 weights were restored\nloss=1", 3),
        ("Epoch 3\ncheckpoint 'x' (epoch 7) loaded\nloss=1", 3),
        ("Epoch 3\nload epoch-7\nloss=1", 3),
        ("Epoch 3\nepoch 1 to 5\nloss=1", 3),
        ("epoch 2\nepoch 3 checkpoint saved\nloss=1", 3),
        ("Epoch 3: restoring the order\nloss=1", 3),
        ("epoch 2\nepoch 3 stored\nloss=1", 3),
        ("Epoch-3\nloss=1", 3),
        ("[Epoch-03/10] loss: 1", 3),
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


@pytest.mark.parametrize(
    "text",
    [
        "- accuracy: 0.9\n  epoch: 1\n- accuracy: 0.91\n  epoch: 2\n",
        "- loss: 3\n  accuracy: 0.9\n  epoch: 1\n- loss: 4\n  accuracy: 0.91\n  epoch: 2\n",
        "runs:\n  - accuracy: 0.9\n    epoch: 1\n  - accuracy: 0.91\n    epoch: 2\n",
        "a:\n  - b: 3\n    accuracy: 0.9\n    epoch: 1\n"
        "  - b: 4\n    accuracy: 0.91\n    epoch: 2\n",
        "runs:\n  - epoch: 1\n    accuracy: 0.9\n  - epoch: 2\n    accuracy: 0.91\n",
        "[result]\naccuracy = 0.9\nepoch = 1\n\n[result]\nloss=1\naccuracy = 0.91\nepoch = 2\n",
        "<r>\n  <accuracy>0.9</accuracy>\n  <epoch>1</epoch>\n</r>\n"
        "<r>\n  <accuracy>0.91</accuracy>\n  <epoch>2</epoch>\n</r>\n",
        "<r><epoch>1</epoch><accuracy>0.9</accuracy></r>\n"
        "<r><accuracy>0.91</accuracy><epoch>2</epoch></r>\n",
        '[\n {\n  "accuracy": 0.9,\n  "epoch": 1\n },\n'
        ' {\n  "accuracy": 0.91,\n  "epoch": 2\n }\n]\n',
    ],
)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_the_step_below_a_metric_in_its_item(text: str, chunk: int) -> None:
    found = [(1, {"accuracy": 0.9}), (2, {"accuracy": 0.91})]
    pattern = {"accuracy": r"accuracy\W+([\d.]+)"}
    assert find(text, "accuracy", chunk=chunk) == found
    assert find(text, patterns=pattern, chunk=chunk) == found


def test_settings_outside_of_a_section_have_the_step_above() -> None:
    text = "epoch = 1\naccuracy = 0.9\nepoch = 2\naccuracy = 0.91\n"
    assert find(text, "accuracy") == [(1, {"accuracy": 0.9}), (2, {"accuracy": 0.91})]


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
