"""Children that the user's process forks must not keep what belongs to its tuner.

A lock is freed, and a connection ends, when its last descriptor is closed. A child inherits the
descriptors: it would keep a study locked, and its host waiting, after the tuner was killed.
"""

from __future__ import annotations

import os
import socket
import weakref

_locks: set[int] = set()
_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def keep_lock(descriptor: int) -> int:
    """Keep a locked descriptor from children; returns it. Close it with `release_lock`."""
    _locks.add(descriptor)
    return descriptor


def release_lock(descriptor: int) -> None:
    """Close a descriptor of `keep_lock`."""
    _locks.discard(descriptor)
    os.close(descriptor)


def keep_socket(connection: socket.socket) -> socket.socket:
    """Keep a connection from children; returns it."""
    _sockets.add(connection)
    return connection


def _close_in_child() -> None:
    for descriptor in _locks:
        os.close(descriptor)
    _locks.clear()
    for connection in _sockets:
        connection.close()


os.register_at_fork(after_in_child=_close_in_child)
