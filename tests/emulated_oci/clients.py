"""Clients of the SDK for the emulator, without retries."""

from __future__ import annotations

from typing import Any

import oci
import pytest
from oci.exceptions import ServiceError

from tests.oci_emulator import Emulator


def open_client(kind: Any, emulator: Emulator, **changes: Any) -> Any:
    return kind(
        {**emulator.config(), **changes},
        service_endpoint=emulator.endpoint,
        retry_strategy=oci.retry.NoneRetryStrategy(),
        circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
        timeout=(5, 5),
    )


def raises_error(status: int, code: str) -> Any:
    return pytest.raises(ServiceError, check=lambda e: (e.status, e.code) == (status, code))
