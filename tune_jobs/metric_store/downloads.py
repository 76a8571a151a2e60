"""Files that are downloaded: complete, inside of their folder, and never over another file."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tune_jobs.errors import ConfigError
from tune_jobs.runtime.private_files import make_folders, open_private


def plan_paths(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return a path inside of a folder for each name, whatever the names are.

    In an object store ``a`` and ``a/b`` may both be files: here ``a`` becomes ``a_``.
    """
    paths = {name: folder.joinpath(*_safe_parts(name)) for name in names}
    taken = {parent for path in paths.values() for parent in path.parents}
    for name, path in paths.items():
        while path in taken:
            path = path.with_name(f"{path.name}_")
        taken.add(path)
        paths[name] = path
    return paths


def _safe_parts(name: str) -> list[str]:
    return [_safe_part(part) for part in name.split("/") if part] or ["_"]


def _safe_part(part: str) -> str:
    if part in (".", ".."):
        return part.replace(".", "%2E")
    return "".join(c if c.isprintable() and c != "\\" else f"%{ord(c):02X}" for c in part)


def is_same(path: Path, size: int, modified: float | None) -> bool:
    """Return whether a local file has this size and time of modification."""
    try:
        found = path.lstat()
    except OSError:
        return False
    same_time = modified is not None and abs(found.st_mtime - modified) < 1e-3
    return path.is_file() and not path.is_symlink() and found.st_size == size and same_time


@contextmanager
def new_file(path: Path, modified: float | None, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Yield a file to write, which gets its name once the block has ended without an error.

    Args:
        path: Its path; missing folders are created.
        modified: Time of modification that it gets, in seconds since the epoch.
        overwrite: Whether it may replace another file.

    Raises:
        ConfigError: If it cannot be written, or another file has the name.
    """
    partial = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        make_folders(path.parent)
        with open(partial, "xb", opener=open_private) as file:
            yield file
        if modified is not None:
            os.utime(partial, (modified, modified))
        _give_name(partial, path, overwrite=overwrite)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # it has its name already, or its folder could not be created
            partial.unlink()


def _give_name(partial: Path, path: Path, *, overwrite: bool) -> None:
    """Rename a complete file, without replacing another one unless that is wanted."""
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        partial.rename(path)
