"""Scripted studies that tuners are killed in: what a run does, and what must come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from tune_jobs.core.promotion import Promotion
from tune_jobs.core.trial_attributes import RUNG_ATTRIBUTE

TRIALS = 4
PRUNED_FROM = 0.7
RUNGS = Promotion("epochs", 1, 4, factor=2)

# What every script does first: read its arguments, and leave a file for each run that began.
BEGIN = """\
for a in "$@"; do
    case $a in --x=*) x=${a#--x=};; --epochs=*) epochs=${a#--epochs=};; esac
done
name=${TUNE_JOBS_RUN##*/}
: > "$HERE/$name.$$"
"""


@dataclass(frozen=True)
class Scenario:
    """One scripted study.

    Args:
        script: What a job run does.
        problems: What is wrong with the trials at the end.
        pruner: Of the study.
        settings: Of the tuner.
        final: Whether the best configuration is trained at the end.
    """

    script: str
    problems: Callable[[Sequence[FrozenTrial]], list[str]]
    pruner: Callable[[], optuna.pruners.BasePruner] = optuna.pruners.NopPruner
    settings: Mapping[str, Any] = field(default_factory=dict)
    final: bool = False


def _complete(trials: Sequence[FrozenTrial]) -> list[str]:
    """All of them have a value."""
    states = [trial.state.name for trial in trials]
    return [] if states == ["COMPLETE"] * TRIALS else [f"trials are {states}"]


def _pruned(trials: Sequence[FrozenTrial]) -> list[str]:
    """Each is complete or pruned, as its value says."""
    found = [] if len(trials) == TRIALS else [f"there are {len(trials)} trials"]
    for trial in trials:
        x, state = trial.params.get("x"), trial.state.name
        if x is None or state != ("PRUNED" if x >= PRUNED_FROM else "COMPLETE"):
            found.append(f"trial {trial.number} with {x} is {state}")
    return found


def _promoted(trials: Sequence[FrozenTrial]) -> list[str]:
    """As many configurations as asked for; what went on did so once, with its parameters."""
    found = []
    rungs = {t.number: t.user_attrs.get(RUNG_ATTRIBUTE, {}) for t in trials}
    fresh = [n for n, rung in rungs.items() if rung.get("after") is None]
    if len(fresh) != TRIALS:
        found.append(f"there are {len(fresh)} configurations")
    gone_on = Counter(rung["after"] for n, rung in rungs.items() if n not in fresh)
    found += [f"trial {n} went on {times} times" for n, times in gone_on.items() if times > 1]
    heights = Counter(rung.get("index") for rung in rungs.values())
    if heights[1] < TRIALS // 2 or heights[2] < 1:
        found.append(f"the rungs have {dict(heights)} trials")
    for trial in trials:
        after, last = rungs[trial.number].get("after"), rungs[trial.number].get("index") == 2
        if trial.state.name != ("COMPLETE" if last else "PRUNED"):
            found.append(f"trial {trial.number}, {rungs[trial.number]}, is {trial.state.name}")
        if after is not None and trials[after].params != trial.params:
            found.append(f"trial {trial.number} is another configuration than {after}")
    return found


SCENARIOS: Mapping[str, Scenario] = {
    "pruning": Scenario(
        BEGIN + 'echo "epoch=1 value=$x"; case $x in 0.[789]*) sleep 100;; esac',
        _pruned,
        lambda: optuna.pruners.ThresholdPruner(upper=PRUNED_FROM),
    ),
    "final": Scenario(BEGIN + 'echo "epoch=1 value=$x"', _complete, final=True),
    "promotion": Scenario(
        BEGIN
        + """\
if [ "$epochs" -gt 1 ] && [ "$(cat "$TUNE_JOBS_RESUME_DIR/x")" != "$x" ]; then exit 3; fi
echo "$x" > "$TUNE_JOBS_CHECKPOINT_DIR/x"
echo "epoch=$epochs value=$x"
""",
        _promoted,
        settings={"promotion": RUNGS},
    ),
}
