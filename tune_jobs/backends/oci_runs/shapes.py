"""Which compute shape the next run asks for: the job's own, or another while that is short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tune_jobs.errors import ConfigError

CAPACITY_COOLDOWN = 600.0
"""Seconds for which a shape that was out of capacity is passed over."""

_KEYS = ("shape", "ocpus", "memory_gb")


class Shapes:
    """The job's shape and those to fall back on.

    Args:
        own: The job's infrastructure, as the CAPACITY_COOLDOWN API has it.
        fallback: Shapes' names, or mappings of ``shape``, ``ocpus`` and ``memory_gb``.
        clock: Seconds; monotonic.
    """

    def __init__(
        self,
        own: Mapping[str, Any],
        fallback: Sequence[str | Mapping[str, Any]],
        clock: Callable[[], float],
    ) -> None:
        self._own, self._clock = own, clock
        self._fallback = [_override(each) for each in fallback]
        self._short_until: dict[str, float] = {}

    @property
    def own(self) -> str:
        """The job's shape."""
        return str(self._own.get("shapeName", ""))

    def choose(self) -> tuple[str, dict[str, Any] | None]:
        """The first shape that was not out of capacity lately; what a run overrides for it."""
        candidates = [(self.own, None), *((s["shapeName"], s) for s in self._fallback)]
        for name, override in candidates:
            if self._is_to_be_had(name):
                return name, None if override is None else self._merged(override)
        return self.own, None

    def asked_for(self, resources: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
        """The shape that one run asks for by itself, or else what `choose` says.

        Raises:
            ConfigError: the resources are not a shape's.
        """
        wanted = {name: value for name, value in resources.items() if name != "max_runtime"}
        if not wanted:
            return self.choose()
        override = _override({"shape": self.own, **wanted})
        return override["shapeName"], self._merged(override)

    def out_of_capacity(self, shape: str) -> bool:
        """Note that a shape is not to be had; whether there is another one to try at once."""
        self._short_until[shape] = self._clock() + CAPACITY_COOLDOWN
        return any(map(self._is_to_be_had, [self.own, *(s["shapeName"] for s in self._fallback)]))

    def _is_to_be_had(self, shape: str) -> bool:
        return self._clock() >= self._short_until.get(shape, 0.0)

    def _merged(self, override: Mapping[str, Any]) -> dict[str, Any]:
        """A run replaces the job's infrastructure whole: the disk and the subnet are kept."""
        kept = {k: v for k, v in self._own.items() if k != "jobShapeConfigDetails"}
        return {**kept, **override}


def check_shapes(fallback: Sequence[str | Mapping[str, Any]]) -> None:
    """Look at fallback shapes as a user writes them.

    Raises:
        ConfigError: one is neither a name nor a mapping with one.
    """
    for each in fallback:
        _override(each)


def _override(given: str | Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"shape": given} if isinstance(given, str) else dict(given)
    if "shape" not in facts or not facts.keys() <= set(_KEYS):
        raise ConfigError(f"shape {facts}: write a name, or a mapping of {', '.join(_KEYS)}")
    if ("ocpus" in facts) != ("memory_gb" in facts):
        raise ConfigError(f"shape {facts}: a flexible one needs both ocpus and memory_gb")
    override: dict[str, Any] = {"shapeName": facts["shape"]}
    if "ocpus" in facts:
        override["jobShapeConfigDetails"] = {
            "ocpus": facts["ocpus"],
            "memoryInGBs": facts["memory_gb"],
        }
    return override
