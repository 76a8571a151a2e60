"""Trouble of a database server while a study is tuned: nothing is lost, and it is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.conftest import MakeTuner
from tests.databases import SERVERS, Server
from tune_jobs.storage.database import unwrap_storage
from tune_jobs.tuner import Tuner

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

TRIALS = 8


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with SERVERS[request.param]() as running:
        yield running


class Listener:
    """Progress of a call; ``retrying`` and ``silent`` are set by what it says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.retrying, self.silent = threading.Event(), threading.Event()

    def update(self, *_: object, **__: object) -> None: ...

    def say(self, line: str) -> None:
        self.said.append(line)
        if "does not answer" in line:
            self.retrying.set()
        if "has not answered" in line:
            self.silent.set()

    def close(self) -> None: ...


class Study:
    """A study on a server, and what was tuned in it.

    Args:
        server: The server.
        make_tuner: See `tests.conftest`.
        folder: Where each run leaves a file.
    """

    def __init__(self, server: Server, make_tuner: MakeTuner, folder: Path) -> None:
        study = optuna.create_study(study_name="s", storage=server.url, direction="maximize")
        self.listener, self._folder = Listener(), folder
        self.tuner: Tuner = make_tuner(
            ': > "$here/ran.$$"; echo "value=$x"',
            study=study,
            progress=self.listener,
            max_parallel=2,
        )
        storage = unwrap_storage(study)
        assert isinstance(storage, RDBStorage)
        self.engine: Engine = storage.engine
        self.other = create_engine(server.url)

    def tune(self, after_two: Callable[[], object]) -> None:
        """Tune to the end; call a function when two trials have finished."""
        finished: list[int] = []

        def count(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            finished.append(trial.number)
            if len(finished) == 2:
                after_two()

        self.tuner.optimize(n_trials=TRIALS, callbacks=[count])

    def check(self) -> None:
        """Check that every trial was run once and has its result, and that trouble was said."""
        trials = self.tuner.study.trials
        assert [t.state for t in trials] == [TrialState.COMPLETE] * TRIALS
        assert [t.value for t in trials] == [t.params["x"] for t in trials]
        assert [a.attempt for a in self.tuner.attempts()] == [1] * TRIALS
        assert len(list(self._folder.glob("ran.*"))) == TRIALS
        assert self.listener.retrying.is_set() or self.listener.silent.is_set()

    def close(self) -> None:
        """Close the connections beside the tuner's."""
        self.other.dispose()


@pytest.fixture
def study(server: Server, make_tuner: MakeTuner, tmp_path: Path) -> Iterator[Study]:
    with closing(Study(server, make_tuner, tmp_path)) as made:
        yield made


def test_a_deadlock_is_retried(study: Study) -> None:
    """Another transaction locks trials, and then waits for the owner that finishes one of them."""
    rivals: list[threading.Thread] = []

    def rival(connection: Connection) -> None:
        connection.execute(text("UPDATE tune_jobs_owners SET beat = beat"))
        connection.commit()
        connection.close()

    def lock_first(
        _: Connection, __: Any, statement: str, values: Mapping[str, Any], *___: Any
    ) -> None:
        if rivals or not statement.startswith("UPDATE trials SET state"):
            return
        connection = study.other.connect()
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET deadlock_timeout = '100s'"))  # the owner notices first
        else:  # the smaller transaction is ended
            connection.execute(text("CREATE TABLE junk (n INT)"))
            connection.execute(text("INSERT INTO junk VALUES (1)" + ",(1)" * 1000))
        same = text("UPDATE trials SET number = number WHERE trial_id = :trial")
        connection.execute(same, {"trial": values["trial"]})
        rivals.append(threading.Thread(target=rival, args=[connection]))
        rivals[0].start()

    study.tune(lambda: event.listen(study.engine, "before_cursor_execute", lock_first))
    rivals[0].join()
    study.check()
    assert "deadlock" in "".join(study.listener.said).lower()


def test_a_lock_that_another_holds_is_waited_for(study: Study) -> None:
    with study.other.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER ROLE tuner SET lock_timeout = '300ms'"))
        else:
            connection.execute(text("SET GLOBAL innodb_lock_wait_timeout = 1"))
    holding = []

    def hold() -> None:
        study.engine.dispose()  # later connections have the limit
        holding.append(study.other.connect())
        holding[0].execute(text("UPDATE tune_jobs_owners SET beat = beat"))
        threading.Thread(target=release).start()

    def release() -> None:
        study.listener.retrying.wait(60)
        holding[0].rollback()
        holding[0].close()

    study.tune(hold)
    study.check()


OWN_ID = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}
ALL_IDS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'",
    "mysql": "SELECT id FROM information_schema.processlist WHERE user <> 'system user'",
}
END = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


def take_all_connections(crowd: Engine) -> list[Connection]:
    """Open as many connections as the server allows, and end those of everybody else."""
    taken: list[Connection] = []
    name = crowd.dialect.name
    while True:
        with suppress(OperationalError):
            while True:
                taken.append(crowd.connect())
        ours = {connection.execute(text(OWN_ID[name])).scalar_one() for connection in taken}
        others = set(taken[0].execute(text(ALL_IDS[name])).scalars()) - ours
        if not others:
            return taken
        for other in others:
            with suppress(DBAPIError):  # it has just ended
                taken[0].execute(text(END[name].format(other)))


def test_a_connection_that_is_refused_is_waited_for(study: Study) -> None:
    crowd = create_engine(study.other.url, pool_size=0, isolation_level="AUTOCOMMIT")
    tried: list[object] = []
    tried_again = threading.Event()

    def count(*_: Any) -> None:
        tried.append(None)
        if len(tried) == 2:  # the first one was refused
            tried_again.set()

    def take_all() -> None:
        taken = take_all_connections(crowd)
        event.listen(study.engine, "do_connect", count)
        threading.Thread(target=release, args=[taken]).start()

    def release(taken: list[Connection]) -> None:
        tried_again.wait(60)
        for connection in taken:
            connection.close()
        crowd.dispose()

    study.tune(take_all)
    study.check()
    assert tried_again.is_set()


def test_a_server_that_answers_nothing_is_waited_for(study: Study, server: Server) -> None:
    def suspend() -> None:
        server.suspend()
        threading.Thread(target=resume).start()

    def resume() -> None:
        study.listener.silent.wait(60)
        server.resume()

    study.tune(suspend)
    study.check()
