"""A study as it is looked at: its trials and its job runs, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.core.trial_attributes import (
    COST_ATTRIBUTE,
    REFUSED_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
    RUNG_ATTRIBUTE,
    SAME_ATTRIBUTE,
)

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")


@dataclass(frozen=True)
class Trial:
    """One trial.

    Args:
        number: In its study.
        state: Optuna's name of it.
        values: One for each objective; empty without.
        params: What was chosen.
        started, finished: Seconds since the epoch.
        steps: Intermediate values.
        attributes: The user's and tune_jobs' own.
    """

    number: int
    state: str
    values: tuple[float, ...]
    params: Mapping[str, Any]
    started: float | None
    finished: float | None
    steps: Mapping[int, float] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unneeded(self) -> bool:
        """Whether it had no run: a constraint refused it, or an earlier trial was the same."""
        return REFUSED_ATTRIBUTE in self.attributes or SAME_ATTRIBUTE in self.attributes

    @property
    def goes_on_from(self) -> int | None:
        """The trial whose configuration it goes on with, see `Promotion`."""
        rung = self.attributes.get(RUNG_ATTRIBUTE)
        return rung.get("after") if isinstance(rung, dict) else None

    @property
    def run_hours(self) -> float:
        """Of its attempts."""
        return self._cost("run_hours")

    @property
    def money(self) -> float:
        """What they cost, where there were prices."""
        return self._cost("money")

    def _cost(self, what: str) -> float:
        cost = self.attributes.get(COST_ATTRIBUTE)
        return float(cost.get(what, 0.0)) if isinstance(cost, dict) else 0.0


@dataclass(frozen=True)
class Run:
    """One job run, as the ledger has it; times in seconds since the epoch."""

    name: str
    trial: int | None
    attempt: int
    backend: str
    state: str
    run_id: str | None
    shape: str | None
    intended: float
    accepted: float | None
    started: float | None
    finished: float | None
    told: float | None
    cause: str | None

    @property
    def is_final(self) -> bool:
        """Whether it is a final run and not a trial's."""
        return self.name.startswith("final-")

    @property
    def seconds(self) -> float | None:
        """How long its script ran; None while it does, or if it never did."""
        if self.started is None or self.finished is None:
            return None
        return max(0.0, self.finished - self.started)


@dataclass(frozen=True)
class Study:
    """A study with all that is known of it.

    Args:
        key: How pages and requests call it; plain letters.
        name: As the user called it; any text.
        maximize: For each objective.
        uid, store: Of its ledger; None where tune_jobs never ran it.
        owner: Who tunes it now.
        definition: Space, code and metrics of its last call, see `Definition.describe`.
        trials, runs: In the order of their numbers.
    """

    key: str
    name: str
    maximize: tuple[bool, ...]
    trials: Sequence[Trial]
    runs: Sequence[Run] = ()
    uid: str | None = None
    store: str | None = None
    owner: str | None = None
    definition: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> list[str]:
        """What the objectives are called."""
        known = [str(m.get("name", "")) for m in self.definition.get("metrics", [])]
        return (
            known
            if len(known) == len(self.maximize)
            else [
                "value" if len(self.maximize) == 1 else f"value {i + 1}"
                for i in range(len(self.maximize))
            ]
        )

    @property
    def single(self) -> bool:
        """Whether it has one objective."""
        return len(self.maximize) == 1

    def complete(self) -> list[Trial]:
        """Trials with a value, by number."""
        return [t for t in self.trials if t.state == "COMPLETE" and t.values]

    def best(self) -> Trial | None:
        """The best trial of a study with one objective."""
        done = [t for t in self.complete() if REPLICATE_ATTRIBUTE not in t.attributes]
        if not self.single or not done:
            return None
        sign = -1.0 if self.maximize[0] else 1.0
        return min(done, key=lambda t: sign * t.values[0])

    def counts(self) -> dict[str, int]:
        """How many trials are in which state; those that had no run are left out."""
        counts = dict.fromkeys(STATES, 0)
        for trial in self.trials:
            if not trial.unneeded:
                counts[trial.state] += 1
        return counts

    def version(self) -> str:
        """A text that changes when anything worth showing does."""
        live = [t for t in self.trials if t.state in ("RUNNING", "WAITING")]
        moving = [r for r in self.runs if r.told is None]
        facts = (
            len(self.trials),
            len(self.runs),
            [(t.number, t.state, len(t.steps)) for t in live],
            [(r.name, r.state, r.started) for r in moving],
            self.owner,
        )
        return f"{hash(repr(facts)) & 0xFFFFFFFFFFFF:x}"
