"""Scripted studies that faults are injected into: what a run does, and what must come out."""

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

# Every script reads its arguments first, and leaves a file for each run that was started.
_BEGIN = """\
for a in "$@"; do
    case $a in --x=*) x=${a#--x=};; --epochs=*) epochs=${a#--epochs=};; esac
done
name=${TUNE_JOBS_RUN##*/}
: > "$HERE/$name.$$"
"""
_PRUNED = _BEGIN + 'echo "epoch=1 value=$x"; case $x in 0.[789]*) sleep 100;; esac'


@dataclass(frozen=True)
class Scenario:
    """A scripted study.

    Args:
        script: What a job run does.
        find_problems: Return what is wrong with the trials at the end.
        pruner: Makes the study's pruner.
        settings: Options of the tuner.
        final: Whether the best configuration is trained at the end.
        objective: Whether Optuna's own loop runs the trials.
    """

    script: str
    find_problems: Callable[[Sequence[FrozenTrial]], list[str]]
    pruner: Callable[[], optuna.pruners.BasePruner] = optuna.pruners.NopPruner
    settings: Mapping[str, Any] = field(default_factory=dict)
    final: bool = False
    objective: bool = False


def _all_complete(trials: Sequence[FrozenTrial]) -> list[str]:
    states = [trial.state.name for trial in trials]
    return [] if states == ["COMPLETE"] * TRIALS else [f"trials are {states}"]


def _pruned_by_value(trials: Sequence[FrozenTrial]) -> list[str]:
    found = [] if len(trials) == TRIALS else [f"there are {len(trials)} trials"]
    for trial in trials:
        x, state = trial.params.get("x"), trial.state.name
        if x is None or state != ("PRUNED" if x >= PRUNED_FROM else "COMPLETE"):
            found.append(f"trial {trial.number} with {x} is {state}")
    return found


def _promoted_once(trials: Sequence[FrozenTrial]) -> list[str]:
    """As many configurations as asked for; each is promoted once at most, with its parameters."""
    found = []
    rungs = {t.number: t.user_attrs.get(RUNG_ATTRIBUTE, {}) for t in trials}
    fresh = [n for n, rung in rungs.items() if rung.get("after") is None]
    if len(fresh) != TRIALS:
        found.append(f"there are {len(fresh)} configurations")
    promoted = Counter(rung["after"] for n, rung in rungs.items() if n not in fresh)
    found += [f"trial {n} was promoted {times} times" for n, times in promoted.items() if times > 1]
    heights = Counter(rung.get("index") for rung in rungs.values())
    if heights[1] < TRIALS // 2 or heights[2] < 1:
        found.append(f"the rungs have {dict(heights)} trials")
    for trial in trials:
        after, is_last = rungs[trial.number].get("after"), rungs[trial.number].get("index") == 2
        if trial.state.name != ("COMPLETE" if is_last else "PRUNED"):
            found.append(f"trial {trial.number}, {rungs[trial.number]}, is {trial.state.name}")
        if after is not None and trials[after].params != trial.params:
            found.append(f"trial {trial.number} is another configuration than {after}")
    return found


def _pruner() -> optuna.pruners.BasePruner:
    return optuna.pruners.ThresholdPruner(upper=PRUNED_FROM)


SCENARIOS: Mapping[str, Scenario] = {
    "pruning": Scenario(_PRUNED, _pruned_by_value, _pruner),
    "objective": Scenario(_PRUNED, _pruned_by_value, _pruner, objective=True),
    "final": Scenario(_BEGIN + 'echo "epoch=1 value=$x"', _all_complete, final=True),
    "promotion": Scenario(
        _BEGIN
        + """\
if [ "$epochs" -gt 1 ] && [ "$(cat "$TUNE_JOBS_RESUME_DIR/x")" != "$x" ]; then exit 3; fi
echo "$x" > "$TUNE_JOBS_CHECKPOINT_DIR/x"
echo "epoch=$epochs value=$x"
""",
        _promoted_once,
        settings={"promotion": RUNGS},
    ),
}
