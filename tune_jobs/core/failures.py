"""Why trials failed: their causes in groups, the most frequent one first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.formatting import count
from tune_jobs.core.no_best import NoBest
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE, displayed_state, is_withdrawn

SHOWN_GROUPS = 3
SHOWN_LINES = 12
"""Lines of a cause that are shown: its first line, and the last lines of the run's log."""

_ENDS = {"fail": "failed"}
_VARYING = re.compile(r"0x[0-9a-fA-F]+|[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class FailureGroup:
    """Failed trials with the same cause, apart from numbers in it.

    Args:
        count: How many.
        trial: The last one of them.
        cause: Its cause, with the end of its log.
    """

    count: int
    trial: int
    cause: str

    @property
    def summary(self) -> str:
        """The failures in a line."""
        return (
            f"{count(self.count, 'trial')} failed, such as trial {self.trial}: "
            + summarize_cause(self.cause)
        )

    def __str__(self) -> str:
        lines = self.cause.splitlines()
        if len(lines) > SHOWN_LINES:
            lines = [lines[0], "...", *lines[-SHOWN_LINES + 2 :]]
        first = f"{count(self.count, 'trial')}, such as trial {self.trial}: {lines[0]}"
        return "\n    ".join([first, *lines[1:]])


def group_failures(trials: Iterable[FrozenTrial]) -> list[FailureGroup]:
    """Return the causes of the failed trials, the most frequent one first.

    A trial that a person withdrew has not failed.
    """
    failed = (t for t in trials if t.state == TrialState.FAIL and not is_withdrawn(t.user_attrs))
    return group_causes((t.number, t.user_attrs) for t in failed)


def group_causes(failed: Iterable[tuple[int, Mapping[str, Any]]]) -> list[FailureGroup]:
    """Return the causes of trials with these numbers and user attributes, in groups."""
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for number, attributes in failed:
        cause = _cause(attributes)
        groups.setdefault(_key(cause), []).append((number, cause))
    ordered = sorted(groups.values(), key=lambda g: (-len(g), -g[-1][0]))
    return [FailureGroup(len(g), *g[-1]) for g in ordered]


def describe_failures(trials: Iterable[FrozenTrial]) -> str:
    """Return the most frequent causes in lines, with the ends of logs; empty without a failure."""
    groups = group_failures(trials)
    shown = [f"  {group}" for group in groups[:SHOWN_GROUPS]]
    if len(groups) > SHOWN_GROUPS:
        others = sum(group.count for group in groups[SHOWN_GROUPS:])
        shown.append(f"  {others} more with {len(groups) - SHOWN_GROUPS} other causes")
    return "\n".join(shown)


def explain_outcome(no_best: NoBest, trials: Sequence[FrozenTrial]) -> str:
    """Return why a study has no best trial, how its trials ended, and why they failed."""
    counts = Counter(displayed_state(t).lower() for t in trials if t.state.is_finished())
    ends = ", ".join(f"{count} {_ENDS.get(state, state)}" for state, count in counts.items())
    causes = describe_failures(trials)
    return f"{no_best}" + (f" ({ends})" if ends else "") + (f":\n{causes}" if causes else "")


def summarize_cause(cause: str) -> str:
    """Return a cause in a line: what happened, and the last line of the log."""
    lines = [line.strip() for line in cause.splitlines() if line.strip()]
    return ": ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))


def _cause(attributes: Mapping[str, Any]) -> str:
    cause = attributes.get(CAUSE_ATTRIBUTE)
    return cause if isinstance(cause, str) and cause.strip() else "no cause is recorded"


def _key(cause: str) -> tuple[str, str]:
    """Return what equal causes have in common: what happened, and the last line of the log."""
    lines = [line for line in cause.splitlines() if line.strip()]
    return _VARYING.sub("#", lines[0]), _VARYING.sub("#", lines[-1])
