"""What job runs really used, as columns for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tune_jobs.core.strict_json import encode_json
from tune_jobs.runtime.usage_summary import describe_memory

GIBIBYTE = 1 << 30


@dataclass(frozen=True)
class ResourceUsage:
    """What a job run used, and what it might have used; None for what was not measured.

    Args:
        seconds: How long it was measured.
        cores: CPU cores that it might use; on OCI two for an OCPU of an x86 shape.
        cpu_seconds: CPU time that it used.
        cpu_mean, cpu_p95, cpu_peak: Share of the cores that was busy: on average, in 95 % of the
            time at most, and at most.
        memory_limit: Bytes of memory that it might use.
        memory_p95, memory_peak: Resident bytes: in 95 % of the time at most, and at most.
        gpus: GPUs that it saw.
        gpu_mean, gpu_peak: Share of the time in which they were busy.
        gpu_limit: Bytes of memory of a GPU.
        gpu_memory_peak: The most bytes in use on one of them.
        disk_read, disk_written: Bytes.
        network_in, network_out: Bytes; only for a run with a network of its own.
        source: Who measured: ``runner``, or ``service`` for OCI Monitoring.
    """

    seconds: float | None = None
    cores: float | None = None
    cpu_seconds: float | None = None
    cpu_mean: float | None = None
    cpu_p95: float | None = None
    cpu_peak: float | None = None
    memory_limit: float | None = None
    memory_p95: float | None = None
    memory_peak: float | None = None
    gpus: float | None = None
    gpu_mean: float | None = None
    gpu_peak: float | None = None
    gpu_limit: float | None = None
    gpu_memory_peak: float | None = None
    disk_read: float | None = None
    disk_written: float | None = None
    network_in: float | None = None
    network_out: float | None = None
    source: str = "runner"

    @classmethod
    def from_summary(cls, found: object) -> ResourceUsage | None:
        """Return the usage in a summary of `runtime.usage_summary`; None if there is none.

        Runs write it: what is not a number that a machine can have is left out.
        """
        if not isinstance(found, Mapping):
            return None
        names = [field.name for field in fields(cls) if field.name != "source"]
        known = {name: found[name] for name in names if _is_amount(found.get(name))}
        if not known:
            return None
        source = "service" if found.get("source") == "service" else "runner"
        return cls(**known, source=source)

    def encode(self) -> str:
        """Return it as JSON, without what is not known."""
        return encode_json(self.as_record())

    def as_record(self) -> dict[str, Any]:
        """Return what is known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def decode(cls, encoded: str | None) -> ResourceUsage | None:
        """Return what `encode` wrote; None for None, and for what is not that."""
        try:
            return cls.from_summary(json.loads(encoded)) if encoded else None
        except (ValueError, RecursionError):
            return None


def _is_amount(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return bool(is_number and 0 <= value <= 1e18)


_COLUMNS: Mapping[str, tuple[str, float, int]] = {
    # column: field, factor, decimals
    "cpu_percent": ("cpu_mean", 100.0, 1),
    "cpu_peak_percent": ("cpu_peak", 100.0, 1),
    "memory_peak_gb": ("memory_peak", 1.0 / GIBIBYTE, 3),
    "memory_limit_gb": ("memory_limit", 1.0 / GIBIBYTE, 3),
    "gpu_percent": ("gpu_mean", 100.0, 1),
    "gpu_memory_peak_gb": ("gpu_memory_peak", 1.0 / GIBIBYTE, 3),
    "disk_written_gb": ("disk_written", 1.0 / GIBIBYTE, 3),
    "network_in_gb": ("network_in", 1.0 / GIBIBYTE, 3),
    "network_out_gb": ("network_out", 1.0 / GIBIBYTE, 3),
}


def usage_columns(usage: ResourceUsage | None) -> dict[str, float | None]:
    """Return the columns of a run's usage, in units for people; None for what is not known.

    Percentages are of the cores and of the GPUs that the run might use; GB are 2**30 bytes.
    """
    columns: dict[str, float | None] = dict.fromkeys(_COLUMNS)
    if usage is not None:
        for column, (name, factor, decimals) in _COLUMNS.items():
            value = getattr(usage, name)
            columns[column] = None if value is None else round(value * factor, decimals)
    return columns


def describe_usage(usage: ResourceUsage) -> str:
    """Return what a run used, such as ``CPU 12% of 8 cores, memory 3 of 64 GB, GPU 5%``."""
    parts = []
    if usage.cpu_mean is not None:
        parts.append(f"CPU {usage.cpu_mean:.0%} of {usage.cores or 1:g} cores")
    if usage.memory_peak is not None and usage.memory_limit:
        parts.append(f"memory {describe_memory(usage.memory_peak, usage.memory_limit)}")
    elif usage.memory_peak is not None:
        parts.append(f"memory {usage.memory_peak / GIBIBYTE:.3g} GB")
    if usage.gpu_mean is not None:
        parts.append(f"GPU {usage.gpu_mean:.0%}")
    return ", ".join(parts)
