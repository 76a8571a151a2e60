"""Strict JSON: no reader stumbles over NaN or Infinity."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tune_jobs
from tune_jobs.core.strict_json import encode_exact_json, encode_json, read_numbers

ROOT = Path(tune_jobs.__file__).parent

ENCODERS = {
    "core/strict_json.py": "the encoder itself",
    "runtime/": "travels alone into job runs; strict, too: test_records",
    "script/values.py": "what a script reads with Python's json module, NaN included",
    "storage/optuna_tables.py": "attributes as Optuna writes and reads them",
}
"""Places that may call `json` to encode."""


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_not_finite_become_strings() -> None:
    nan, inf = math.nan, math.inf
    value = {"a": nan, "b": [inf, -inf, (1.5, np.float64("nan"))], "c": {"d": nan}, "e": 0.1}
    assert strict(encode_json(value)) == {
        "a": "nan",
        "b": ["inf", "-inf", [1.5, "nan"]],
        "c": {"d": "nan"},
        "e": 0.1,
    }
    assert strict(encode_json({nan: 1, inf: 2})) == {"nan": 1, "inf": 2}
    numbers = read_numbers(strict(encode_json({"x": nan, "y": -inf, "z": 2})))
    assert (math.isnan(numbers["x"]), numbers["y"], numbers["z"]) == (True, -inf, 2.0)


def test_other_types_are_replaced_before_and_after_a_number_that_is_not_finite() -> None:
    assert encode_json({"p": Path("x")}, default=str) == '{"p": "x"}'
    value = {"p": Path("x"), "v": np.float32("inf")}
    assert strict(encode_json(value, default=lambda v: getattr(v, "item", lambda: str(v))())) == {
        "p": "x",
        "v": "inf",
    }
    with pytest.raises(TypeError):
        encode_json({"p": object(), "v": math.nan})


def test_finite_values_are_written_as_ever() -> None:
    value = {"b": [1, 2.0, None, True, "é"], "a": {"x": 1e-300}}
    assert encode_json(value) == json.dumps(value)
    assert encode_json(value, indent=2, sort_keys=True) == json.dumps(
        value, indent=2, sort_keys=True
    )


def test_exact_json_refuses_what_cannot_be_read_back() -> None:
    assert encode_exact_json({"b": 1, "a": [None]}) == '{"a": [null], "b": 1}'
    for value in ([math.nan], {"x": math.inf}):
        with pytest.raises(ValueError, match="JSON"):
            encode_exact_json(value)


def json_calls(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that encode JSON with the standard library."""
    encoders = {"dump", "dumps", "JSONEncoder"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "json":
            if encoders & {alias.name for alias in node.names}:
                yield node.lineno
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "json"
            and node.attr in encoders
        ):
            yield node.lineno


def test_all_json_is_written_by_the_one_encoder() -> None:
    found, exempt = [], set()
    for file in sorted(ROOT.rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        lines = list(json_calls(ast.parse(file.read_text())))
        place = next((place for place in ENCODERS if name.startswith(place)), None)
        if place is None:
            found += [f"{name}:{line}" for line in lines]
        elif lines:
            exempt.add(place)
    assert found == []
    assert exempt == ENCODERS.keys(), "an exception that is not needed any more"
