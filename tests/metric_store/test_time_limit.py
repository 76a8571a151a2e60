"""A place that never answers."""

from __future__ import annotations

import io
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import Folder
from tune_jobs.metric_store.file_system import FsspecFolder
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.metric_store.time_limit import TimeLimitedFolder


class Place:
    """A folder whose next read, or opening, hangs until it is released."""

    def __init__(self, folder: Path) -> None:
        self.uri, self.released = str(folder), threading.Event()
        self.hangs_once, self.opened = False, 0

    def hang(self) -> None:
        if self.hangs_once:
            self.hangs_once = False
            self.released.wait(60)

    def open(self) -> Folder:
        self.opened += 1
        self.hang()
        place = self

        class Hanging(FsspecFolder):
            def read(self, path: str, start: int = 0) -> bytes:
                place.hang()
                return super().read(path, start)

        return Hanging(self.uri, {})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.released.set()


def store_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "tune_jobs-store"]


def test_a_read_that_hangs_is_an_error_and_the_next_one_works(place: Place) -> None:
    folder = TimeLimitedFolder("far://s", place.open, 0.2)
    folder.write("a", b"x")
    place.hangs_once = True
    with pytest.raises(StoreError, match=r"far://s did not answer within 0.2 s: reading a"):
        folder.read("a")
    assert folder.read("a") == b"x"
    assert place.opened == 2, "the client that hangs is not used again"


def test_a_place_that_cannot_be_opened_in_time(place: Place) -> None:
    place.hangs_once = True
    with pytest.raises(StoreError, match=r"did not answer within 0.05 s: opening the folder"):
        TimeLimitedFolder("far://s", place.open, 0.05)


def test_threads_end_with_their_folder(place: Place) -> None:
    before = set(store_threads())
    folder = TimeLimitedFolder("far://s", place.open, 0.2)
    place.hangs_once = True
    with pytest.raises(StoreError):
        folder.read("a")
    with pytest.raises(FileNotFoundError):
        folder.read("a")
    started = set(store_threads()) - before
    assert len(started) == 2
    place.released.set()
    del folder
    for thread in started:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        (lambda folder: str(folder), FsspecFolder),
        (lambda folder: f"file://{folder}", FsspecFolder),
        (lambda folder: f"memory://{secrets.token_hex(4)}", FsspecFolder),
    ],
)
def test_local_places_need_no_limit(uri: Callable[[Path], str], kind: type, tmp_path: Path) -> None:
    assert type(open_folder(uri(tmp_path), {})) is kind


def test_the_limit_of_a_download_is_one_for_each_piece(place: Place, tmp_path: Path) -> None:
    pieces = iter([0.1] * 5)

    class Slow(FsspecFolder):
        def download(self, path: str, target: BinaryIO) -> None:
            for seconds in pieces:
                threading.Event().wait(seconds)
                target.write(b"x")
            place.hang()

    folder = TimeLimitedFolder("far://s", lambda: Slow(place.uri, {}), 0.3)
    copied = io.BytesIO()
    folder.download("a", copied)
    assert copied.getvalue() == b"xxxxx"
    place.hangs_once = True
    with pytest.raises(StoreError, match=r"far://s did not answer within 0.3 s: reading a"):
        folder.download("a", copied)
