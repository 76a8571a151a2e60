"""Choice of the compute shape of a run: the job's own, or another while that has no capacity."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tune_jobs.errors import ConfigError

CAPACITY_COOLDOWN = 600.0
"""Seconds for which a shape that was out of capacity is skipped."""

_KEYS = ("shape", "ocpus", "memory_gb")


class Shapes:
    """The job's shape and its fallbacks.

    Args:
        own: The job's infrastructure, as the REST API spells it.
        fallback: Names of shapes, or mappings of ``shape``, ``ocpus`` and ``memory_gb``.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        own: Mapping[str, Any],
        fallback: Sequence[str | Mapping[str, Any]],
        clock: Callable[[], float],
    ) -> None:
        self._own, self._clock = own, clock
        self._fallback = [_parse_override(each) for each in fallback]
        self._unavailable_until: dict[str, float] = {}

    @property
    def own(self) -> str:
        """The job's shape."""
        return str(self._own.get("shapeName", ""))

    def choose(self) -> tuple[str, dict[str, Any] | None]:
        """Return the first shape that was not out of capacity lately.

        Returns:
            The shape's name, and the infrastructure of a run on it; None for the job's own.
        """
        return self.choose_other(()) or (self.own, None)

    def choose_other(self, tried: Collection[str]) -> tuple[str, dict[str, Any] | None] | None:
        """Return the first available shape that was not tried, as `choose` does; None if all were.

        It is meant for one run.
        """
        candidates = [(self.own, None), *((s["shapeName"], s) for s in self._fallback)]
        for name, override in candidates:
            if name not in tried and self.is_available(name):
                return name, None if override is None else self._apply(override)
        return None

    def resolve(self, resources: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
        """Return the shape that a run's ``resources`` name, or else that of `choose`.

        Raises:
            ConfigError: If the resources do not describe a shape.
        """
        wanted = {name: value for name, value in resources.items() if name != "max_runtime"}
        if not wanted:
            return self.choose()
        override = _parse_override({"shape": self.own, **wanted})
        return override["shapeName"], self._apply(override)

    def mark_out_of_capacity(self, shape: str) -> bool:
        """Skip a shape for a while, and return whether another one is available now."""
        self._unavailable_until[shape] = self._clock() + CAPACITY_COOLDOWN
        return any(map(self.is_available, [self.own, *(s["shapeName"] for s in self._fallback)]))

    def is_available(self, shape: str) -> bool:
        """Return whether a shape was not out of capacity lately."""
        return self._clock() >= self._unavailable_until.get(shape, 0.0)

    def _apply(self, override: Mapping[str, Any]) -> dict[str, Any]:
        """Return the whole infrastructure: a run's replaces the job's, disk and subnet included."""
        kept = {k: v for k, v in self._own.items() if k != "jobShapeConfigDetails"}
        return {**kept, **override}


def check_shapes(fallback: Sequence[str | Mapping[str, Any]]) -> None:
    """Check fallback shapes as a user writes them.

    Raises:
        ConfigError: If one is neither a name nor a mapping with one.
    """
    for each in fallback:
        _parse_override(each)


def _parse_override(given: str | Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"shape": given} if isinstance(given, str) else dict(given)
    if "shape" not in fields or not fields.keys() <= set(_KEYS):
        raise ConfigError(f"shape {fields}: write a name, or a mapping of {', '.join(_KEYS)}")
    if ("ocpus" in fields) != ("memory_gb" in fields):
        raise ConfigError(f"shape {fields}: a flexible shape needs both ocpus and memory_gb")
    override: dict[str, Any] = {"shapeName": fields["shape"]}
    if "ocpus" in fields:
        override["jobShapeConfigDetails"] = {
            "ocpus": fields["ocpus"],
            "memoryInGBs": fields["memory_gb"],
        }
    return override
