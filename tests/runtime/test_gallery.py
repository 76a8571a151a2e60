"""Logs of real tools: the metrics that must be read from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import Record

GALLERY = Path(__file__).parent / "gallery"
TOOLS = sorted(path.stem for path in GALLERY.glob("*.json"))
READINGS = [
    pytest.param(tool, reading, id=f"{tool}-{reading['metric']}")
    for tool in TOOLS
    for reading in json.loads((GALLERY / f"{tool}.json").read_text("utf-8"))["readings"]
]


def read_curve(log: bytes, reading: dict[str, Any], chunk: int = 1 << 20) -> list[list[Any]]:
    """Return the last value of every step, or all values if they have no step."""
    metric = reading["metric"]
    patterns = {metric: reading["pattern"]} if "pattern" in reading else None
    extractor = Extractor([metric], patterns, reading.get("step"))
    records: list[Record] = []
    for i in range(0, len(log), chunk):
        records += extractor.feed(log[i : i + chunk], 1.0)
    curve: list[list[Any]] = []
    places: dict[int, int] = {}
    for record in records + extractor.finish(1.0):
        pair = [record.step, record.values[metric]]
        if record.step in places:
            curve[places[record.step]] = pair
            continue
        if record.step is not None:
            places[record.step] = len(curve)
        curve.append(pair)
    return curve


@pytest.mark.parametrize(("tool", "reading"), READINGS)
def test_values_and_steps(tool: str, reading: dict[str, Any]) -> None:
    log = (GALLERY / f"{tool}.log").read_bytes()
    assert read_curve(log, reading) == reading["values"]


@pytest.mark.parametrize(("tool", "reading"), READINGS)
def test_output_in_pieces(tool: str, reading: dict[str, Any]) -> None:
    log = (GALLERY / f"{tool}.log").read_bytes()
    assert read_curve(log, reading, chunk=97) == reading["values"]


@pytest.mark.parametrize("tool", TOOLS)
def test_provenance(tool: str) -> None:
    entry = json.loads((GALLERY / f"{tool}.json").read_text("utf-8"))
    assert all(entry[key] for key in ("project", "version", "source"))
    assert len({reading["metric"] for reading in entry["readings"]}) >= 2
