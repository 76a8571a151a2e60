"""The answer to a request about a study that does not exist, unlike that about a part of one."""

from __future__ import annotations

from werkzeug.exceptions import NotFound


class StudyNotFound(NotFound):
    """There is no study with a key: it was deleted, or its storage is not served."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no study with the key {key!r}")
