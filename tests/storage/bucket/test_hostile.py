"""What is read from a bucket is a stranger's data: it can break the study, and nothing else."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage.bucket.conftest import OpenCopy, find_replica, insert, names
from tune_jobs.errors import StudyError
from tune_jobs.storage.bucket import bases, entries
from tune_jobs.storage.bucket.entries import Entry, decode_entry, encode_entry, name_entry
from tune_jobs.storage.schema import prepare

SQL = [
    "ATTACH DATABASE '{target}' AS other",
    "VACUUM INTO '{target}'",
    "PRAGMA user_version = 7",
    "PRAGMA writable_schema = ON",
    "COMMIT",
    "ROLLBACK",
    "BEGIN",
    "SAVEPOINT a",
    "SELECT load_extension('{target}')",
    "INSERT INTO studies (study_name) VALUES (load_extension('{target}'))",
    "INSERT INTO studies (study_name) VALUES (randomblob(1000000000))",
    "INSERT INTO studies (study_name) SELECT sqlite_version()",
    "INSERT INTO studies (study_name) SELECT name FROM sqlite_master",
    "INSERT INTO studies (study_name) SELECT name FROM pragma_database_list",
    "INSERT INTO sqlite_master (name) VALUES ('x')",
    "UPDATE sqlite_master SET sql = 'x'",
    "INSERT INTO studies (study_name) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c)"
    " SELECT i FROM c",
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) DELETE FROM studies",
    "INSERT INTO other VALUES (1)",
    "CREATE TABLE other (x INTEGER)",
    "CREATE TABLE trials2 (x INTEGER DEFAULT (random()))",
    "CREATE TEMP TABLE studies (study_name TEXT)",
    "CREATE VIEW v AS SELECT * FROM studies",
    "CREATE TRIGGER t AFTER INSERT ON studies BEGIN DELETE FROM trials; END",
    "CREATE VIRTUAL TABLE v USING fts5(x)",
    "CREATE INDEX i ON studies (lower(study_name))",
    "CREATE INDEX i ON studies (study_name) WHERE study_id > 1",
    "ALTER TABLE studies RENAME TO gone",
    "ALTER TABLE studies ADD COLUMN x INTEGER DEFAULT 1",
    "DROP TABLE studies",
    "DELETE FROM studies; DROP TABLE studies",
    "REINDEX",
    "ANALYZE",
    "",
    "/* " * 10000,
]


def put_entry(folder: Path, number: int, statements: list[object], **changed: object) -> None:
    """Put an entry that follows the one before."""
    before = (folder / name_entry(number - 1)).read_bytes()
    facts = {"id": "x", "previous": decode_entry(before, "").id, "rows": 0, **changed}
    text = json.dumps({**facts, "statements": statements}).encode()
    (folder / name_entry(number)).write_bytes(zlib.compress(text))


@pytest.fixture
def victim(open_copy: OpenCopy) -> Callable[[], object]:
    """Look at the log by a copy that was opened before."""
    engine = open_copy()
    insert(engine, "a")
    return find_replica(engine).look


@pytest.mark.parametrize("sql", SQL)
def test_statements_that_no_tuner_makes(
    victim: Callable[[], object], folder: Path, tmp_path: Path, sql: str
) -> None:
    target = tmp_path / "target.db"
    put_entry(folder, 3, [[sql.replace("{target}", str(target)), [[]]]])
    with pytest.raises(StudyError, match=r"log/0000000003\.z: .*") as caught:
        victim()
    assert "rows here" not in str(caught.value), "it has to be refused, not executed"
    assert not target.exists()


@pytest.mark.parametrize("sql", SQL)
def test_writers_refuse_what_readers_would(open_copy: OpenCopy, sql: str, folder: Path) -> None:
    engine = open_copy()
    insert(engine, "a")
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        cursor = raw.cursor()
        try:
            cursor.execute(sql.replace("{target}", "target.db"))
            raw.commit()
        except (sqlite3.Error, sqlite3.Warning):
            raw.rollback()
    assert not (folder / name_entry(3)).exists()
    assert names(open_copy()) == ["a"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not compressed",
        zlib.compress(b"not JSON"),
        zlib.compress(b"[" * 100_000),
        zlib.compress(b"[]"),
        zlib.compress(b'{"id": "x", "previous": "y", "rows": 0}'),
        zlib.compress(b" " * (entries.MAX_BYTES + 1)),
        zlib.compress(b'{"id": "x", "statements": []}')[:-4],
    ],
)
def test_entries_that_are_none(victim: Callable[[], object], folder: Path, data: bytes) -> None:
    (folder / name_entry(3)).write_bytes(data)
    with pytest.raises(StudyError, match=r"log/0000000003\.z is not an entry of a study's log"):
        victim()


@pytest.mark.parametrize(
    "statements",
    [
        [["DELETE FROM studies"]],
        [["DELETE FROM studies", {}]],
        [["DELETE FROM studies", [{}]]],
        [[1, [[]]]],
        [["DELETE FROM studies WHERE study_id = ?", [[[1]]]]],
        [["DELETE FROM studies WHERE study_id = ?", [[{"b": "%"}]]]],
        [["DELETE FROM studies WHERE study_id = ?", [[{"f": "1"}]]]],
        "DELETE",
    ],
)
def test_statements_of_another_form(
    victim: Callable[[], object], folder: Path, statements: list[object]
) -> None:
    put_entry(folder, 3, statements)
    with pytest.raises(StudyError, match="is not an entry of a study's log"):
        victim()


@pytest.mark.parametrize("value", [2**64, "\ud800"])
def test_parameters_that_sqlite_cannot_store(
    victim: Callable[[], object], folder: Path, value: object
) -> None:
    put_entry(folder, 3, [["UPDATE studies SET study_name = ?", [[value]]]], rows=1)
    with pytest.raises(StudyError, match="cannot be executed"):
        victim()


def test_an_entry_of_more_executions_than_any(
    victim: Callable[[], object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MAX_ROWS", 10)
    put_entry(folder, 3, [["DELETE FROM studies", [[]] * 11]])
    with pytest.raises(StudyError, match="it has more than 10 executions"):
        victim()


def test_an_entry_that_computes_without_end(victim: Callable[[], object], folder: Path) -> None:
    insert_many = ["INSERT INTO studies (study_name) VALUES (?)", [[str(i)] for i in range(300)]]
    tables = ", ".join(f"studies AS s{i}" for i in range(6))
    put_entry(folder, 3, [insert_many, [f"UPDATE studies SET study_name = study_name WHERE (SELECT"
        f" 1 FROM {tables} WHERE s1.study_id + s5.study_id < 0)", [[]]]], rows=300)  # fmt: skip
    from tune_jobs.storage.bucket import copy

    assert copy._MOST_STEPS * copy._STEPS < 300**6
    copy_steps, copy._MOST_STEPS = copy._MOST_STEPS, 2
    try:
        with pytest.raises(StudyError, match="interrupted"):
            victim()
    finally:
        copy._MOST_STEPS = copy_steps


def test_an_object_that_is_too_large(
    victim: Callable[[], object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MAX_BYTES", 1 << 20)
    (folder / name_entry(3)).write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(StudyError, match=r"log/0000000003\.z is larger than 1 MB"):
        victim()


# -- bases -----------------------------------------------------------------------------------

CHANGES = [
    "CREATE TRIGGER t AFTER INSERT ON trials BEGIN DELETE FROM studies; END",
    "CREATE VIEW v AS SELECT * FROM studies",
    "CREATE TABLE other (x)",
    "CREATE TABLE tune_jobs_later (x)",
    "CREATE INDEX i ON studies (study_id)",
    "CREATE INDEX i ON studies (abs(study_id))",
    "CREATE UNIQUE INDEX i ON trials (number)",
    "CREATE INDEX i ON trials (number) WHERE number > 1",
    "CREATE VIRTUAL TABLE v USING fts5(x)",
    "ALTER TABLE studies ADD COLUMN x",
    "ALTER TABLE studies ADD COLUMN x DEFAULT 1",
    "ALTER TABLE studies ADD COLUMN x AS (study_id + 1)",
    "ALTER TABLE studies ADD COLUMN x CHECK (x > 1)",
    "ALTER TABLE trials RENAME COLUMN number TO numbers",
    "ALTER TABLE trials DROP COLUMN datetime_start",
    "ALTER TABLE trial_values RENAME TO trial_value",
    "DROP TABLE trial_values",
    "DROP TABLE tune_jobs_controllers",
    "DROP INDEX ix_studies_study_name",
    "ANALYZE",
    "PRAGMA user_version = 5",
    "PRAGMA application_id = 5",
    "PRAGMA journal_mode = WAL",
    "PRAGMA page_size = 8192; VACUUM",
    "PRAGMA auto_vacuum = FULL; VACUUM",
    "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(300000)); DROP TABLE t",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'INTEGER', 'BLOB')",
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name LIKE 'sqlite_autoindex%'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 2 WHERE name = 'trials'",
]


@pytest.fixture
def change_base(open_copy: OpenCopy, folder: Path, tmp_path: Path) -> Callable[[str], object]:
    """Change the only base of a study ``a``, in which it is ``b``."""
    engine = open_copy()
    insert(engine, "a")
    find_replica(engine).write_base()
    base = folder / bases.name_base(2)
    line, _, database = zlib.decompress(base.read_bytes()).partition(b"\n")
    file = tmp_path / "changed.db"

    def change(script: str) -> None:
        file.write_bytes(database)
        connection = sqlite3.connect(file)
        connection.executescript(f"UPDATE studies SET study_name = 'b'; {script}")
        connection.close()
        base.write_bytes(zlib.compress(line + b"\n" + file.read_bytes()))

    return change


@pytest.mark.parametrize("change", CHANGES)
def test_bases_that_differ_in_more_than_rows(
    open_copy: OpenCopy, change_base: Callable[[str], object], change: str
) -> None:
    change_base("")
    assert names(open_copy()) == ["b"], "anyone with write access may change the study"
    change_base(change)
    assert names(open_copy()) == ["a"]


def test_a_base_of_an_earlier_version(
    open_copy: OpenCopy, change_base: Callable[[str], object]
) -> None:
    change_base("DROP TABLE tune_jobs_controllers; VACUUM")
    assert names(open_copy()) == ["b"]
    prepare(open_copy())


def test_a_definition_in_another_notation(
    open_copy: OpenCopy, change_base: Callable[[str], object]
) -> None:
    change_base(
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = "
        "replace(replace(lower(sql), ', ', '  ,'), '(study_id)', '( \"study_id\" )')"
    )
    assert names(open_copy()) == ["b"]


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"[]\n", b'{"id": 1}\n', b"x" * 300 + b"\n", b'{"id": "x"}\nSQLite format 4'],
)
def test_bases_that_are_none(open_copy: OpenCopy, folder: Path, line: bytes) -> None:
    insert(open_copy(), "a")
    base = folder / bases.name_base(2)
    base.parent.mkdir()
    base.write_bytes(zlib.compress(line))
    assert names(open_copy()) == ["a"]


def test_a_base_that_inflates_without_end(
    open_copy: OpenCopy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_copy()
    insert(engine, "a")
    find_replica(engine).write_base()
    base = folder / bases.name_base(2)
    plain = zlib.decompress(base.read_bytes())
    header = plain.index(b"SQLite")
    written = count_bytes_written(monkeypatch)
    for pages, more in ((1 << 24, 0), (1 << 31, 0), (None, 40 << 20), (None, -4096)):
        changed = bytearray(plain[: min(len(plain), len(plain) + more)] + bytes(max(0, more)))
        if pages is not None:
            changed[header + 28 : header + 32] = pages.to_bytes(4)
        base.write_bytes(zlib.compress(changed))
        assert names(open_copy()) == ["a"]
        assert sum(written) < 3 << 20
        written.clear()


def count_bytes_written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the size of each piece that is inflated."""
    sizes: list[int] = []
    make = zlib.decompressobj

    class Counting:
        def __init__(self) -> None:
            self._inner = make()

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

        def decompress(self, data: bytes, limit: int) -> bytes:
            piece = self._inner.decompress(data, limit)
            sizes.append(len(piece))
            return piece

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    return sizes


