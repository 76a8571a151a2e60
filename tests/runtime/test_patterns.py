"""Regular expressions of users."""

from __future__ import annotations

import pytest

from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.patterns import MAX_SEARCHED, UserPattern


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (r"(a+)+b(\d)", "b" + "a" * 5000),
        (r"(a|aa)+b(\d)", "b" + "a" * 5000),
        (r"(?:\s*\w+\s*)*:(\d)", ": " + "word " * 1000),
        (r"(\w+\s?)*=(\d)", "= " + "word " * 1000),
        (r".*.*.*.*.*x(\d)", "x" + "=" * 5000),
        ("a?" * 28 + r"(\d)", "a" * 5000),
        ("(?:a|a)" * 28 + r"(\d)", "a" * 5000),
        (r"(?:(?:a?){16}){16}(\d)", "a" * 5000),
        (r"(?:a?){40}a{40}(\d)", "a" * 39),
        (r"(?:a?){60000}(\d)", "a" * 50),
        (r"(?:a{0,5000}){0,5000}(\d)", "a" * 4000),
        (r"(?:|){40}(\d)", ""),
        (r"^(a+)+$", "a" * 40 + "b"),
        (r"(\d)?(?=(?:a+)+$)", "a" * 40 + "b"),
        (r"(\d)?(?!(?:a+)+$)b", "a" * 40 + "b"),
        (r"(?:(?:x|xx)+|z)*y(\d)", "y" + "z" * 3000 + "x" * 60),
        (r"(?i)(?:é|É)*é*é*é*é*é*é*(\d)", "é" * 4000),
        (r"(?:ab|a|b)*(?:\w+)*\.(\d)", "." + "ab" * 2000),
    ],
)
def test_a_slow_pattern_is_named_and_left_out(source: str, line: str) -> None:
    pattern = UserPattern("m", source)
    assert pattern.search(line) == (None, None)
    assert pattern.problem.startswith(
        f"metric 'm': the pattern {source!r} is not searched any more"
    )
    assert repr(line[:60]) in pattern.problem
    assert pattern.search("ab1") == (None, None)


@pytest.mark.parametrize(
    ("source", "line", "value"),
    [
        (r"(?:[^,]*,){50}(\d+)", "1," * 50 + "3", 3.0),
        (r"^[^,]*(?:,[^,]*){50},(?P<value>[-+\w.]+)\s*$", "1," * 51 + "3", 3.0),
        (r"(?:\w+: \d+,? ?)+acc: (\d+)", "loss: 1, val: 2, x: 3, acc: 4", 4.0),
        (r'.*"acc": (\S+),', '{"a": 1, ' * 50 + '"acc": 3, }', 3.0),
        (r"(\w+\s?)*=(?P<value>\d)", "word word =3", 3.0),
        (r"(?:acc|auc|loss)(?: is|:|=)? ?(\d+)", "x" * 4000 + "auc is 3", 3.0),
    ],
)
def test_a_pattern_with_nested_repetitions_is_searched(
    source: str, line: str, value: float
) -> None:
    pattern = UserPattern("m", source)
    assert pattern.search(line) == (value, None)
    assert pattern.problem == ""


def test_a_line_without_the_text_of_a_pattern_costs_nothing() -> None:
    pattern = UserPattern("m", r"(?:a+)+ acc (\d)")
    assert pattern.search("a" * 4000) == (None, None)
    assert pattern.problem == ""
    assert pattern.search("a acc 1") == (1.0, None)
    assert UserPattern("m", r"(?i)ACC (\d)").search("acc 1") == (1.0, None)
    assert UserPattern("m", r"(?:acc|auc) (\d)").search("auc 1") == (1.0, None)


@pytest.mark.parametrize(
    "source", [r"loss (\S+)", r"Epoch (?P<step>\d+).*loss=(?P<value>\S+), acc", r"(?:a|b)=(\d+)"]
)
def test_a_usual_pattern_is_searched_in_long_lines(source: str) -> None:
    pattern = UserPattern("m", source)
    for line in ("x " * 30_000, "loss " * 10_000, "Epoch 3 loss=" * 5000, "a=" * 30_000):
        pattern.search(line)
    assert pattern.problem == ""


def test_a_pattern_sees_the_start_of_a_line() -> None:
    pattern = UserPattern("m", r"m (\d)")
    assert pattern.search("x" * (MAX_SEARCHED - 3) + "m 1") == (1.0, None)
    assert pattern.search("x" * (MAX_SEARCHED - 2) + "m 1") == (None, None)


@pytest.mark.parametrize(
    ("captured", "value"),
    [
        ("0,91", 0.91),
        ("-1.234,5", -1234.5),
        ("1 234,5", 1234.5),
        ("0.91", 0.91),
        ("91,5 %", 91.5),
        ("0,9,1", None),
        ("none", None),
    ],
)
def test_a_decimal_comma(captured: str, value: float | None) -> None:
    assert UserPattern("m", "is (?P<decimal_comma>.+)").search(f"is {captured}")[0] == value


def test_the_extractor_names_a_slow_pattern_and_reads_the_rest() -> None:
    extractor = Extractor(["loss"], {"m": r"(a+)+b(\d)"}, "epoch")
    records = extractor.feed(b"b" + b"a" * 100 + b"\nEpoch 1 loss: 2\n", 1.0)
    assert [(record.step, record.values) for record in records] == [(1, {"loss": 2.0})]
    assert extractor.problem.startswith("metric 'm': the pattern")
