"""The operation that a request calls, by the SDK's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from werkzeug import Request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from tests.oci_emulator.errors import ServiceError


class Routes:
    """Addresses of a service.

    Args:
        rules: Their endpoints are names of operations.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._map = Map(rules)

    def operation(self, request: Request) -> str:
        """Return the operation that a request calls; ``none`` if there is none."""
        try:
            return self.match(request)[0]
        except ServiceError:
            return "none"

    def match(self, request: Request) -> tuple[str, Mapping[str, Any]]:
        """Return the operation that a request calls, and what its address says.

        Raises:
            ServiceError: If there is none (404).
        """
        try:
            name, values = self._map.bind("").match(request.path, request.method)
        except HTTPException:
            message = f"there is no {request.method} {request.path}"
            raise ServiceError(404, "NotFound", message) from None
        return str(name), values
