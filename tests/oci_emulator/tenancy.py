"""Services about a tenancy: compartments, users, limits, log groups, subnets, repositories."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from werkzeug import Request, Response
from werkzeug.routing import Rule

from tests.oci_emulator.errors import invalid, not_found
from tests.oci_emulator.object_storage import rfc3339
from tests.oci_emulator.routing import Routes
from tests.oci_emulator.world import World

_LIMITS = "/20190729"
_RULES = [
    ("/20160918/compartments/<id>", "get_compartment"),
    ("/20160918/subnets/<id>", "get_subnet"),
    ("/20160918/container/images", "list_container_images"),
    ("/20200531/logGroups/<id>", "get_log_group"),
    ("/20181025/limitValues", "list_limit_values"),
    ("/20181025/services/<service>/limits/<name>/resourceAvailability", "get_availability"),
    (f"{_LIMITS}/limitValues", "list_limit_values"),
    (f"{_LIMITS}/services/<service>/limits/<name>/resourceAvailability", "get_availability"),
]


class Tenancy:
    """Services of a tenancy that are only read.

    Attributes:
        images: Names of the images in the registry (``repository:tag``).
        resources: What a search finds: OCID, type and a text that leads to it.
    """

    prefixes: tuple[str, ...] = ("/20180409", "/20160918", "/20200531", "/20181025", _LIMITS)

    def __init__(self, world: World) -> None:
        self._world = world
        self.images: list[str] = []
        self.resources: list[tuple[str, str, str]] = []
        self._routes = Routes(
            [
                Rule("/20180409/resources", methods=["POST"], endpoint="search_resources"),
                *(Rule(path, methods=["GET"], endpoint=name) for path, name in _RULES),
            ]
        )

    def operation(self, request: Request) -> str:
        """See `Service.operation`."""
        return self._routes.operation(request)

    def handle(self, request: Request, body: bytes) -> Response:
        """See `Service.handle`."""
        name, values = self._routes.match(request)
        answer: Callable[..., Any] = getattr(self, f"_{name}")
        with self._world.lock:
            return Response(json.dumps(answer(request, **values)), content_type="application/json")

    def _search_resources(self, request: Request) -> dict[str, Any]:
        text = json.loads(request.get_data())["text"]
        found = [
            {
                "resourceType": kind,
                "identifier": ocid,
                "compartmentId": self._world.compartment,
                "timeCreated": rfc3339(self._world.clock()),
                "lifecycleState": "ACTIVE",
            }
            for ocid, kind, words in self.resources
            if words == text
        ]
        return {"items": found}

    def _get_compartment(self, request: Request, id: str) -> dict[str, Any]:
        found = self._world.access.compartments.get(id)
        if found is None:
            raise not_found(f"compartment {id}")
        self._world.require(request, "inspect", "compartments", id)
        return {
            "id": id,
            "compartmentId": found.parent,
            "name": found.name,
            "description": found.name,
            "timeCreated": rfc3339(self._world.clock()),
            "lifecycleState": "ACTIVE",
        }

    def _get_subnet(self, request: Request, id: str) -> dict[str, Any]:
        place = self._world.subnets.get(id, self._world.compartment)
        self._world.require(request, "read", "subnets", place)
        return {
            "id": id,
            "compartmentId": place,
            "cidrBlock": "10.0.0.0/24",
            "lifecycleState": "AVAILABLE",
            "routeTableId": "ocid1.routetable.oc1..emulated",
            "vcnId": "ocid1.vcn.oc1..emulated",
            "virtualRouterIp": "10.0.0.1",
            "virtualRouterMac": "00:00:17:00:00:00",
        }

    def _get_log_group(self, request: Request, id: str) -> dict[str, Any]:
        place = self._world.log_groups.get(id, self._world.compartment)
        self._world.require(request, "inspect", "log-groups", place)
        return {"id": id, "compartmentId": place, "displayName": "logs", "lifecycleState": "ACTIVE"}

    def _list_container_images(self, request: Request) -> dict[str, Any]:
        place = request.args.get("compartmentId", "")
        self._world.require(request, "inspect", "repos", place)
        wanted = request.args.get("displayName")
        names = [name for name in self.images if wanted in (None, name)]
        return {"items": [{"displayName": name} for name in names], "remainingItemsCount": 0}

    def _list_limit_values(self, request: Request) -> list[dict[str, Any]]:
        if request.args.get("compartmentId") != self._world.tenancy:
            raise invalid("limits are those of the tenancy: compartmentId is not its OCID")
        self._world.require(request, "inspect", "resource-availability", self._world.tenancy)
        return [
            {"name": name, "scopeType": "REGION", "value": value}
            for name, value in self._world.limits.available.items()
        ]

    def _get_availability(self, request: Request, service: str, name: str) -> dict[str, Any]:
        self._world.require(request, "inspect", "resource-availability", self._world.tenancy)
        available = self._world.limits.available.get(name)
        if service != "data-science" or available is None:
            raise not_found(f"limit {name} of {service}")
        return {"used": 0, "available": available}
