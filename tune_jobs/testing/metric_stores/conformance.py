"""What the tuner expects from a metric store."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from tune_jobs.core.strict_json import encode_json
from tune_jobs.metric_store.base import Folder
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.records import MAX_LINE, MAX_METRICS, Record, encode
from tune_jobs.testing.metric_stores.place import HISTORY, METRICS, RUN, Place


class MetricStoreTestCase:
    """What the tuner expects of a place for a metric store.

    Attributes:
        atomic_writes: Whether a reader sees either the old or the new content of a file that is
            overwritten; otherwise it may see a beginning of the new one.
        names: Names of files, and of folders, that have to work.
        many: Number of files in the largest listing.
        large: Size in bytes of the largest file.
    """

    atomic_writes: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = (
        *("a b", "ü €", "a+b=c,d", "100%", "%41", "model(1)", "x@y", "#1", "what?", "[a]", "*"),
        *("a&b", "it's", "-", "x" * 200),
    )
    many: ClassVar[int] = 1001
    large: ClassVar[int] = 4 << 20

    @pytest.fixture
    def place(self) -> Place:
        """An empty folder."""
        raise NotImplementedError("override the fixture `place`")

    @pytest.fixture
    def folder(self, place: Place) -> Folder:
        """The folder, opened."""
        return place.open()

    @pytest.fixture
    def store(self, place: Place) -> MetricStore:
        """The folder, opened as the store of a study."""
        return place.open_store()

    # -- files ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("data", [b"", b"x", b"line\n", bytes(range(256))])
    def test_a_file_is_read_as_it_was_written(self, folder: Folder, data: bytes) -> None:
        folder.write("runs/a/file", data)
        assert folder.read("runs/a/file") == data

    @pytest.mark.parametrize("data", [b"longer than before", b"short", b""])
    def test_a_file_is_replaced(self, folder: Folder, data: bytes) -> None:
        folder.write("file", b"before....")
        folder.write("file", data)
        assert folder.read("file") == data

    @pytest.mark.parametrize("start", [1, 3, 5, 6, 100])
    def test_a_file_is_read_from_an_offset(self, folder: Folder, start: int) -> None:
        folder.write("metrics/file", b"12345")
        assert folder.read("metrics/file", start) == b"12345"[start:]

    @pytest.mark.parametrize("last", [1, 3, 5, 100])
    def test_the_end_of_a_file_is_read(self, folder: Folder, last: int) -> None:
        folder.write("file", b"12345")
        assert folder.read("file", -last) == b"12345"[-last:]

    @pytest.mark.parametrize("start", [0, 1, 4, 5, 100, -1, -3, -100])
    @pytest.mark.parametrize("length", [1, 2, 100])
    def test_a_part_of_a_file_is_read(self, folder: Folder, start: int, length: int) -> None:
        folder.write("metrics/file", b"12345")
        part = folder.read_part("metrics/file", start, length)
        first = min(5, start) if start >= 0 else max(0, 5 + start)
        assert (part.data, part.start, part.size) == (b"12345"[first:][:length], first, 5)

    @pytest.mark.parametrize("start", [0, 3, -3])
    def test_a_part_of_an_empty_file_is_empty(self, folder: Folder, start: int) -> None:
        folder.write("file", b"")
        part = folder.read_part("file", start, 10)
        assert (part.data, part.start, part.size) == (b"", 0, 0)

    @pytest.mark.parametrize("start", [0, 3, -3])
    def test_a_missing_file_is_not_found(self, folder: Folder, start: int) -> None:
        with pytest.raises(FileNotFoundError):
            folder.read("metrics/file", start)
        with pytest.raises(FileNotFoundError):
            folder.read_part("metrics/file", start, 10)
        folder.write("metrics/other", b"x")
        with pytest.raises(FileNotFoundError):
            folder.read("metrics/file", start)

    def test_a_large_file(self, folder: Folder) -> None:
        data = bytes(range(256)) * (self.large // 256)
        folder.write("file", data)
        assert folder.read("file") == data
        assert folder.read("file", self.large - 10) == data[-10:]
        assert folder.read("file", -10) == data[-10:]

    def test_names_of_files(self, folder: Folder) -> None:
        for name in self.names:
            folder.write(f"runs/{name}/outputs/{name}", name.encode())
        for name in self.names:
            assert folder.read(f"runs/{name}/outputs/{name}") == name.encode()
            assert folder.find(f"runs/{name}/outputs") == [name]
        assert folder.find("runs") == sorted(f"{name}/outputs/{name}" for name in self.names)

    def test_another_client_sees_the_same_files(self, place: Place) -> None:
        first, second = place.open(), place.open()
        assert second.find("runs") == []
        first.write("runs/a", b"1")
        assert second.read("runs/a") == b"1"
        assert second.find("runs") == ["a"]
        second.write("runs/a", b"22")
        assert first.read("runs/a") == b"22"
        second.remove("runs/a")
        with pytest.raises(FileNotFoundError):
            first.read("runs/a")

    # -- listings -------------------------------------------------------------------------------

    def test_versions_are_those_of_a_folder_s_own_files(self, folder: Folder) -> None:
        assert folder.versions("metrics", "a", "z") == {}
        for name in ("a", "b", "c", "sub/b"):
            folder.write(f"metrics/{name}", b"x")
        folder.write("metrics-2/b", b"x")
        assert set(folder.versions("metrics", "a", "z")) == {"a", "b", "c"}
        assert set(folder.versions("metrics", "a", "b")) == {"a", "b"}
        assert set(folder.versions("metrics", "b", "b")) == {"b"}
        assert folder.versions("metrics", "d", "z") == {}

    def test_a_file_that_grows_has_another_version(self, folder: Folder) -> None:
        content = b""
        seen = set()
        for n in range(5):
            content += b"line %d\n" % n
            folder.write("metrics/a", content)
            folder.write("metrics/b", b"the same")
            seen.add(folder.versions("metrics", "a", "a")["a"])
        assert len(seen) == 5 or seen == {""}

    def test_a_file_that_stays_keeps_its_version(self, folder: Folder) -> None:
        folder.write("metrics/a", b"x")
        before = folder.versions("metrics", "a", "a")
        folder.read("metrics/a")
        folder.write("metrics/b", b"y")
        assert folder.versions("metrics", "a", "a") == before

    def test_all_files_below_a_folder_are_found(self, folder: Folder) -> None:
        assert folder.find("runs/a/outputs") == []
        for name in ("b", "a/c", "a/b/runs/a/outputs/d"):
            folder.write(f"runs/a/outputs/{name}", b"x")
        folder.write("runs/a/outputs-2/x", b"x")
        folder.write("runs/a/log.txt", b"x")
        assert folder.find("runs/a/outputs") == ["a/b/runs/a/outputs/d", "a/c", "b"]

    def test_files_are_listed_with_their_sizes(self, folder: Folder) -> None:
        assert folder.entries("runs/a/outputs") == []
        for name in ("b", "a/c", "a/b/runs/a/outputs/d"):
            folder.write(f"runs/a/outputs/{name}", name.encode())
        folder.write("runs/a/outputs-2/x", b"x")
        entries = folder.entries("runs/a/outputs")
        assert [e.path for e in entries] == ["a/b/runs/a/outputs/d", "a/c", "b"]
        assert [e.size for e in entries] == [20, 3, 1]
        assert all(e.modified is None or e.modified > 1e9 for e in entries)

    def test_files_are_downloaded(self, folder: Folder) -> None:
        data = bytes(range(256)) * (self.large // 256)
        for name in self.names:
            folder.write(f"runs/{name}/outputs/{name}", name.encode())
        folder.write("large", data)
        for path, content in {
            "large": data,
            **{f"runs/{name}/outputs/{name}": name.encode() for name in self.names},
        }.items():
            copied = io.BytesIO()
            folder.download(path, copied)
            assert copied.getvalue() == content
        with pytest.raises(FileNotFoundError):
            folder.download("runs/missing", io.BytesIO())

    def test_a_long_listing(self, folder: Folder) -> None:
        names = [f"{n:06d}" for n in range(self.many)]
        for name in names:
            folder.write(f"metrics/{name}", b"x")
        assert folder.find("metrics") == names
        assert sorted(folder.versions("metrics", names[0], names[-1])) == names
        assert sorted(folder.versions("metrics", names[5], names[9])) == names[5:10]

    # -- removal --------------------------------------------------------------------------------

    def test_a_file_is_removed(self, folder: Folder) -> None:
        folder.write("runs/a", b"x")
        folder.write("runs/b", b"x")
        folder.remove("runs/a")
        assert folder.find("runs") == ["b"]
        with pytest.raises(FileNotFoundError):
            folder.remove("runs/a")

    @pytest.mark.parametrize("count", [1, 3, 9])
    def test_folders_are_removed_with_all_they_hold(self, folder: Folder, count: int) -> None:
        gone = [f"runs/r-{n}/checkpoints" for n in range(count)]
        for path in gone:
            folder.write(f"{path}/a", b"x")
            folder.write(f"{path}/b/c", b"x")
        folder.write("runs/r-0/checkpoints-2/kept", b"x")
        folder.write("runs/r-0/kept", b"x")
        folder.remove_all([*gone, "runs/none/checkpoints"])
        folder.remove_all(gone)
        assert folder.find("runs") == ["r-0/checkpoints-2/kept", "r-0/kept"]
        folder.write(f"{gone[0]}/a", b"again")
        assert folder.read(f"{gone[0]}/a") == b"again"

    # -- several at once ------------------------------------------------------------------------

    def test_many_write_at_once(self, place: Place) -> None:
        def write(writer: int) -> None:
            folder = place.open()
            for n in range(5):
                folder.write(f"metrics/{writer}-{n}", b"%d" % writer)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        folder = place.open()
        assert len(folder.find("metrics")) == 40
        assert all(folder.read(f"metrics/{w}-4") == b"%d" % w for w in range(8))

    def test_a_file_is_read_while_it_grows(self, place: Place) -> None:
        lines = [b"line %d\n" % n for n in range(30)]
        whole = b"".join(lines)
        place.open().write("metrics/a", lines[0])

        def read(start: int) -> list[bytes]:
            folder = place.open()
            seen: list[bytes] = []
            while not seen or not seen[-1].endswith(lines[-1]):
                seen.append(folder.read("metrics/a", start))
            return seen

        with ThreadPoolExecutor(3) as pool:
            readers = {start: pool.submit(read, start) for start in (0, 3)}
            writer = place.open()
            for n in range(1, len(lines) + 1):
                writer.write("metrics/a", b"".join(lines[:n]))
        for start, reader in readers.items():
            for data in reader.result(60):
                assert whole[start:].startswith(data)
                assert data.endswith(b"\n") or not self.atomic_writes

    # -- as the store of a study ----------------------------------------------------------------

    def test_the_check_leaves_nothing(self, store: MetricStore, folder: Folder) -> None:
        store.check_writable()
        assert folder.find("runs") == []
        assert all(not name.startswith(".check") for name in folder.versions(".", ".", "z"))

    def test_records_are_read_once(self, store: MetricStore, folder: Folder) -> None:
        assert store.records(RUN) == []
        content = ""
        for step in range(3):
            content += encode(Record(1.0, step, {"value": step / 10}))
            folder.write(METRICS, content.encode() + b'{"time": 1.0, "st')
            assert [record.step for record in store.records(RUN)] == list(range(step + 1))
        assert store.records(RUN) is store.known(RUN)
        store.forget(RUN)
        assert store.known(RUN) == []

    def test_records_at_their_limits(self, store: MetricStore, folder: Folder) -> None:
        widest = Record(1.0, 2**53, {f"m{n}": float(n) for n in range(MAX_METRICS)})
        longest = encode(Record(1.0, 1, {"value": 0.5})).rstrip() + " " * MAX_LINE + "\n"
        last = Record(1.0, 2, {"ü €": float("inf")})
        folder.write(METRICS, encode(widest).encode() + longest[:-9].encode())
        assert store.records(RUN) == [widest]
        folder.write(METRICS, (encode(widest) + longest + encode(last)).encode())
        assert store.records(RUN) == [widest, last], "a line that is too long is left out"

    def test_what_changed(self, store: MetricStore, folder: Folder) -> None:
        names = ["trial-000001-1", "trial-000002-1", "trial-000010-1"]
        assert store.changed([]) == set()
        assert store.changed(names) == set()
        line = encode(Record(1.0, None, {"value": 0.5})).encode()
        for name in (*names, "trial-000003-1"):
            folder.write(f"metrics/{name}.jsonl", line)
        assert store.changed(names) == set(names)
        store.fetch(names)
        assert [len(store.known(name)) for name in names] == [1, 1, 1]
        folder.write(f"metrics/{names[1]}.jsonl", line * 2)
        assert names[1] in store.changed(names)
        store.fetch(names)
        assert [len(store.known(name)) for name in names] == [1, 2, 1]

    def test_a_run_is_settled_when_its_history_says_so(
        self, store: MetricStore, folder: Folder
    ) -> None:
        assert "no end yet" in store.settle({RUN: None})[RUN]
        line = encode(Record(1.0, None, {"value": 0.5})).encode()
        started, ended = {"event": "started"}, {"event": "ended", "metrics_bytes": 2 * len(line)}
        folder.write(METRICS, line)
        folder.write(HISTORY, encode_json(started).encode() + b"\n")
        assert "no end yet" in store.settle({RUN: None})[RUN]
        folder.write(HISTORY, f"{encode_json(started)}\n{encode_json(ended)}\n".encode())
        assert f"{len(line)} bytes of the {2 * len(line)}" in store.settle({RUN: None})[RUN]
        folder.write(METRICS, 2 * line)
        assert store.settle({RUN: None}) == {}
        assert len(store.known(RUN)) == 2
        assert store.settle({RUN: 2 * len(line)}) == {}
        assert (
            f"{2 * len(line)} bytes of the {3 * len(line)}"
            in store.settle({RUN: 3 * len(line)})[RUN]
        )

    def test_what_a_run_left(self, store: MetricStore, folder: Folder) -> None:
        assert (store.log(RUN), store.log_from(RUN, 0), store.outputs(RUN)) == ("", b"", [])
        folder.write(f"runs/{RUN}/log.txt", "one\ntwö\n".encode())
        folder.write(f"runs/{RUN}/outputs/a/b", b"x")
        assert store.log(RUN) == "one\ntwö\n"
        assert store.log(RUN, last=5) == "twö\n"
        assert store.log_from(RUN, 4) == "twö\n".encode()
        assert store.outputs(RUN) == ["a/b"]
        assert store.write("runs/x.json", "ü") == f"{store.uri}/runs/x.json"
        assert (store.read_text("runs/x.json"), store.read_text("runs/none")) == ("ü", "")
        folder.write(f"runs/{RUN}/checkpoints/c", b"x")
        store.remove_checkpoints([RUN, "trial-000002-1"])
        assert folder.find(f"runs/{RUN}/checkpoints") == []
