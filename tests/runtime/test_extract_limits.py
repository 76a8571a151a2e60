"""Extraction of metrics from any bytes, in any pieces, of any size."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.reading import find
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import MAX_LINE, Record, encode
from tune_jobs.runtime.unread import metric_like_names

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
def test_output_without_metrics_has_no_readings(piece: bytes) -> None:
    data = piece * ((1 << 20) // len(piece))
    extractor = Extractor(["accuracy", "val_loss"], step="epoch")
    for _ in range(20):
        assert extractor.feed(data, 1.0) == []


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
def test_no_line_takes_quadratic_time(piece: bytes) -> None:
    line = b"accuracy {" + piece * (60_000 // len(piece)) + b"x\n"
    # Quadratic time would exceed the time limit of the suite: three lines of 60,000 ** 2 steps.
    assert find(line * 3, "accuracy") == []
    metric_like_names(line * 3, wanted="accuracy")


@pytest.mark.parametrize(
    "unit",
    [
        "| accuracy | 0.9 |\n",
        "---------\n| accuracy | 0.9 |\n| epoch | 3 |\n---------\n",
        "Result:\n  accuracy: 0.9\n",
        "  accuracy: 0.9\n",
        ' "accuracy": 0.9,\n',
        "- accuracy: 0.9\n",
        "<accuracy>0.9</accuracy>\n",
        "[a]\naccuracy = 0.9\n",
    ],
)
def test_a_block_holds_few_records(unit: str) -> None:
    extractor = Extractor(["accuracy"], step="epoch")
    released = extractor.feed(unit.encode() * 2500, 1.0)
    assert len(released) >= 2500 - 1001
