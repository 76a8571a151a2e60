"""Regular expressions of users."""

from __future__ import annotations

import pytest

from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.patterns import MAX_SEARCHED, UserPattern


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (r"(a+)+b(\d)", "a" * 5000),
        (r"(a|aa)+b(\d)", "a" * 5000),
        (r"(?:\s*\w+\s*)*:(\d)", "word " * 1000),
        (r"(\w+\s?)*=(\d)", "word " * 1000),
        (r".*.*.*.*.*x(\d)", "=" * 5000),
        (r"(.*)\1\1(\d)x", "ab" * 2000),
        ("a?" * 28 + r"(\d)", "a" * 5000),
        ("(?:a|a)" * 28 + r"(\d)", "a" * 5000),
        (r"(?:(?:a?){16}){16}(\d)", "a" * 5000),
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
    records = extractor.feed(b"a" * 100 + b"\nEpoch 1 loss: 2\n", 1.0)
    assert [(record.step, record.values) for record in records] == [(1, {"loss": 2.0})]
    assert extractor.problem.startswith("metric 'm': the pattern")
