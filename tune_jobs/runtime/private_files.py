"""Who may read the files that tune_jobs writes. Python 3.8 on.

They are private to the user: 0600, and 0700 for folders. Below a folder that is shared (its group
may write to it, or it passes its group on), they follow its group and mode. `choose_mode` decides
it; everything else here applies it.

Sources: open(2), inode(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from typing import Union

PathLike = Union[str, "os.PathLike[str]"]

_PRIVATE = 0o700
_NOT_IN_FILES = 0o7111


def choose_mode(folder: os.stat_result) -> int:
    """Return the mode of a new folder inside of another one; files have it without execution.

    Args:
        folder: Status of the folder around it.
    """
    mode = stat.S_IMODE(folder.st_mode)
    if mode & stat.S_ISVTX and mode & stat.S_IWOTH:  # such as /tmp: everybody's, but not shared
        return _PRIVATE
    if mode & (stat.S_ISGID | stat.S_IWGRP):
        return (mode | _PRIVATE) & ~stat.S_ISVTX
    return _PRIVATE


def open_private(path: PathLike, flags: int) -> int:
    """Open a file as ``os.open`` does; a new one gets the mode that its folder asks for.

    To be passed to `open` as its ``opener``. A file that exists keeps its mode.
    """
    if not flags & os.O_CREAT:
        return os.open(path, flags)
    try:
        descriptor = os.open(path, flags | os.O_EXCL, 0o600)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        return os.open(path, flags, 0o600)  # the target of a link may be missing
    _share(descriptor, os.path.dirname(path) or ".", _NOT_IN_FILES)
    return descriptor


def create_private(path: PathLike) -> None:
    """Create an empty file if there is none."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    with contextlib.suppress(FileExistsError):
        os.close(open_private(path, flags | os.O_EXCL))


def make_folders(path: PathLike) -> None:
    """Create a folder, and those around it, as far as they are missing.

    Raises:
        OSError: If that is not possible; a FileExistsError if there is something else.
    """
    text = os.fspath(path)
    if os.path.isdir(text):
        return
    parent = os.path.dirname(text.rstrip(os.sep)) or "."
    if not os.path.exists(parent):
        make_folders(parent)
    try:
        os.mkdir(text, 0o700)
    except FileExistsError:  # another process may have created it meanwhile
        if not os.path.isdir(text):
            raise
        return
    if hasattr(os, "fchown"):  # not on Windows, which opens no folders either
        # In a shared folder, others may replace a new folder by a link to another one of this user.
        descriptor = os.open(text, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _share(descriptor, parent, 0)
        finally:
            os.close(descriptor)


def make_closed_folder(path: PathLike) -> None:
    """Create a folder that only this user can enter, wherever it is.

    Raises:
        OSError: If that is not possible; a PermissionError if it is another user's, open to
            others, or a link.
    """
    make_folders(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    status = os.lstat(path)
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or not stat.S_ISDIR(status.st_mode):
        raise PermissionError(errno.EACCES, "it is not closed to others", os.fspath(path))


def _share(descriptor: int, folder: PathLike, without: int) -> None:
    """Give a new, private file or folder the group and the mode that its folder asks for.

    It stays private if it cannot have the group: another one must not get the same rights.
    """
    if not hasattr(os, "fchown"):  # Windows
        return
    with contextlib.suppress(OSError):  # not a member, or a file system without modes
        around = os.stat(folder)
        mode = choose_mode(around)
        if mode == _PRIVATE:
            return
        if os.fstat(descriptor).st_gid != around.st_gid:
            os.fchown(descriptor, -1, around.st_gid)
        os.fchmod(descriptor, mode & ~without)


def find_refusal(path: PathLike, *, write: bool) -> str:
    """Return which file or folder refuses this user, whose it is, and the fix.

    Args:
        path: A file that could not be used, or is not to be created.
        write: Whether it has to be written, with files beside it.

    Returns:
        An explanation, or an empty string if permissions are not what is wrong.
    """
    text = os.path.abspath(os.fspath(path))
    folders = [text]
    while os.path.dirname(folders[0]) != folders[0]:
        folders.insert(0, os.path.dirname(folders[0]))
    for folder in folders[:-1]:
        if os.path.isdir(folder) and not _may(folder, os.X_OK):
            return _describe_refusal(folder, "entered")
    if os.path.exists(text):
        if not _may(text, os.R_OK):
            return _describe_refusal(text, "read")
        if write and not _may(text, os.W_OK):
            return _describe_refusal(text, "written")
    existing = next(folder for folder in reversed(folders[:-1]) if os.path.isdir(folder))
    if write and not _may(existing, os.W_OK):
        return _describe_refusal(existing, "written to")
    return ""


def _may(path: str, access: int) -> bool:
    if access == os.W_OK and hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
        return True  # no permission changes that
    if os.access in os.supports_effective_ids:
        return os.access(path, access, effective_ids=True)
    return os.access(path, access)


def _describe_refusal(path: str, action: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return f"{path} cannot be {action} by {_name_user(_user())}"
    owner = _name_user(status.st_uid)
    if status.st_uid == _user():
        fix = f"chmod u+rwX {shlex.quote(path)}"
    else:
        fix = (
            f"work as {owner}, use a place of your own, or ask {owner} to share it with a group: "
            f"{_describe_sharing(path, action)}"
        )
    mode = stat.S_IMODE(status.st_mode)
    return (
        f"{path} cannot be {action} by {_name_user(_user())}: it belongs to {owner}, with mode "
        f"{mode:04o}; {fix}"
    )


def _describe_sharing(path: str, action: str) -> str:
    """Return the commands that give a group no more than what was refused."""
    file = shlex.quote(path)
    if action == "entered":
        return f"chgrp GROUP {file} && chmod g+x {file}"
    if action == "read":
        return f"chgrp GROUP {file} && chmod g+{'rx' if os.path.isdir(path) else 'r'} {file}"
    if os.path.isdir(path):
        return f"chgrp GROUP {file} && chmod g+rwxs {file}"
    folder = shlex.quote(os.path.dirname(path))  # databases have further files beside them
    return f"chgrp GROUP {file} {folder} && chmod g+rw {file} && chmod g+rwxs {folder}"


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _name_user(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return f"user {uid}"
