"""Choice of the compute shape of a run: the job's own, or another while that has no capacity."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tune_jobs.errors import ConfigError, did_you_mean

CAPACITY_COOLDOWN = 600.0
"""Seconds for which a shape that was out of capacity is skipped."""

_KEYS = ("shape", "ocpus", "memory_gb")


class Shapes:
    """The job's shape and its fallbacks.

    Args:
        own: The job's infrastructure, as the REST API spells it.
        fallback: Names of shapes, or mappings of ``shape``, ``ocpus`` and ``memory_gb``.
        clock: Monotonic clock, in seconds.

    Raises:
        ConfigError: If the size of a flexible fallback is unknown.
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
        for each in self._fallback:
            self._apply(each)

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
        """Return the whole infrastructure: a run's replaces the job's, disk and subnet included.

        A flexible shape without a size gets the job's own.

        Raises:
            ConfigError: If there is none.
        """
        size = override.get("jobShapeConfigDetails")
        if size is None and is_flexible(override["shapeName"]):
            size = self._own.get("jobShapeConfigDetails")
            check_size(override["shapeName"], has_size=bool(size))
        kept = {k: v for k, v in self._own.items() if k != "jobShapeConfigDetails"}
        return {**kept, **override, **({} if size is None else {"jobShapeConfigDetails": size})}


def check_shapes(fallback: Sequence[str | Mapping[str, Any]]) -> None:
    """Check fallback shapes as a user writes them.

    Raises:
        ConfigError: If one is neither a name nor a mapping with one.
    """
    for each in fallback:
        _parse_override(each)


def is_flexible(shape: str) -> bool:
    """Return whether a shape has no size of its own."""
    return shape.endswith(".Flex")


def check_size(shape: str, *, has_size: bool) -> None:
    """Check that a flexible shape has a size, and another one has none; the service refuses them.

    Raises:
        ConfigError: If it is not so.
    """
    if is_flexible(shape) and not has_size:
        raise ConfigError(f"shape {shape} is flexible: add its size, ocpus and memory_gb")
    if has_size and not is_flexible(shape):
        raise ConfigError(f"shape {shape} is not flexible: leave out ocpus and memory_gb")


def check_values(owner: str, values: Mapping[str, object]) -> None:
    """Check the shape, the size and the time limit of a job or a run, as a user writes them.

    Args:
        owner: What has them, for the message.
        values: By name; others than these are not checked.

    Raises:
        ConfigError: If a value cannot be used.
    """
    for name in values.keys() & {*_KEYS, "max_runtime"}:
        value = values[name]
        if name == "shape":
            is_right = isinstance(value, str) and bool(value.strip())
        else:
            kinds = int if name == "max_runtime" else (int, float)
            is_right = isinstance(value, kinds) and not isinstance(value, bool)
            is_right = is_right and 0 < value < math.inf  # type: ignore[operator]
        if not is_right:
            wanted = "the name of a shape" if name == "shape" else "a positive number"
            raise ConfigError(f"{owner}: {name} is {value!r}, and has to be {wanted}")
    if ("ocpus" in values) != ("memory_gb" in values):
        raise ConfigError(f"{owner} {dict(values)}: a size needs both ocpus and memory_gb")


def check_resources(resources: Mapping[str, object]) -> None:
    """Check what a run is to have instead of its job's resources, as a user writes it.

    Raises:
        ConfigError: If a name or a value cannot be used.
    """
    known = (*_KEYS, "max_runtime")
    for name in resources:
        if name not in known:
            raise ConfigError(f"resources: unknown name {name!r} {did_you_mean(str(name), known)}")
    check_values("resources", resources)
    shape = resources.get("shape")
    if isinstance(shape, str) and "ocpus" in resources:
        check_size(shape, has_size=True)


def _parse_override(given: str | Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"shape": given}
    if "shape" not in fields or not fields.keys() <= set(_KEYS):
        raise ConfigError(f"shape {fields}: write a name, or a mapping of {', '.join(_KEYS)}")
    check_values("shape", fields)
    if "ocpus" in fields:
        check_size(fields["shape"], has_size=True)
    override: dict[str, Any] = {"shapeName": fields["shape"]}
    if "ocpus" in fields:
        override["jobShapeConfigDetails"] = {
            "ocpus": fields["ocpus"],
            "memoryInGBs": fields["memory_gb"],
        }
    return override
