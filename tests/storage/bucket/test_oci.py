"""A study in a bucket of OCI, through the real SDK."""

from __future__ import annotations

import secrets

import optuna
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from tests.oci_emulator import Emulator, Fault
from tests.storage.bucket.conftest import find_replica, insert, names
from tune_jobs import Connection, bucket_storage
from tune_jobs.errors import StudyError
from tune_jobs.storage.database_errors import explain_database_error
from tune_jobs.storage.opening import open_existing_study


@pytest.fixture
def url(emulator: Emulator) -> str:
    emulator.faults.clear()
    return f"oci://tune-jobs@{emulator.namespace}/{secrets.token_hex(4)}"


def test_optuna_finds_it_by_url(
    emulator: Emulator, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCI_CONFIG_LOCATION", str(emulator.config_file))
    monkeypatch.setenv("TUNE_JOBS_OCI_ENDPOINT", emulator.endpoint)
    study = optuna.create_study(study_name="s", storage=url)
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=3)
    found = open_existing_study("s", url)
    assert [trial.value for trial in found.trials] == [trial.value for trial in study.trials]
    with pytest.raises(StudyError, match="there is no study in oci://"):
        open_existing_study("s", f"{url}-other")
    with pytest.raises(StudyError, match="has no study 'x'; it has: 's'"):
        open_existing_study("x", url)


def test_a_connection_of_its_own(connection: Connection, url: str) -> None:
    study = optuna.create_study(study_name="s", storage=bucket_storage(url, connection))
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert optuna.load_study(study_name="s", storage=bucket_storage(url, connection)).trials


@pytest.mark.parametrize("kind", ["throttle", "error", "drop_before", "drop_after"])
@pytest.mark.parametrize("operation", ["put_object", "get_object", "list_objects"])
def test_requests_that_fail_are_repeated(
    emulator: Emulator, connection: Connection, url: str, kind: str, operation: str
) -> None:
    arguments = {"connection": connection, "max_age": -1.0, "sleep": lambda seconds: None}
    first, second = (create_engine(url, connect_args=arguments) for _ in range(2))
    insert(first, "a")
    emulator.faults.add(Fault(kind, operation, every=2))  # type: ignore[arg-type]
    for name in "bc":
        insert(first, name)
    assert names(second) == ["a", "b", "c"]
    emulator.faults.clear()
    names_of_log = find_replica(first).requests.list("log")
    assert len(names_of_log) == 4


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "BucketNotFound"), (401, "NotAuthenticated"), (409, "ConcurrentObjectUpdate")],
)
def test_refusals_amid_a_study_are_outages(
    emulator: Emulator, connection: Connection, url: str, status: int, code: str
) -> None:
    arguments = {"connection": connection, "max_age": -1.0, "patience": 0.0}
    engine = create_engine(url, connect_args=arguments)
    insert(engine, "a")
    fault = Fault("error", "put_object", status=status, code=code, path="log")
    emulator.faults.add(fault)
    with pytest.raises(OperationalError, match=f"database is locked: {url} .* {code}") as caught:
        insert(engine, "b")
    assert explain_database_error(caught.value).startswith(f"{url} cannot be written now: {status}")
    emulator.faults.clear()
    insert(engine, "b")
    assert names(engine) == ["a", "b"]


def test_a_refusal_to_read_is_not_the_end_of_the_log(
    emulator: Emulator, connection: Connection, url: str
) -> None:
    arguments = {"connection": connection, "max_age": -1.0, "patience": 0.0}
    first, second = (create_engine(url, connect_args=arguments) for _ in range(2))
    insert(first, "a")
    assert names(second) == ["a"]
    insert(first, "b")
    emulator.faults.add(Fault("error", "get_object", status=404, code="BucketNotFound", path="log"))
    with pytest.raises(OperationalError, match=f"database is locked: {url} cannot be read now"):
        names(second)
    emulator.faults.clear()
    assert names(second) == ["a", "b"]


@pytest.mark.parametrize("deviations", [set(), {"condition-first"}])
def test_an_entry_that_exists_is_a_lost_race_without_the_right_to_overwrite(
    emulator: Emulator, connection: Connection, url: str, deviations: set[str]
) -> None:
    emulator.access.groups["tuners"] = {emulator.world.user}
    emulator.access.permit(
        "allow group tuners to manage objects in tenancy where any {request.permission = "
        "'OBJECT_CREATE', request.permission = 'OBJECT_READ', "
        "request.permission = 'OBJECT_INSPECT'}"
    )
    emulator.world.deviations = deviations
    arguments = {"connection": connection, "max_age": 1e9, "patience": 0.0}
    try:
        first, second = (create_engine(url, connect_args=arguments) for _ in range(2))
        insert(first, "a")
        assert names(second) == ["a"]
        insert(first, "b")
        with pytest.raises(OperationalError, match="changed in this moment"):
            insert(second, "c")
        insert(second, "c")
        assert names(second) == ["a", "b", "c"]
    finally:
        emulator.access.statements, emulator.world.deviations = None, set()
