"""Studies in S3, as moto serves it, and in Azure, as Azurite does."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import optuna
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from tests.storage.bucket.conftest import dump, insert, names
from tune_jobs.errors import StudyError
from tune_jobs.storage.bucket.fsspec_store import FsspecStore
from tune_jobs.storage.bucket.opening import bucket_storage

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")

Options = dict[str, Any]

_NODE_PROGRAMS = str(Path(__file__).parents[3] / "node_modules" / ".bin")

_AZURE_ACCOUNT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmE"
    "tlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
)
"""The account of the emulator, which its documentation publishes."""


@pytest.fixture(scope="module")
def options() -> Iterator[Options]:
    """Arguments of the file system."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "key": "k", "secret": "s"}
    fsspec.filesystem("s3", **options).mkdir("studies")
    yield options
    running.stop()


def test_a_study_in_s3(options: Options) -> None:
    url = f"bucket+s3://studies/{secrets.token_hex(4)}"
    study = optuna.create_study(study_name="s", storage=bucket_storage(url, None, options))
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2)
    other = optuna.load_study(study_name="s", storage=bucket_storage(url, None, options))
    assert [trial.value for trial in other.trials] == [trial.value for trial in study.trials]


def test_copies_conflict(options: Options) -> None:
    url = f"bucket+s3://studies/{secrets.token_hex(4)}"
    arguments = {"storage_options": options, "max_age": -1.0}
    first, second = (create_engine(url, connect_args=arguments) for _ in range(2))
    insert(first, "a")
    with second.connect() as late:
        late.exec_driver_sql("INSERT INTO studies (study_name) VALUES ('late')")
        insert(first, "b")
        with pytest.raises(OperationalError, match="database is locked"):
            late.commit()
    assert names(second) == ["a", "b"]
    assert dump(first) == dump(second)


def test_the_operations_of_a_store(options: Options) -> None:
    check_operations(FsspecStore("s3", f"studies/{secrets.token_hex(4)}", options))


def check_operations(store: FsspecStore) -> None:
    assert store.get("log/1.z", 100) is None
    assert store.list("log") == []
    assert store.put_if_absent("log/1.z", b"first")
    assert not store.put_if_absent("log/1.z", b"second")
    assert store.get("log/1.z", 100) == b"first"
    store.put("base/1.z", b"x")
    store.put("base/1.z", b"y")
    assert store.get("base/1.z", 100) == b"y"
    store.put_if_absent("log/2.z", b"")
    assert store.list("log") == ["log/1.z", "log/2.z"]
    assert store.list("log", "log/2.z") == ["log/2.z"]
    store.delete("log/2.z")
    store.delete("log/2.z")
    assert store.list("log") == ["log/1.z"]
    with pytest.raises(StudyError, match="is larger than"):
        store.get("log/1.z", 4)


def test_a_bucket_that_does_not_exist(options: Options) -> None:
    arguments = {"storage_options": options, "patience": 0.0}
    engine = create_engine("bucket+s3://nowhere/x", connect_args=arguments)
    with pytest.raises(StudyError, match=r"bucket\+s3://nowhere/x cannot be .*NoSuchBucket"):
        names(engine)


def test_a_store_that_ignores_the_condition_is_refused(options: Options) -> None:
    class Careless(FsspecStore):
        def put_if_absent(self, name: str, data: bytes) -> bool:
            self.put(name, data)
            return True

    store = Careless("s3", f"studies/{secrets.token_hex(4)}", options)
    engine = create_engine("bucket+s3://studies/x", connect_args={"store": store})
    with pytest.raises(StudyError, match="cannot hold a study: the store replaced an object"):
        names(engine)


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Options]:
    """Arguments of the file system, with an emulator that `npm install azurite` installs."""
    pytest.importorskip("adlfs")
    program = shutil.which("azurite-blob") or shutil.which("azurite-blob", path=_NODE_PROGRAMS)
    if program is None:
        pytest.skip("needs azurite: npm install azurite")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    command = [program, "--blobPort", str(port), "--location", str(tmp_path / "azurite"), *flags]
    endpoint = f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
    with subprocess.Popen(command) as process:
        try:
            options = {"connection_string": _AZURE_ACCOUNT + endpoint}
            fsspec.filesystem("az", **options).mkdir("studies")  # waits for the server by retries
            yield options
        finally:
            process.terminate()


@pytest.mark.slow
def test_a_study_in_azure(azure: Options) -> None:
    check_operations(FsspecStore("az", f"studies/{secrets.token_hex(4)}", azure))
    url = f"bucket+az://studies/{secrets.token_hex(4)}"
    study = optuna.create_study(study_name="s", storage=bucket_storage(url, None, azure))
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert optuna.load_study(study_name="s", storage=bucket_storage(url, None, azure)).trials
    elsewhere = {"storage_options": azure, "patience": 0.0}
    engine = create_engine("bucket+az://nowhere/x", connect_args=elsewhere)
    with pytest.raises(StudyError, match="ContainerNotFound"):
        names(engine)
