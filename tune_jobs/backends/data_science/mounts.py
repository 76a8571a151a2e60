"""Storage mounts of a job, in the words of the REST API.

ADS looks file systems up with a signer of its own, which is not that of the connection.

    oci://bucket@namespace/prefix           objects
    10.0.0.5:/export                        a file system, by the address of its mount target
    ocid1.mounttarget...:ocid1.export...    a file system, by OCIDs
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import endure_briefly

SEARCH = str(policies.MOUNTS)

_OBJECTS = re.compile(r"oci://(?P<bucket>[^@/]+)@(?P<namespace>[^/]+)/?(?P<prefix>.*)")
_FILES = re.compile(r"(?P<target>[^:@/]+)[:@](?P<export>.+)")


def check_mounts(mounts: Sequence[Mapping[str, str]]) -> None:
    """Check storage mounts as a user writes them.

    Raises:
        ConfigError: If one has another form.
    """
    for mount in mounts:
        if mount.keys() != {"src", "dest"}:
            raise ConfigError(f"storage mount {dict(mount)}: write its src and its dest")
        source = mount["src"]
        if not (_OBJECTS.fullmatch(source) or _is_file_system(source)):
            raise ConfigError(
                f"storage mount {source!r}: write oci://bucket@namespace/prefix, "
                "<address of the mount target>:/<export path>, or the OCIDs of both with a colon"
            )


def resolve_mounts(
    mounts: Sequence[Mapping[str, str]], connection: Connection
) -> list[dict[str, Any]]:
    """Return storage mounts as the REST API spells them.

    Raises:
        BackendError: If a file system is not found.
    """
    return [_resolve(mount["src"], mount["dest"], connection) for mount in mounts]


def _resolve(source: str, dest: str, connection: Connection) -> dict[str, Any]:
    path = dest.rstrip("/")
    place: dict[str, Any] = {"destinationDirectoryName": posixpath.basename(path)}
    if parent := posixpath.dirname(path):
        place["destinationPath"] = parent
    objects = _OBJECTS.fullmatch(source)
    if objects:
        named = {name: value for name, value in objects.groupdict().items() if value}
        return {**place, "storageType": "OBJECT_STORAGE", **named}
    files = _FILES.fullmatch(source)
    assert files is not None  # it was checked
    target, export = files["target"], files["export"]
    if not target.startswith("ocid1."):
        # An address belongs to a private IP, and that to a mount target.
        address = _search(connection, target, None)
        target = _search(connection, address, "MountTarget")
    if not export.startswith("ocid1."):
        export = _search(connection, export, "Export")
    return {**place, "storageType": "FILE_STORAGE", "mountTargetId": target, "exportId": export}


def _search(connection: Connection, text: str, kind: str | None) -> str:
    """Return the OCID of the only resource of a kind that a text leads to; of any, the newest."""
    import oci

    client = connection.client(oci.resource_search.ResourceSearchClient)
    details = oci.resource_search.models.FreeTextSearchDetails(
        text=text, matching_context_type="NONE"
    )
    try:
        retries = {"retry_strategy": oci.retry.DEFAULT_RETRY_STRATEGY}
        items = endure_briefly(partial(client.search_resources, details, **retries)).data.items
    except Exception as error:
        doing = f"searching for {kind or 'the resource'} {text!r} of a storage mount"
        raise BackendError(str(explain_refusal(error, doing, SEARCH))) from error
    found = sorted(
        (item for item in items if kind in (None, item.resource_type)),
        key=lambda item: item.time_created,
    )
    if not found or (kind and len(found) > 1):
        raise BackendError(
            f"storage mount: {len(found)} resources of kind {kind or 'any'} are found for "
            f"{text!r}, where one is needed: write the OCIDs of the mount target and the export "
            "with a colon"
        )
    return str(found[-1].identifier)


def _is_file_system(source: str) -> bool:
    files = _FILES.fullmatch(source)
    if files is None:
        return False
    target, export = files["target"], files["export"]
    is_target = target.startswith("ocid1.mounttarget.") or re.fullmatch(r"[\d.]+", target)
    return bool(is_target) and export.startswith(("/", "ocid1.export."))
