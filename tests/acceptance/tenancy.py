"""Tenancy in which the tests of OCI run: the emulated one, or one that a file describes.

connection: {profile: DEFAULT}            # arguments of tune_jobs.Connection
infrastructure:                           # arguments of tune_jobs.Infrastructure
  compartment: ocid1.compartment.oc1..
  project: ocid1.datascienceproject.oc1..
  shape: VM.Standard.E4.Flex
  ocpus: 1
  memory_gb: 16
  log_group: ocid1.loggroup.oc1..
conda: generalml_p311_cpu_x86_64_v1
store: oci://bucket@namespace/acceptance
price_per_hour: 0.05
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tune_jobs import Connection, Infrastructure

VARIABLE = "TUNE_JOBS_TENANCY"
SESSION = "TUNE_JOBS_ACCEPTANCE"
TAG = "tune_jobs_acceptance"

_KEYS = {"connection", "infrastructure", "conda", "store", "price_per_hour", "poll_seconds"}


@dataclass(frozen=True)
class Tenancy:
    """Tenancy of a file.

    Args:
        store: URI below which all objects are.
        price_per_hour: Price of an hour of the shape.
        poll_seconds: Seconds between two polls.
    """

    connection: Connection
    infrastructure: Infrastructure
    store: str
    conda: str | None = None
    price_per_hour: float | None = None
    poll_seconds: float = 5.0


def read_tenancy(path: str | os.PathLike[str], session: str) -> Tenancy:
    """Read a file; everything that is made has the session's name.

    Raises:
        ValueError: If a key is unknown.
    """
    given: Mapping[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    unknown = given.keys() - _KEYS
    if unknown:
        raise ValueError(f"{path}: unknown key {sorted(unknown)[0]!r}; known: {sorted(_KEYS)}")
    others = {k: v for k, v in given.items() if k not in ("connection", "infrastructure", "store")}
    infrastructure = Infrastructure(**given["infrastructure"])
    return Tenancy(
        connection=Connection(**given.get("connection") or {}),
        infrastructure=replace(infrastructure, tags={**infrastructure.tags, TAG: session}),
        store=f"{given['store'].rstrip('/')}/{session}",
        **others,
    )


@cache
def _read(path: str, session: str) -> Tenancy:
    return read_tenancy(path, session)


def find_tenancy() -> Tenancy | None:
    """Return the tenancy of this process; None for the emulated one."""
    path = os.environ.get(VARIABLE)
    return None if path is None else _read(path, os.environ[SESSION])
