"""Invocations as JSON, as the ledger stores them."""

from __future__ import annotations

import json
from typing import Any

from tune_jobs.core.attempts import Invocation

_ALWAYS = ("argv", "env", "files")
"""Written even if empty; the other fields only if they are set."""


def invocation_to_json(invocation: Invocation) -> str:
    """Return the JSON of an invocation."""
    values = vars(invocation)  # asdict would copy every argument
    return json.dumps({k: v for k, v in values.items() if k in _ALWAYS or v not in (None, (), {})})


def invocation_from_json(document: str) -> Invocation:
    """Read the JSON of an invocation, also one that an earlier version wrote."""
    values: dict[str, Any] = json.loads(document)
    return Invocation(
        argv=tuple(values.get("argv", ())),
        env=values.get("env", {}),
        files=values.get("files", {}),
        budget=values.get("budget"),
        resume=tuple(values.get("resume", ())),
        resources=values.get("resources", {}),
        key=values.get("key"),
    )