def test_names_that_are_none_of_ours(open_copy: OpenCopy, folder: Path) -> None:
    insert(open_copy(), "a")
    (folder / "base").mkdir()
    for name in ("x.z", "0000000001", "1.z", "٠٠٠٠٠٠٠٠٠٩.z", "../study.z", "9999999999.z.tmp"):
        for kind in ("log", "base"):
            if "/" not in name:
                (folder / kind / name).write_bytes(b"")
    assert names(open_copy()) == ["a"]


def test_an_entry_with_the_largest_number(open_copy: OpenCopy, folder: Path) -> None:
    insert(open_copy(), "a")
    (folder / name_entry(9_999_999_999)).write_bytes(b"")
    with pytest.raises(StudyError, match=r"0000000003\.z is missing, but later entries exist"):
        names(open_copy())


def test_a_base_that_is_too_large(
    open_copy: OpenCopy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "MAX_BYTES", 100)
    engine = open_copy()
    insert(engine, "a")
    find_replica(engine).write_base()
    assert names(open_copy()) == ["a"]


def test_an_entry_larger_than_readers_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_BYTES", 100)
    entry = Entry("x", "y", 1, [("INSERT INTO studies VALUES (?)", [["x" * 200]])])
    with pytest.raises(ValueError, match="the transaction has 0 MB, more than 0"):
        encode_entry(entry)
