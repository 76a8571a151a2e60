"""Metrics files that scripts write."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.runtime import files
from tune_jobs.runtime.files import read_metrics_file
from tune_jobs.runtime.records import encode

Found = list[tuple[int | None, dict[str, float]]]
NAMES = ["accuracy", "val.loss"]


def read(
    file: str,
    content: str | bytes,
    names: Sequence[str] = NAMES,
    step: str | None = "epoch",
    live: bool = False,
    patterns: Mapping[str, str] | None = None,
) -> tuple[Found, str | None]:
    """Read a file with this name and content; return pairs of step and values."""
    Path(file).write_bytes(content.encode() if isinstance(content, str) else content)
    records, problem = read_metrics_file(file, names, step=step, live=live, patterns=patterns)
    return [(r.step, dict(r.values)) for r in records], problem


def without_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make PyYAML unavailable."""
    monkeypatch.setitem(sys.modules, "yaml", None)


ONE: Found = [(None, {"accuracy": 0.9})]
TWO: Found = [(1, {"accuracy": 0.8}), (2, {"accuracy": 0.9, "val.loss": 0.5})]
GOOD: list[tuple[str, str, Found]] = [
    ("m.json", '{"accuracy": 0.9}', ONE),
    ("m.json", '\ufeff{"accuracy": "0.9", "note": "x", "list": [1]}', ONE),
    (
        "m.json",
        '{"accuracy": 0.9, "val": {"loss": 1}}',
        [(None, {"accuracy": 0.9, "val.loss": 1.0})],
    ),
    ("m.json", '{"accuracy": 0.9, "val.loss": null, "epoch": 3}', [(3, {"accuracy": 0.9})]),
    ("m.json", '{"accuracy": Infinity}', [(None, {"accuracy": math.inf})]),
    (
        "m.json",
        '[{"epoch": 1, "accuracy": 0.8}, {"epoch": 2, "accuracy": 0.9, "val": {"loss": 0.5}}]',
        TWO,
    ),
    ("m.json", '{"epoch": [1, 2], "accuracy": [0.8, 0.9], "val": {"loss": [null, 0.5]}}', TWO),
    ("m.json", '{"accuracy": [0.8, 0.9], "lr": [1]}', [(None, {"accuracy": 0.8}), *ONE]),
    (
        "m.json",
        '{"epoch": 1, "accuracy": 0.8}\n{"epoch": 2, "accuracy": 0.9, "val.loss": 0.5}\n',
        TWO,
    ),
    (
        "m.jsonl",
        '{"epoch": 1, "accuracy": 0.8}\n\n{"epoch": 2, "accuracy": 0.9, "val": {"loss": 0.5}}',
        TWO,
    ),
    ("m.ndjson", '{"accuracy": 0.9}\r\n{"lr": 1}\r\n', ONE),
    ("m.csv", "epoch,accuracy,val.loss\n1,0.8,\n2,0.9,0.5\n", TWO),
    ("m.csv", 'epoch; "accuracy" ;val.loss\r\n1;0.8\r\n\r\n2;0.9;0.5', TWO),
    ("m.csv", "# epoch,accuracy\n1,0.8\n", [(1, {"accuracy": 0.8})]),
    ("m.csv", ",accuracy\n0,0.9\n", ONE),
    ("m.csv", "accuracy\n0.9\n", ONE),
    ("m.csv", "accuracy,lr\n0.9,1\naccuracy,lr\n0.9,1\n", ONE + ONE),
    ("m.csv", "epoch,accuracy\nnan,0.9\n", ONE),
    ("m.csv", "epoch,accuracy\nfirst,0.9\n", ONE),
    ("m.tsv", "epoch\taccuracy\tval.loss\n1\t0.8\t\n2\t0.9\t0.5\n", TWO),
    ("m.yaml", "accuracy: 0.9\nnote: hello\n", ONE),
    ("m.yaml", "# metrics\n---\naccuracy: 9e-1  # good\n'lr': '1'\n", ONE),
    ("m.yml", "- epoch: 1\n  accuracy: 0.8\n- epoch: 2\n  accuracy: 0.9\n  val.loss: 0.5\n", TWO),
    # Lightning's, with empty cells
    (
        "metrics.csv",
        "train_loss,epoch,step,accuracy\n0.5,0,9,\n,0,9,0.8\n",
        [(0, {"accuracy": 0.8})],
    ),
    # unknown suffixes
    ("metrics", '{"accuracy": 0.9}', ONE),
    ("m.txt", ' [{"accuracy": 0.9}]', ONE),
    (
        "m.txt",
        '{"epoch": 1, "accuracy": 0.8}\n{"epoch": 2, "accuracy": 0.9, "val.loss": 0.5}\n',
        TWO,
    ),
    ("m.txt", "epoch,accuracy,val.loss\n1,0.8,\n2,0.9,0.5\n", TWO),
    ("m.txt", "epoch 1\naccuracy=0.8\nEpoch 2: accuracy: 0.9, val.loss: 0.5", TWO),
    ("m.log", "trained, done\naccuracy 0.9\n", ONE),
]


