"""Studies in real PostgreSQL and MariaDB: whole, killed, and with a server that is restarted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.databases import SERVERS, Server
from tests.storage.test_bulk_read import check as check_read_ahead
from tests.storage.test_ledger import check_agreement
from tests.tuning.test_recovery import WAITING, Controller
from tune_jobs.storage.rdb_writer import RdbWriter
from tune_jobs.storage.writers import build_writer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with SERVERS[request.param]() as running:
        yield running


def study_in(server: Server, name: str = "s") -> optuna.Study:
    return optuna.create_study(
        study_name=name,
        storage=server.url,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=1),
        load_if_exists=True,
    )


def test_a_study_and_its_final_run(server: Server, make_tuner: MakeTuner) -> None:
    body = 'for s in 1 2 3; do echo "step $s value=$x"; done; echo ü'
    tuner = make_tuner(body, study=study_in(server), step="step")
    assert isinstance(build_writer(tuner.study), RdbWriter)
    study = tuner.optimize(n_trials=12)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 12
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    assert all(len(t.intermediate_values) == 3 for t in study.trials)
    assert [a.attempt for a in tuner.attempts()] == [1] * 12
    tuner.train_best()
    tuner.optimize(n_trials=2)
    assert len(study_in(server).trials) == 14


def test_several_that_open_a_new_study_agree(server: Server) -> None:
    check_agreement(lambda: server.url)


def test_a_study_read_ahead_is_the_same(server: Server) -> None:
    check_read_ahead(server.url, ["minimize"])


def test_two_studies_and_a_worker_of_optuna_beside(server: Server, make_tuner: MakeTuner) -> None:
    study = study_in(server)
    stop = threading.Event()

    def work() -> None:
        other = study_in(server)
        while not stop.is_set():
            other.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        make_tuner(study=study_in(server, "b")).optimize(n_trials=6)
        tuner = make_tuner(study=study)
        tuner.optimize(n_trials=10)
    finally:
        stop.set()
        worker.join()
    trials = study_in(server).trials
    assert [t.number for t in trials] == list(range(len(trials)))
    ours = {a.trial for a in tuner.attempts()}
    assert len(ours) == 10
    assert all(trials[n].value == trials[n].params["x"] for n in ours if n is not None)
    assert len(study_in(server, "b").trials) == 6


def test_a_killed_tuner_is_replaced(server: Server, make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(WAITING, study=study_in(server))
    controller = Controller(tmp_path, repr(server.url))
    controller.wait_for_runs(3)
    controller.end_by(signal.SIGKILL)
    (tmp_path / "go").touch()
    study = tuner.optimize(n_trials=6)
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    assert len(list(tmp_path.glob("live.*"))) == 6


def test_a_server_that_is_killed_and_started_again_ends_nothing(
    server: Server, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    said: list[str] = []
    gone, back = threading.Event(), threading.Event()

    class Restarts:
        """Kills the server after four trials, and starts it again once that was noticed."""

        def update(self, *_: object, **__: object) -> None:
            done = len(list(tmp_path.glob("ran.*")))
            if done >= 4 and not gone.is_set():
                gone.set()
                server.stop()

        def say(self, line: str) -> None:
            said.append(line)
            if "does not answer" in line and not back.is_set():
                back.set()
                threading.Thread(target=server.start).start()

        def close(self) -> None: ...

    body = ': > "$here/ran.$$"; echo "value=$x"'
    tuner = make_tuner(body, study=study_in(server), progress=Restarts(), max_parallel=2)
    study = tuner.optimize(n_trials=12)
    assert back.is_set()
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 12
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    assert len(list(tmp_path.glob("ran.*"))) == 12
    assert [a.attempt for a in tuner.attempts()] == [1] * 12


def test_an_earlier_ledger_is_brought_up_to_date(server: Server, make_tuner: MakeTuner) -> None:
    tuner = make_tuner(study=study_in(server))
    tuner.optimize(n_trials=2)
    engine = sqlalchemy.create_engine(server.url)
    with engine.begin() as connection:
        for column in ("digest", "shape", "accepted"):
            connection.execute(
                sqlalchemy.text(f"ALTER TABLE tune_jobs_attempts DROP COLUMN {column}")
            )
        for table in ("tune_jobs_owners", "tune_jobs_controls", "tune_jobs_usage"):
            connection.execute(sqlalchemy.text(f"DROP TABLE {table}"))
        connection.execute(sqlalchemy.text("UPDATE tune_jobs_schema SET version = 1"))
    engine.dispose()
    make_tuner(study=study_in(server)).optimize(n_trials=2)
    attempts = tuner.attempts()
    assert [a.state for a in attempts] == ["SUCCEEDED"] * 4
    assert [a.accepted is not None for a in attempts] == [False, False, True, True]
