"""Patches of JSON documents, as the server finds them and the page applies them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import MakeStudy
from tests.dashboard_browser import browser
from tune_jobs.dashboard.json_patches import Patch, find_patch


def apply_patch(old: Any, patch: Patch | None) -> Any:
    """Do what ``static/json_patches.js`` does."""
    if patch is None:
        return old
    if "in" in patch:
        kept = {name: value for name, value in old.items() if name not in patch["gone"]}
        return {**kept, **{n: apply_patch(old.get(n), p) for n, p in patch["in"].items()}}
    if "at" in patch:
        changes = patch["at"]
        return [apply_patch(item, changes.get(str(i))) for i, item in enumerate(old)]
    if "cut" in patch:
        changed = list(old)
        for start, count, items in reversed(patch["cut"]):
            changed[start : start + count] = items
        return changed
    return patch["is"]


EXAMPLES: list[tuple[Any, Any]] = [
    ({}, {}),
    ({"a": 1, "b": 2}, {"b": 3, "c": [1]}),
    ([1, 2, 3], [1, 2, 3, 4]),
    ([], [1]),
    ([1], []),
    ([True, 1, None], [1, 1, None]),
    ([1, 2, 3, 4, 5], [1, 9, 3, 4]),
    ([[1, 2], [3]], [[1], [3, 4]]),
    ([{"x": [1, 2]}, {"x": [1]}], [{"x": [1, 2]}, {"x": [1, 2]}]),
    ([{"x": 1}], [{"x": 1}, {"x": 2}]),
    ([{"x": 1}], []),
    ([1], [{"x": 1}]),
    ({"a": None}, {"a": {"b": None}}),
    ("a", ["a"]),
    ({"is": {"in": 1}}, {"is": {"at": {"0": 1}}}),
]


def random_lists(seed: int) -> tuple[list[int], list[int]]:
    """Return a list, and the list after some changes."""
    numbers = random.Random(seed)
    old = [numbers.randrange(40) for _ in range(numbers.randrange(60))]
    new = list(old)
    for _ in range(numbers.randrange(6)):
        at, count = numbers.randrange(len(new) + 1), numbers.randrange(20)
        new[at : at + count] = [numbers.randrange(40) for _ in range(numbers.randrange(20))]
    return old, new


PAIRS = [*EXAMPLES, *map(random_lists, range(300))]


def test_a_patch_makes_the_new_document_of_the_old_one() -> None:
    for old, new in PAIRS:
        patch = find_patch(old, new)
        assert json.dumps(apply_patch(old, patch)) == json.dumps(new), (old, patch)
        assert find_patch(new, new) is None


def test_an_item_more_is_a_small_patch_wherever_it_is() -> None:
    old = [i / 7 for i in range(10_000)]
    for at in (0, 5000, 10_000):
        assert find_patch(old, [*old[:at], -1.0, *old[at:]]) == {"cut": [[at, 0, [-1.0]]]}
    sampled = [*old[:300], *old[301:], 1e9]
    assert find_patch(old, sampled) == {"cut": [[300, 1, []], [10_000, 0, [1e9]]]}


@pytest.mark.slow
def test_the_page_applies_the_same_patches(
    tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuned()
    with browser() as here:
        here.page.goto(served(f"{tmp_path}/studies.db"))
        script = here.page.locator("script[src*='app.js']").get_attribute("src")
        results = here.page.evaluate(
            """async ([module, pairs]) => {
              const { applyPatch } = await import(module);
              return pairs.map(([old, patch]) => {
                const before = JSON.stringify(old);
                const result = applyPatch(old, patch);
                return [result, JSON.stringify(old) === before];
              });
            }""",
            [
                f"/{script.replace('app.js', 'json_patches.js')}",
                [[old, find_patch(old, new)] for old, new in PAIRS],
            ],
        )
        assert results == [[new, True] for _, new in PAIRS]
        assert here.problems == []