@pytest.mark.parametrize(("file", "content", "found"), GOOD)
def test_good_files(file: str, content: str, found: Found) -> None:
    assert read(file, content) == (found, None)


@pytest.mark.parametrize(
    ("file", "content", "found"), [g for g in GOOD if g[0][-3:] in ("aml", "yml")]
)
def test_flat_yaml_is_read_without_pyyaml(
    file: str, content: str, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_yaml(monkeypatch)
    assert read(file, content) == (found, None)


def test_nested_yaml_is_read() -> None:
    text = "accuracy: .inf\nval:\n  loss: 0.5\n---\nval: {loss: 0.4}\n"
    assert read("m.yaml", text) == (
        [(None, {"accuracy": math.inf, "val.loss": 0.5}), (None, {"val.loss": 0.4})],
        None,
    )


@pytest.mark.parametrize(
    "text", ["val:\n  loss: 0.5\n", "a: 1\n- b: 2\n", "just text\n", "[1, 2]\n"]
)
def test_other_yaml_is_not_without_pyyaml(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_yaml(monkeypatch)
    found, problem = read("m.yaml", text)
    assert found == []
    assert problem is not None
    assert "PyYAML" in problem


@pytest.mark.parametrize(
    "line", ["a" + " " * 1_000_000 + "b", " " * 1_000_000 + "b", "a#" * 500_000]
)
def test_no_flat_yaml_takes_long(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_yaml(monkeypatch)
    assert read("m.yaml", line)[0] == []


BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)
)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("m.json", "", "invalid JSON"),
        ("m.json", '{"accuracy": 0.', "invalid JSON (incomplete?)"),
        ("m.json", "0.9", "neither an object nor a list"),
        ("m.json", "[" * 100_000, "recursion"),
        ("m.json", "[[1], 2]", "it has no 'accuracy', 'val.loss', and no other metrics"),
        ("m.json", '{"acuracy": 0.9, "lr": 1, "n": "x"}', "but: acuracy, lr"),
        ("m.json", '{"val": {"accuracy": 0.9}}', "but: val.accuracy"),
        ("m.json", '{"accuracy": true}', "'accuracy': 'True' (bool) is not a number"),
        ("m.json", '{"accuracy": {"mean": 1}}', "but: accuracy.mean"),
        ("m.json", '{"\\ud800\\n": 1}', "but: ??"),
        ("m.json", b"\xff\xfe\x00\x00", "invalid JSON"),
        ("m.json", '{"accuracy": ' + "9" * 10_000 + "}", ""),
        ("m.jsonl", "nothing\n", "line 1 is not a JSON object: 'nothing'"),
        ("m.csv", "", "and no other metrics"),
        ("m.csv", "1,2\n3,4\n", "but: 1, 2"),
        ("m.csv", "Accuracy,lr\n0.9,1\n", "but: Accuracy, lr"),
        ("m.csv", "accuracy\nhigh\n", "'accuracy': the string 'high' is not a number"),
        ("m.csv", "accuracy,x\n0.9%,1", "'accuracy': the string '0.9%' is not a number"),
        ("m.csv", 'accuracy,x\n,"' + "x" * 200_000, "field larger than field limit"),
        ("m.yaml", "a: [", "invalid YAML"),
        ("m.yaml", "accuracy: 2024-99-99", ""),
        ("m.yaml", "? {a: 1}\n: 2", "invalid YAML"),
        ("m.yaml", BOMB, "it has an alias"),
        ("m.yaml", "[" * 100_000, "nested deeper than 64"),
        ("m.yaml", "- x: 1\n" * 100_000, "characters of YAML"),
        ("m.yaml", "", "it is neither|and no other metrics"),
        ("m.txt", "Accuracy: 0.9\n", "but: Accuracy"),
        ("m.txt", "", "and no other metrics"),
    ],
)
def test_bad_files_are_described(file: str, content: str | bytes, problem: str) -> None:
    found, message = read(file, content)
    assert found == []
    assert message is not None
    assert message.startswith(f"the metrics file {file}: ")
    assert any(part in message for part in problem.split("|"))
    assert len(message) < 1100
    assert message.isprintable()


