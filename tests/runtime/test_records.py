"""Encoding and decoding of records."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.runtime.records import (
    MAX_LINE,
    MAX_METRICS,
    MAX_NAME,
    MAX_STEP,
    Decoded,
    Record,
    check_name,
    decode,
    encode,
    leaves,
    number,
)

GOOD = b'{"time": 1.5, "step": 3, "metrics": {"accuracy": 0.91}}\n'
RECORD = Record(1.5, 3, {"accuracy": 0.91})


def is_name(text: str) -> bool:
    try:
        return bool(check_name(text))
    except ValueError:
        return False


names = st.text(min_size=1, max_size=30).filter(is_name)
values = st.floats() | st.sampled_from([math.inf, -math.inf, math.nan])
records = st.builds(
    Record,
    time=st.floats(allow_nan=False, allow_infinity=False),
    step=st.none() | st.integers(-MAX_STEP, MAX_STEP),
    values=st.dictionaries(names, values, min_size=1, max_size=5),
)


# -- encode ---------------------------------------------------------------------------------------


def test_a_record_is_one_readable_line_of_strict_json() -> None:
    record = Record(1763000000.123, 3, {"accuracy": 0.91, "loss": math.nan, "précision": -math.inf})
    line = encode(record)
    assert line == (
        '{"time": 1763000000.123, "step": 3, '
        '"metrics": {"accuracy": 0.91, "loss": "nan", "précision": "-inf"}}\n'
    )

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads(line, parse_constant=refuse)


def test_a_record_without_a_step_says_nothing_of_it() -> None:
    assert encode(Record(1.0, None, {"a": 1.0})) == '{"time": 1.0, "metrics": {"a": 1.0}}\n'


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record(1.0, 1, {}), "at least one metric"),
        (Record(1.0, 1, {"": 1.0}), "non-empty string"),
        (Record(1.0, 1, {" ": 1.0}), "non-empty string"),
        (Record(1.0, 1, {"a\nb": 1.0}), "control characters"),
        (Record(1.0, 1, {"a\u2028b": 1.0}), "control characters"),
        (Record(1.0, 1, {"a\ud800": 1.0}), "control characters"),
        (Record(1.0, 1, {"a" * (MAX_NAME + 1): 1.0}), "256 characters"),
        (Record(1.0, 1, {str(i): 1.0 for i in range(MAX_METRICS + 1)}), "257 metrics"),
        (Record(1.0, 1, {f"{i:0250}": 1.0 for i in range(MAX_METRICS)}), "65536 bytes"),
        (Record(math.nan, 1, {"a": 1.0}), "invalid time"),
        (Record(1.0, MAX_STEP + 2, {"a": 1.0}), "invalid step"),
    ],
)
def test_what_could_not_be_read_is_not_written(record: Record, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(record)


@given(st.lists(records, max_size=5))
def test_what_is_written_is_read_again(written: list[Record]) -> None:
    data = "".join(map(encode, written)).encode()
    decoded = decode(data)
    assert list(map(repr, decoded.records)) == list(map(repr, written))
    assert (decoded.bad, decoded.first_bad, decoded.consumed) == (0, "", len(data))


# -- decode ---------------------------------------------------------------------------------------


def test_records_with_nan_are_equal_when_read_again() -> None:
    line = encode(Record(1.0, 1, {"loss": float("nan")})).encode()
    assert decode(line).records == decode(line).records


def test_an_unfinished_last_line_is_left_for_later() -> None:
    cut = decode(GOOD + GOOD[:-7])
    assert cut == Decoded([RECORD], 0, "", len(GOOD))
    rest = (GOOD + GOOD[:-7])[cut.consumed :] + GOOD[-7:]
    assert decode(rest) == Decoded([RECORD], 0, "", len(GOOD))


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n  \n"])
def test_nothing_is_not_bad(data: bytes) -> None:
    assert decode(data) == Decoded([], 0, "", len(data))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"accuracy: 0.91", "not a JSON object"),
        (b"\xff\xfe\x00", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b"3", "not a JSON object"),
        (b'{"time": 1, "metrics"', "not a JSON object"),
        (b"[" * 60_000, "not a JSON object"),
        (b'{"time": 1, "metrics": {"a": ' + b"9" * 5000 + b"}}", "not a JSON object|too large"),
        (b'{"metrics": {"a": 1}}', "invalid time 'None'"),
        (b'{"time": "1", "metrics": {"a": 1}}', "invalid time '1'"),
        (b'{"time": NaN, "metrics": {"a": 1}}', "invalid time 'nan'"),
        (b'{"time": true, "metrics": {"a": 1}}', "True"),
        (b'{"time": 1}', "metrics must be"),
        (b'{"time": 1, "metrics": {}}', "metrics must be"),
        (b'{"time": 1, "metrics": [1]}', "metrics must be"),
        (b'{"time": 1, "metrics": {"a": true}}', r"'a': 'True' \(bool\)"),
        (b'{"time": 1, "metrics": {"a": null}}', r"'a': 'None' \(NoneType\)"),
        (b'{"time": 1, "metrics": {"a": [1]}}', r"'a': '\[1\]' \(list\)"),
        (b'{"time": 1, "metrics": {"a": "91%"}}', "'a': the string '91%' is not a number"),
        (b'{"time": 1, "metrics": {"a": "1_0"}}', "the string '1_0'"),
        (b'{"time": 1, "metrics": {"a": 1' + b"0" * 400 + b"}}", "too large"),
        (b'{"time": 1, "metrics": {"": 1}}', "non-empty string"),
        (b'{"time": 1, "metrics": {"a\\nb": 1}}', "control characters"),
        (b'{"time": 1, "metrics": {"\\ud800": 1}}', "control characters"),
        (b'{"time": 1, "step": 2.5, "metrics": {"a": 1}}', "invalid step '2.5'"),
        (b'{"time": 1, "step": 1e300, "metrics": {"a": 1}}', "invalid step"),
        (b'{"time": 1, "step": NaN, "metrics": {"a": 1}}', "invalid step"),
        (b'{"time": 1, "metrics": {"a": 1}, "x": "' + b"x" * MAX_LINE + b'"}', "65536 bytes"),
    ],
)
def test_a_bad_line_is_counted_and_described(line: bytes, reason: str) -> None:
    decoded = decode(GOOD + line + b"\nworse\n" + GOOD)
    assert decoded.records == [RECORD, RECORD]
    assert decoded.bad == 2
    with pytest.raises(ValueError, match=reason):
        raise ValueError(decoded.first_bad)
    assert len(decoded.first_bad) < 500
    assert decoded.first_bad.isprintable()


def test_other_fields_numeric_text_and_windows_line_ends_are_read() -> None:
    line = b'{"time": 1, "step": 3.0, "host": "x", "metrics": {"a": "0.5", "b": "-Infinity"}}\r\n'
    assert decode(line).records == [Record(1.0, 3, {"a": 0.5, "b": -math.inf})]


def test_a_line_that_never_ends_stays_bounded_and_is_bad_once() -> None:
    pending, bad, found = b"", 0, []
    for data in [b"x" * 50_000] * 10 + [GOOD, GOOD]:
        pending += data
        decoded = decode(pending)
        pending = pending[decoded.consumed :]
        bad += decoded.bad
        found += decoded.records
        assert len(pending) <= MAX_LINE + 1
    assert (bad, found) == (1, [RECORD])


@given(st.binary(max_size=200))
def test_reading_never_fails(data: bytes) -> None:
    decoded = decode(data)
    assert decoded.consumed == data.rfind(b"\n") + 1
    assert bool(decoded.bad) == bool(decoded.first_bad)


@given(st.lists(st.sampled_from([GOOD, b"bad\n", b"\n"]), max_size=6), st.integers(1, 40))
def test_it_does_not_matter_how_the_bytes_arrive(lines: list[bytes], size: int) -> None:
    data = b"".join(lines)
    pending, found, bad = b"", 0, 0
    for i in range(0, len(data), size):
        pending += data[i : i + size]
        decoded = decode(pending)
        pending = pending[decoded.consumed :]
        found += len(decoded.records)
        bad += decoded.bad
    assert (pending, found, bad) == (b"", lines.count(GOOD), lines.count(b"bad\n"))


# -- numbers and names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.91", 0.91),
        (" 1e-3 ", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("+1.5", 1.5),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
    ],
)
def test_numeric_text_is_a_number(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    "text", ["", ".", "e5", "1e", "1_0", "0x1", "1,5", "٣", "1" * 60_000 + "x"]
)
def test_other_text_is_not(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        number(text)


def test_nested_objects_have_dotted_names() -> None:
    tree = {
        "a": 1,
        "val": {"loss": 2, "top": {"1": 3}},
        "b": [4],
        "x" * 300: 5,
        "y" * 300: {"a": 6},
    }
    assert dict(leaves(tree)) == {"a": 1, "val.loss": 2, "val.top.1": 3, "b": [4]}


def test_what_is_nested_deeper_than_names_go_is_left_out() -> None:
    tree: dict[object, object] = {"end": 1}
    for _ in range(5000):
        tree = {"": tree}
    assert dict(leaves(tree)) == {}
