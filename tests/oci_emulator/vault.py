"""Vault: secrets with their versions and stages, and the bundles that hold the values.

Two services: the management of secrets below ``/20180608``, which shows no values, and their
retrieval below ``/20190301``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response
from werkzeug.routing import Rule

from tests.oci_emulator.errors import ServiceError, incorrect_state, invalid, not_found
from tests.oci_emulator.object_storage import rfc3339
from tests.oci_emulator.policies import Target
from tests.oci_emulator.routing import Routes
from tests.oci_emulator.world import World, principal_of

STAGES = ("CURRENT", "PENDING", "LATEST", "PREVIOUS", "DEPRECATED")
_PICKS = ("versionNumber", "secretVersionName", "stage")
_RETRIEVAL, _MANAGEMENT = "/20190301", "/20180608"
_RULES = [
    (f"{_RETRIEVAL}/secretbundles/<id>", "GET", "get_secret_bundle"),
    (f"{_RETRIEVAL}/secretbundles/<id>/versions", "GET", "list_secret_bundle_versions"),
    (f"{_RETRIEVAL}/secretbundles/actions/getByName", "POST", "get_secret_bundle_by_name"),
    (f"{_MANAGEMENT}/secrets", "GET", "list_secrets"),
    (f"{_MANAGEMENT}/secrets/<id>", "GET", "get_secret"),
]
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "get_secret_bundle": _PICKS,
    "list_secret_bundle_versions": ("limit", "page", "sortBy", "sortOrder"),
    "get_secret_bundle_by_name": (*_PICKS, "secretName", "vaultId"),
    "list_secrets": (
        *("compartmentId", "name", "vaultId", "lifecycleState"),
        *("limit", "page", "sortBy", "sortOrder"),
    ),
    "get_secret": (),
}


@dataclass
class Version:
    """Version of a secret.

    Args:
        content: The value; the service accepts no empty one.
    """

    number: int
    name: str | None
    content: bytes
    created: float
    stages: set[str] = field(default_factory=set)


@dataclass
class StoredSecret:
    """Secret in a vault."""

    id: str
    name: str
    vault: str
    compartment: str
    created: float
    state: str = "ACTIVE"
    versions: list[Version] = field(default_factory=list)


class Vault:
    """Secrets of a tenancy.

    Attributes:
        id: OCID of the vault that holds all of them.
        secrets: By OCID.
    """

    prefixes: tuple[str, ...] = (_RETRIEVAL, _MANAGEMENT)

    def __init__(self, world: World) -> None:
        self._world = world
        self.id = "ocid1.vault.oc1..emulated"
        self.secrets: dict[str, StoredSecret] = {}
        self._routes = Routes(
            Rule(path, methods=[method], endpoint=name) for path, method, name in _RULES
        )

    # -- what a test does -------------------------------------------------------------------------

    def add(self, name: str, content: bytes, compartment: str = "") -> str:
        """Create a secret; return its OCID."""
        world, ocid = self._world, self._world.new_ocid("vaultsecret")
        place = compartment or world.compartment
        self.secrets[ocid] = StoredSecret(ocid, name, self.id, place, world.clock())
        self.rotate(ocid, content)
        return ocid

    def rotate(
        self, ocid: str, content: bytes, *, pending: bool = False, name: str | None = None
    ) -> None:
        """Add a version: it becomes the current one, unless it is ``pending``."""
        versions = self.secrets[ocid].versions
        version = Version(len(versions) + 1, name, content, self._world.clock())
        for other in versions:
            other.stages -= {"LATEST", "PENDING"} if pending else {"LATEST"}
        versions.append(version)
        version.stages = {"LATEST", "PENDING"} if pending else {"LATEST"}
        if not pending:
            self.promote(ocid, version.number)

    def promote(self, ocid: str, number: int) -> None:
        """Make a version the current one: the one before is the previous, others deprecated."""
        versions = self.secrets[ocid].versions
        for version in versions:
            if "CURRENT" in version.stages:
                version.stages = (version.stages - {"CURRENT"}) | {"PREVIOUS"}
            elif "PREVIOUS" in version.stages:
                version.stages = (version.stages - {"PREVIOUS"}) | {"DEPRECATED"}
        chosen = versions[number - 1]
        chosen.stages = (chosen.stages - {"PENDING", "PREVIOUS", "DEPRECATED"}) | {"CURRENT"}

    def set_state(self, ocid: str, state: str) -> None:
        """Set a state, such as ``PENDING_DELETION`` or ``DELETED``."""
        self.secrets[ocid].state = state

    # -- the services -----------------------------------------------------------------------------

    def operation(self, request: Request) -> str:
        """See `Service.operation`."""
        return self._routes.operation(request)

    def handle(self, request: Request, body: bytes) -> Response:
        """See `Service.handle`."""
        name, values = self._routes.match(request)
        unknown = request.args.keys() - set(_PARAMETERS[name])
        if unknown:
            raise invalid(f"unknown parameter {sorted(unknown)[0]!r} of {name}")
        answer: Callable[..., Any] = getattr(self, f"_{name}")
        with self._world.lock:
            return Response(json.dumps(answer(request, **values)), content_type="application/json")

    def _get_secret_bundle(self, request: Request, id: str) -> dict[str, Any]:
        return self._read(request, self.secrets.get(id), id)

    def _get_secret_bundle_by_name(self, request: Request) -> dict[str, Any]:
        name, vault = request.args.get("secretName"), request.args.get("vaultId")
        if not name or not vault:
            raise ServiceError(400, "MissingParameter", "secretName and vaultId are required")
        found = [s for s in self.secrets.values() if (s.name, s.vault) == (name, vault)]
        return self._read(request, found[0] if found else None, name)

    def _read(self, request: Request, secret: StoredSecret | None, what: str) -> dict[str, Any]:
        """Return the bundle of a version; unknown and forbidden secrets look the same."""
        picks = [pick for pick in _PICKS if pick in request.args]
        if len(picks) > 1:
            raise invalid(f"{' and '.join(picks)} exclude each other")
        secret = self._require(request, secret, "read", "secret-bundles", what)
        if secret.state != "ACTIVE":
            if self._world.deviates("deleted-secret"):
                raise incorrect_state(f"secret {secret.id} is in state {secret.state}")
            raise not_found(what)
        wanted = request.args.get(picks[0]) if picks else "CURRENT"
        if wanted == "CURRENT" and self._world.deviates("current-stage"):
            wanted = "LATEST"
        version = _pick(secret, picks[0] if picks else "stage", wanted or "")
        return self._show_bundle(secret, version)

    def _list_secret_bundle_versions(self, request: Request, id: str) -> list[dict[str, Any]]:
        secret = self._require(request, self.secrets.get(id), "inspect", "secret-bundles", id)
        return [
            {**self._show_bundle(secret, version), "secretBundleContent": None}
            for version in secret.versions
        ]

    def _get_secret(self, request: Request, id: str) -> dict[str, Any]:
        return self._show(self._require(request, self.secrets.get(id), "read", "secrets", id))

    def _list_secrets(self, request: Request) -> list[dict[str, Any]]:
        place = request.args.get("compartmentId")
        if not place:
            raise ServiceError(400, "MissingParameter", "compartmentId is required")
        self._world.require(request, "inspect", "secrets", place)
        wanted = request.args.get("name"), request.args.get("lifecycleState")
        return [
            self._show(secret)
            for secret in self.secrets.values()
            if secret.compartment == place
            and wanted[0] in (None, secret.name)
            and wanted[1] in (None, secret.state)
        ]

    def _require(
        self, request: Request, secret: StoredSecret | None, verb: str, resource: str, what: str
    ) -> StoredSecret:
        if secret is None:
            raise not_found(what)
        target = Target(secret.compartment, secret=secret.id, secret_name=secret.name)
        if not self._world.access.allows(principal_of(request), verb, resource, target):
            raise not_found(what)
        return secret

    def _show(self, secret: StoredSecret) -> dict[str, Any]:
        current = [v.number for v in secret.versions if "CURRENT" in v.stages]
        return {
            "id": secret.id,
            "compartmentId": secret.compartment,
            "vaultId": secret.vault,
            "secretName": secret.name,
            "lifecycleState": secret.state,
            "timeCreated": rfc3339(secret.created),
            "keyId": "ocid1.key.oc1..emulated",
            "currentVersionNumber": current[0] if current else None,
        }

    def _show_bundle(self, secret: StoredSecret, version: Version) -> dict[str, Any]:
        return {
            "secretId": secret.id,
            "versionNumber": version.number,
            "versionName": version.name,
            "timeCreated": rfc3339(version.created),
            "stages": sorted(version.stages),
            "metadata": None,
            "secretBundleContent": {
                "contentType": "BASE64",
                "content": base64.b64encode(version.content).decode(),
            },
        }


def _pick(secret: StoredSecret, kind: str, wanted: str) -> Version:
    """Return the version that a request asks for."""
    if kind == "stage" and wanted not in STAGES:
        raise invalid(f"stage {wanted!r} is not in {STAGES}")
    if kind == "versionNumber" and not wanted.isdigit():
        raise invalid(f"versionNumber {wanted!r} is not a number")
    for version in reversed(secret.versions):
        found = {"versionNumber": str(version.number), "secretVersionName": version.name}
        if wanted in version.stages if kind == "stage" else found[kind] == wanted:
            return version
    raise not_found(f"{kind} {wanted} of {secret.id}")