@pytest.mark.parametrize(
    ("file", "content", "found", "problem"),
    [
        ("m.jsonl", '{"accuracy": 0.9}\noops\n{"accuracy": 0.9}\n', ONE + ONE, "line 2 is not"),
        ("m.csv", "epoch,accuracy\n1,high\n,0.9\n", ONE, "the string 'high'"),
        ("m.json", '[{"accuracy": [1]}, {"accuracy": 0.9}]', ONE, "'[1]' (list) is not a number"),
    ],
)
def test_what_is_bad_does_not_spoil_the_rest(
    file: str, content: str, found: Found, problem: str
) -> None:
    records, message = read(file, content)
    assert records == found
    assert message is not None
    assert problem in message


@pytest.mark.parametrize(
    ("file", "content", "while_live", "at_the_end"),
    [
        ("m.csv", "accuracy\n0.9\n0.9", ONE, ONE + ONE),
        ("m.csv", "lr,accuracy\n1,0.9\n1,", ONE, ONE),
        ("m.jsonl", '{"accuracy": 0.9}\n{"accuracy": 0.9}', ONE, ONE + ONE),
        ("m.jsonl", '{"accuracy": 0.9}\n{"accu', ONE, ONE),
        ("m.json", '{"accuracy": 0.9}\n{"accu', ONE, ONE),
        ("m.json", '{"accuracy": 0.9}', ONE, ONE),
        ("m.txt", "accuracy: 0.9\naccuracy: 0.9", ONE, ONE + ONE),
    ],
)
def test_an_unfinished_last_line_waits_for_the_end(
    file: str, content: str, while_live: Found, at_the_end: Found
) -> None:
    assert read(file, content, live=True) == (while_live, None)
    assert read(file, content)[0] == at_the_end


def test_a_record_has_the_time_of_the_file() -> None:
    Path("m.json").write_text('{"accuracy": 0.9}')
    os.utime("m.json", (1.0, 1234.5))
    [record], _ = read_metrics_file("m.json", NAMES)
    assert record.time == 1234.5


def test_the_same_file_gives_equal_records_with_nan_too() -> None:
    Path("m.json").write_text('{"accuracy": NaN}')
    assert read_metrics_file("m.json", NAMES) == read_metrics_file("m.json", NAMES)


def test_no_file() -> None:
    found, problem = read_metrics_file("none.json", NAMES)
    assert (found, problem) == (
        [],
        "the metrics file none.json cannot be read: No such file or directory",
    )


def test_not_a_file() -> None:
    os.mkfifo("m.json")  # opening it would block
    assert read_metrics_file("m.json", NAMES)[1] == (
        "the metrics file m.json cannot be read: it is not a regular file"
    )


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE", 10)
    found, problem = read("m.json", '{"accuracy": 0.9}')
    assert found == []
    assert problem is not None
    assert "more than 10 bytes" in problem


def test_names_that_are_there_are_few_and_the_closest() -> None:
    columns = [f"column_{i}" for i in range(500)] + ["acc"]
    _, problem = read(
        "m.csv", ",".join(columns) + "\n" + ",".join("1" * len(columns)), ["accuracy"]
    )
    assert problem is not None
    assert "but: acc, column" in problem
    assert problem.count("column_") == 19


@pytest.mark.parametrize("names", [[], [""], ["a\nb"]])
@pytest.mark.parametrize("file", ["m.json", "m.csv", "m.txt"])
def test_odd_names_are_only_not_there(names: list[str], file: str) -> None:
    assert read(file, "x: 1\n", names)[0] == []


def test_a_large_table_is_read() -> None:
    row = ",".join(["0.123456"] * 20)
    text = ",".join(["epoch", "accuracy", *map(str, range(18))]) + "\n" + f"{row}\n" * 10_000
    assert len(read("m.csv", text)[0]) == 10_000


