"""What has changed between two JSON documents, as a patch, which is JSON as well.

A patch is one of ``{"is": value}``, a new value; ``{"in": {name: patch, ...}, "gone": [name,
...]}``, changes within an object; ``{"at": {index: patch, ...}}``, changes within items of a list
of the same length; and ``{"cut": [[index, count, [item, ...]], ...]}``, ``count`` items of the old
list that are replaced by others. ``static/json_patches.js`` applies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REACH = 12
"""Items that are inserted or removed in one place; more are a change of all that follows."""

AGREEMENT = 3
"""Items by which two lists must agree after a change."""

Patch = dict[str, Any]


def find_patch(old: Any, new: Any) -> Patch | None:
    """Return what makes the new document of the old one; None if they are the same."""
    if isinstance(old, dict) and isinstance(new, dict):
        return _compare_objects(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return _compare_lists(old, new)
    return None if _is_same(old, new) else {"is": new}


def _is_same(old: Any, new: Any) -> bool:
    # In Python, a truth value is a number.
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)


def _compare_objects(old: dict[str, Any], new: dict[str, Any]) -> Patch | None:
    changes = {}
    for name, value in new.items():
        change = find_patch(old[name], value) if name in old else {"is": value}
        if change is not None:
            changes[name] = change
    gone = [name for name in old if name not in new]
    return {"in": changes, "gone": gone} if changes or gone else None


def _compare_lists(old: list[Any], new: list[Any]) -> Patch | None:
    if any(isinstance(item, dict | list) for item in (*old[:1], *new[:1])):
        if len(old) != len(new):
            return {"is": new}
        found = {str(i): find_patch(a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))}
        changes = {i: change for i, change in found.items() if change is not None}
        return {"at": changes} if changes else None
    cuts = _find_cuts(old, new)
    return {"cut": cuts} if cuts else None


def _find_cuts(old: Sequence[Any], new: Sequence[Any]) -> list[list[Any]]:
    cuts: list[list[Any]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and _is_same(old[i], new[j]):
            i, j = i + 1, j + 1
            continue
        removed, added = _find_agreement(old[i:], new[j:])
        cuts.append([i, removed, list(new[j : j + added])])
        i, j = i + removed, j + added
    return cuts


def _find_agreement(old: Sequence[Any], new: Sequence[Any]) -> tuple[int, int]:
    """Return after how many items of both the rest begins with the same items."""
    for both in range(1, 2 * REACH):
        for removed in range(max(0, both - REACH), min(both, REACH) + 1):
            added = both - removed
            if _agree(old[removed : removed + AGREEMENT], new[added : added + AGREEMENT]):
                return removed, added
    return len(old), len(new)


def _agree(old: Sequence[Any], new: Sequence[Any]) -> bool:
    if len(old) != len(new):
        return False
    return all(map(_is_same, old, new))
