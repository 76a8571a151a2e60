"""YAML with lines: scalars, mistakes, any text."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tune_jobs.errors import ConfigError
from tune_jobs.space.yaml_source import load, loads, located

# -- YAML -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yaml", "value"),
    [
        ("1e-5", 1e-5),
        ("-1.5E+3", -1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("012", 12),
        ("0x1F", 31),
        ("0o17", 15),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("''", ""),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("[a, {b: 1}]", ["a", {"b": 1}]),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
        ("on: 1", {"on": 1}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_scalars_follow_yaml_1_2(yaml: str, value: object) -> None:
    assert loads(yaml).plain() == value
    assert type(loads(yaml).plain()) is type(value)


def test_nan_is_read() -> None:
    assert math.isnan(loads(".NaN").plain())


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("yaml", "problem"),
    [
        ("", "s.yaml: is empty"),
        ("# nothing", "s.yaml: is empty"),
        ("a: 1\nb: 2\na: 3", "s.yaml:3: duplicate key 'a', first in line 1"),
        ("x:\n  a: 1\n  a: 3", "s.yaml:3: x: duplicate key 'a', first in line 2"),
        ("a: 1\n1: 2", "s.yaml:2: key 1 is not a string: put it in quotes"),
        ("[1]: 2", "key [...] is not a string"),
        ("a: [1", "s.yaml:1: invalid YAML"),
        ("a: 1\n b: 2", "s.yaml:2: invalid YAML"),
        ("a: 1\n---\nb: 2", "s.yaml:2: invalid YAML"),
        ("a: *b", "s.yaml:1: invalid YAML"),
        ("a: \x07", "s.yaml: invalid YAML"),
        ('a: "\\UFFFFFFFF"', "s.yaml: invalid YAML"),
        ("a: !!python/object:os.system {}", "s.yaml:1: a: tag"),
        ("a: !!binary aGk=", "s.yaml:1: a: tag"),
        ("a: !mine 1", "s.yaml:1: a: tag '!mine' is not supported"),
        ("a: !!int one", "s.yaml:1: a: 'one' is not a int"),
        ("a: !!bool yes", "s.yaml:1: a: 'yes' is not a bool"),
        ("a: !!map [1]", "s.yaml:1: a: tag"),
        ("a: " + "9" * 5000, "s.yaml:1: a: '999"),
        ("a: &x [*x]", ":1: a[0]: contains itself by an alias"),
        ("a: &x {b: {c: *x}}", "a.b.c: contains itself by an alias"),
        ("[" * 60 + "]" * 60, "nested deeper than 50"),
        ("[" * 100_000, "nested deeper than 50"),
        (BOMB, "aliases expand to more than 100000 values"),
        ("a: " + "x" * (1 << 20), "is larger than 1048576 bytes"),
    ],
    ids=lambda value: value[:20],
)
def test_invalid_yaml(yaml: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        loads(yaml, "s.yaml")
    assert problem in str(error.value)


def test_values_have_name_and_line() -> None:
    document = loads("a:\n  b:\n    - 1\n    - c: 2\n", "s.yaml")
    leaf = document.mapping()["a"].mapping()["b"].items()[1].mapping()["c"]
    assert str(leaf.error("is odd")) == "s.yaml:4: a.b[1].c: is odd"


def test_plain_values_have_only_names() -> None:
    item = located({"a": (1, 2)}, "root").mapping()["a"].items()[0]
    assert str(item.error("is odd")) == "root.a[0]: is odd"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read"), (b"a: \xff", "is not UTF-8"), (b"\xff" * (2 << 20), "is larger")],
)
def test_unreadable_file(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "study.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem):
        load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


_PIECES = st.sampled_from(
    ["a", ": ", "\n", "  ", "- ", "[", "]", "{", "}", ",", "&x ", "*x", "!!int ", "!!str", "|", ">"]
)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(_PIECES, max_size=25).map("".join)))
@example("%YAML 1.999999999999999999999")
@example("%YAML " + "9" * 5000 + ".1\n---\na")
@example("\ud800")
@example("!<> a")
@example("=")
@example("<<: {a: 1}")
def test_only_config_error_is_raised(yaml: str) -> None:
    with suppress(ConfigError):
        loads(yaml).plain()