SUFFIXES = ["json", "jsonl", "yaml", "csv", "tsv", "txt", ""]
PIECES = [
    *('{"accuracy": 1}', '{"', '"', "accuracy", "epoch", ":", ",", "\n", "- ", "[", "]", "{", "}"),
    *(
        "1",
        "nan",
        "\t",
        "#",
        "&a",
        "*a",
        "\x00",
        "\ud7ff",
        "'",
        "  ",
        "0.5",
        "!!python/none x",
        "|",
    ),
]
contents = st.lists(st.sampled_from(PIECES), max_size=25).map(lambda p: "".join(p).encode())


@given(contents | st.binary(max_size=100), st.sampled_from(SUFFIXES), st.booleans())
def test_any_content_will_do(content: bytes, suffix: str, live: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"m.{suffix}")
        path.write_bytes(content)
        records, problem = read_metrics_file(str(path), NAMES, step="epoch", live=live)
    assert records or problem
    for record in records:
        encode(record)


# -- patterns -------------------------------------------------------------------------------------

ITEMS = {
    "list.yaml": "- accuracy: 0.8\n  epoch: 1\n- accuracy: 0.9\n  epoch: 2\n  loss: 1\n",
    "flow.yaml": "[{accuracy: 0.8, epoch: 1}, {accuracy: 0.9,\n epoch: 2}]",
    "nested.yaml": "runs:\n  - val:\n      accuracy: 0.8\n    epoch: 1\n  # then\n"
    "  - val: {accuracy: 0.9}\n    epoch: 2\n",
    "documents.yaml": "accuracy: 0.8\nepoch: 1\n---\naccuracy: 0.9\nepoch: 2\n",
    "text.yaml": "- 'Epoch 1: accuracy 0.8'\n- 'Epoch 2: accuracy 0.9'\n",
    "lines.json": '[\n {"accuracy": 0.8,\n  "epoch": 1}, {"val":\n'
    ' {"accuracy": 0.9},\n "epoch": 2}\n]',
    "line.json": '[{"accuracy": 0.8, "epoch": 1}, {"a}": "{", "accuracy": 0.9, "Epoch": "2"}]',
    "nested.json": '{"runs": [{"accuracy": 0.8, "epoch": 1},'
    ' {"folds": [{"accuracy": 0.9}], "epoch": 2}]}',
    "rows.jsonl": '{"accuracy": 0.8, "epoch": 1}\n{"accuracy": 0.9, "epoch": 2}\n',
    "rows.csv": "Epoch,name,value\n1,accuracy,0.8\n2,accuracy,0.9\n",
    "rows": "epoch,name,accuracy\n1,accuracy,0.8\n2,accuracy,0.9\n",
    "log.txt": "- accuracy: 0.8\n  epoch: 1\n- accuracy: 0.9\n  epoch: 2\n",
}


@pytest.mark.parametrize("file", ITEMS)
def test_a_pattern_has_the_step_of_its_item(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pattern = {"accuracy": r"accuracy\W+([\d.]+)"}
    found = [(1, {"accuracy": 0.8}), (2, {"accuracy": 0.9})]
    assert read(file, ITEMS[file], ["accuracy"], patterns=pattern) == (found, None)
    if file == "list.yaml":
        without_yaml(monkeypatch)
        assert read(file, ITEMS[file], ["accuracy"], patterns=pattern) == (found, None)


def test_a_pattern_sees_the_line_with_the_dash_of_its_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pattern = {"accuracy": r"^- accuracy: (\S+)"}
    assert read("list.yaml", ITEMS["list.yaml"], ["accuracy", "loss"], patterns=pattern)[0] == [
        (2, {"loss": 1.0, "accuracy": 0.9}),
        (1, {"accuracy": 0.8}),
    ]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("m.csv", "Epoch,accuracy\n1,0.8\n2,0.9\n"),
        ("m.json", '{"EPOCH": [1, 2], "accuracy": [0.8, 0.9]}'),
        ("m.yaml", "- {Epoch: 1, accuracy: 0.8}\n- {Epoch: 2, accuracy: 0.9}\n"),
    ],
)
def test_the_case_of_the_step_may_differ(
    file: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(file, content)[0] == [(1, {"accuracy": 0.8}), (2, {"accuracy": 0.9})]
