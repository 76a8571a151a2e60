"""Peculiarities of file systems that fsspec does not hide."""

from __future__ import annotations

import secrets
import socket
import threading
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.other_user import USER, call_as, needs_root
from tests.other_user import open_folder as open_to_all
from tune_jobs.errors import StoreError
from tune_jobs.metric_store.file_system import FsspecFolder
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.testing.faulty_file_system import FileSystemFaults


@pytest.fixture
def faults() -> FileSystemFaults:
    return FileSystemFaults(fsspec.filesystem("memory"), f"/runs-{secrets.token_hex(4)}")


def test_a_range_that_starts_at_the_end_may_be_rejected(faults: FileSystemFaults) -> None:
    folder = open_folder("faulty://s", {"faults": faults})
    folder.write("file", b"12345")
    faults.refuses_empty_ranges = True
    assert [folder.read("file", start) for start in (4, 5, 6)] == [b"5", b"", b""]
    faults.fail()
    with pytest.raises(StoreError, match="reading faulty://s/file failed: the network is down"):
        folder.read("file", 5)


@pytest.mark.parametrize("last", [1, 3, 100])
def test_a_wrong_size_does_not_make_the_end_longer(faults: FileSystemFaults, last: int) -> None:
    folder = open_folder("faulty://s", {"faults": faults})
    folder.write("file", b"12345")
    faults.falsify_listings()
    assert folder.read("file", -last) == b"12345"[-last:]


def test_a_file_system_that_does_not_reconnect_is_opened_anew() -> None:
    """As fsspec's FTP: a connection that the server has closed fails for ever."""

    class Connection(MemoryFileSystem):  # type: ignore[misc]
        protocol = "connection"
        cachable = True
        opened = 0

        def __init__(self, **options: object) -> None:
            super().__init__(**options)
            Connection.opened += 1
            self.closed = False

        def cat_file(self, path: str, **options: object) -> object:
            if self.closed:
                raise EOFError
            return super().cat_file(path, **options)

    fsspec.register_implementation("connection", Connection, clobber=True)
    folder = FsspecFolder(f"connection://{secrets.token_hex(4)}", {})
    folder.write("file", b"1")
    fsspec.filesystem("connection").closed = True
    with pytest.raises(StoreError, match=r"reading connection://.*/file failed: EOFError"):
        folder.read("file")
    assert folder.read("file") == b"1"
    assert Connection.opened == 2


@pytest.mark.filterwarnings("ignore")  # of the FTP client's sockets
def test_an_error_of_an_ftp_server_is_not_a_missing_file() -> None:
    """fsspec raises FileNotFoundError for any reply of an error."""
    replies = {"USER": "331 x", "PASS": "230 x", "TYPE": "200 x", "PASV": "421 too many"}

    def serve(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, client.makefile("rw", newline="\r\n") as lines:
            lines.write("220 ready\n")
            lines.flush()
            for line in lines:
                lines.write(replies.get(line.split()[0], "200 x") + "\n")
                lines.flush()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        folder = open_folder(f"ftp://127.0.0.1:{listener.getsockname()[1]}/runs", {})
        with pytest.raises(StoreError, match="421 too many"):
            folder.read("file")
        del folder
    thread.join()


def test_what_an_interrupted_write_left_is_not_listed(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path), {})
    folder.write("runs/a.txt", b"x")
    (tmp_path / "runs" / ".a.txt.0123abcd.part").write_text("half")
    (tmp_path / "runs" / "b.part").write_text("x")
    assert folder.find("runs") == ["a.txt", "b.part"]


def test_an_unwritable_place_says_why(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError, match=r"writing .*/store/a/b failed: .*Not a directory"):
        open_folder(str(tmp_path / "store"), {}).write("a/b", b"x")


def test_an_unknown_protocol() -> None:
    with pytest.raises(StoreError, match=r"opening the metric store 'nowhere://x'.*nowhere"):
        open_folder("nowhere://x", {})


def test_a_new_folder_and_its_files_are_private(tmp_path: Path) -> None:
    FsspecFolder(f"{tmp_path}/runs/study", {}).write("final/provenance.json", b"{}")
    modes = {
        path.relative_to(tmp_path).as_posix(): oct(path.stat().st_mode & 0o7777)
        for path in tmp_path.rglob("*")
    }
    assert modes == {
        "runs": "0o700",
        "runs/study": "0o700",
        "runs/study/final": "0o700",
        "runs/study/final/provenance.json": "0o600",
    }


@needs_root
def test_the_store_of_another_user_is_refused_with_its_owner() -> None:
    with open_to_all() as place:
        folder = FsspecFolder(f"{place}/runs", {})
        folder.write("file", b"1")
        refused = f"{place}/runs cannot be entered by user {USER}: it belongs to root"
        for use in (
            lambda: folder.read("file"),
            lambda: folder.write("file", b"2"),
            lambda: folder.entries("deeper"),
        ):
            answer = call_as(USER, use)
            assert "StoreError" in answer
            assert refused in answer
        (place / "runs").chmod(0o755)
        written = call_as(USER, lambda: folder.write("other", b"2"))
        assert f"{place}/runs cannot be written to by user {USER}" in written
