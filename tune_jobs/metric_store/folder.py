"""Open the folder that a URI of the metric store names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.metric_store.base import Folder

SCHEME = "oci://"

ANSWER_SECONDS = 300.0
"""Time limit in seconds for one operation on a remote file system."""

_LOCAL = ("file", "local", "memory")


def open_folder(uri: str, options: Mapping[str, Any]) -> Folder:
    """Open the folder at ``uri``.

    Args:
        uri: Plain path, ``oci://bucket@namespace/prefix`` or any URI that fsspec supports.
        options: For ``oci://``, a ``connection``; otherwise arguments of fsspec's file system.

    Raises:
        StoreError: If the URI is invalid, a package is missing or the place cannot be reached.
    """
    if uri.startswith(SCHEME):
        from tune_jobs.metric_store.object_storage import ObjectStorageFolder

        return ObjectStorageFolder(uri, options.get("connection"))
    from fsspec.utils import get_protocol

    from tune_jobs.metric_store.file_system import FsspecFolder
    from tune_jobs.metric_store.time_limit import TimeLimitedFolder

    if get_protocol(uri) in _LOCAL:
        return FsspecFolder(uri, options)
    return TimeLimitedFolder(uri, lambda: FsspecFolder(uri, options), ANSWER_SECONDS)
