"""The protocol under every kind of trouble, in any order: hypothesis against a model.

The tuner's own loop, ledger and lease run on a real SQLite study. The service is a model in this
process, whose every call may fail before or after its effect, whose listings may be behind, and
which outlives any number of tuners. Tuners are killed (dropped where they stand), suspended,
replaced and woken up. At the end one tuner is left alone, and nothing may be lost, told twice or
run twice.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tests.conftest import space
from tune_jobs.backends.base import BackendService, Notice
from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunState, RunUpdate
from tune_jobs.core.limits import Limits
from tune_jobs.notebook.panels import Silent
from tune_jobs.runtime.records import Record, encode
from tune_jobs.storage.lease import LeaseLost
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.optimize import Optimization
from tune_jobs.tuning.session import RunSession

pytestmark = pytest.mark.slow

TRIALS = 6


class Service:
    """Model of a service: the runs that it started, and their states."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.states: dict[str, RunState] = {}
        self.started: Counter[str] = Counter()
        self.values: dict[str, float] = {}
        self.canceled: set[str] = set()
        self.fail_before = self.fail_after = False

    def start(self, study: str, request: RunRequest) -> None:
        """Start a run; idempotent by name, like a retry token."""
        if request.name not in self.states:
            self.states[request.name] = RunState.IN_PROGRESS
            self.started[request.name] += 1
            x = next(a for a in request.argv if a.startswith("--x="))
            self.values[request.name] = float(x.partition("=")[2])
            self.folder = self._store / study

    def finish(self, name: str, state: RunState) -> None:
        """End a run; a successful one has written its value before."""
        if state == RunState.SUCCEEDED:
            path = self.folder / "metrics" / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(encode(Record(0.0, None, {"value": self.values[name]})))
        self.states[name] = state

    @property
    def live(self) -> list[str]:
        """Names of the runs that have not ended."""
        return [n for n, state in self.states.items() if not state.is_terminal]


class Model:
    """The service as a backend."""

    name = "model"
    tick = 0.5
    default_store = "runs"
    clock = staticmethod(time.time)
    store_options: Mapping[str, object] = {}

    def __init__(self, service: Service) -> None:
        self._service = service

    def check(self) -> None: ...

    def check_resources(self, resources: Mapping[str, object]) -> None: ...

    def describe(self) -> dict[str, object]:
        return {"command": ["train"]}

    def open(
        self, store: str, study: str, sources: MetricSources, *, keep_runs: bool, notice: Notice
    ) -> Client:
        return Client(self._service, study)

    def log(self, name: str, run_id: str | None) -> None: ...

    def console(self, run_id: str) -> None: ...


class Client(BackendService):
    """The service, opened for one tuner."""

    clock = staticmethod(time.time)

    def __init__(self, service: Service, study: str) -> None:
        self._service, self._study = service, study
        self._watched: set[str] = set()
        self._unanswered: list[RunRequest] = []
        self.stale: dict[str, RunState] | None = None

    def paths(self, name: str) -> RunPaths:
        return RunPaths.below(name)

    def submit(self, request: RunRequest) -> None:
        self._watched.add(request.name)
        self._ask(request)

    def _ask(self, request: RunRequest) -> None:
        service = self._service
        before, after = service.fail_before, service.fail_after
        service.fail_before = service.fail_after = False
        if not before:
            service.start(self._study, request)
        if before or after:
            self._unanswered.append(request)

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        again, self._unanswered = self._unanswered, []
        for request in again:
            self._ask(request)
        states = self._service.states if self.stale is None else self.stale
        self.stale = None
        seen = {n: states[n] for n in sorted(self._watched) if n in states}
        self._watched -= {n for n, state in seen.items() if state.is_terminal}
        return [self._update(n, state) for n, state in seen.items()]

    def _update(self, name: str, state: RunState) -> RunUpdate:
        ours = name in self._service.canceled
        if state == RunState.CANCELED and not ours:
            state = RunState.FAILED
        return RunUpdate(
            name,
            state,
            run_id=f"id-{name}",
            cause="" if state == RunState.SUCCEEDED else "trouble",
            transient=state == RunState.FAILED,
            has_metrics=True,
        )

    def cancel(self, name: str) -> None:
        if name in self._service.live:
            self._service.canceled.add(name)
            self._service.states[name] = RunState.CANCELED

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        found = {n: self._service.states[n] for n in names if n in self._service.states}
        self._watched |= {n for n, state in found.items() if not state.is_terminal}
        return {n: self._update(n, state) for n, state in found.items()}

    def describe(self) -> dict[str, object]:
        return {"command": ["train"]}

    def close(self) -> None: ...


class Controller:
    """A call of ``optimize``, one turn at a time."""

    def __init__(
        self, folder: Path, service: Service, storage: str | BaseStorage | None = None
    ) -> None:
        study = optuna.create_study(
            pruner=optuna.pruners.NopPruner(),  # a stale listing shows ended runs as live
            study_name="s",
            storage=storage or f"sqlite:///{folder}/s.db",
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(),
            load_if_exists=True,
        )
        tuner = Tuner(
            study, space, Model(service), metric="value", store=folder / "runs", progress=False
        )
        self.session = RunSession(tuner.definition, own=False)
        self.engine: Engine = self.session.ledger.engine
        # Earlier owners were killed, but ran in this process, so their lease looks alive.
        assert self.session.lease.take(self.session.lease._read())
        assert isinstance(self.session.service, Client)
        self.client = self.session.service
        told = sum(t.state.is_finished() for t in study.trials)
        limits = Limits(max(0, TRIALS - told), deadline=None, max_parallel=3, max_failures=None)
        self.call = Optimization(self.session, limits, Silent())
        self.call.recover()

    def turn(self) -> bool:
        """Take a turn; return whether there is more to do."""
        self.call.engine.turn()
        return not self.call.engine.is_done()

    def sleepy_turns(self) -> None:
        """Take turns, each after a long suspension."""
        for _ in range(20):
            self.session.lease._renewed = float("-inf")
            self.turn()

    def break_next_commit(self, *, after: bool) -> None:
        """Break the connection at the next commit, before or after it takes effect."""
        dialect: Any = self.engine.dialect
        commit = dialect.do_commit

        def breaks(connection: object) -> None:
            dialect.do_commit = commit
            if after:
                commit(connection)
            broken = OperationalError("COMMIT", {}, Exception("gone"), connection_invalidated=True)
            raise broken

        dialect.do_commit = breaks


class Protocol(RuleBasedStateMachine):
    """Failures in any order."""

    def __init__(self) -> None:
        super().__init__()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder = Path(tempfile.mkdtemp(prefix="protocol-"))
        self.service = Service(self.folder / "runs")
        self.controller = self.start()
        self.asleep: list[Controller] = []

    def start(self) -> Controller:
        """Start a tuner."""
        return Controller(self.folder, self.service)

    @rule()
    def turn(self) -> None:
        """The tuner takes a turn."""
        self.controller.turn()

    @precondition(lambda self: self.service.live)
    @rule(data=st.data(), how=st.sampled_from(["SUCCEEDED", "SUCCEEDED", "FAILED", "CANCELED"]))
    def a_run_ends(self, data: st.DataObject, how: str) -> None:
        """It succeeds, fails because of the service, or is canceled by a person."""
        name = data.draw(st.sampled_from(sorted(self.service.live)))
        if how == "CANCELED":
            self.service.canceled.add(name)
        attempt = int(name.rsplit("-", 1)[1])
        # The service recovers after three attempts; otherwise the trial would rightly fail.
        self.service.finish(name, RunState(how) if attempt < 3 else RunState.SUCCEEDED)

    @rule(after=st.booleans())
    def a_start_is_not_answered(self, after: bool) -> None:
        """429, 5xx, or a connection that breaks after the request took effect."""
        if after:
            self.service.fail_after = True
        else:
            self.service.fail_before = True

    @rule()
    def the_listing_is_behind(self) -> None:
        """The next listing shows old states."""
        self.controller.client.stale = dict(self.service.states)

    @rule()
    def the_tuner_is_killed(self) -> None:
        """The next tuner starts."""
        self.controller = self.start()

    @rule()
    def the_tuner_is_suspended(self) -> None:
        """It is replaced, and wakes up later."""
        self.asleep.append(self.controller)
        self.controller = self.start()

    @precondition(lambda self: self.asleep)
    @rule()
    def a_suspended_tuner_wakes_up(self) -> None:
        """It must notice that it lost the lease before it does anything."""
        woken = self.asleep.pop()
        before = Counter(self.service.started)
        with pytest.raises(LeaseLost):
            woken.sleepy_turns()
        assert self.service.started == before

    @rule(after=st.booleans())
    def the_database_breaks_at_a_commit(self, after: bool) -> None:
        """The tuner has to find out whether the commit took effect."""
        self.controller.session.retry.sleep = lambda seconds: None
        self.controller.break_next_commit(after=after)

    def teardown(self) -> None:
        """Leave one tuner undisturbed; then all invariants must hold."""
        try:
            last = self.start()
            for _ in range(200):
                for name in list(self.service.live):
                    self.service.finish(name, RunState.SUCCEEDED)
                if not last.turn():
                    break
            self.check(last)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def check(self, last: Controller) -> None:
        """Assert the invariants."""
        trials = last.session.spec.study.trials
        assert [t.number for t in trials] == list(range(len(trials)))
        assert Counter(t.state for t in trials) == {TrialState.COMPLETE: TRIALS}
        assert all(t.value == t.params["x"] for t in trials)
        attempts = last.session.ledger.read_attempts()
        assert all(a.told is not None for a in attempts)
        assert {a.name for a in attempts} == set(self.service.started)
        assert set(self.service.started.values()) <= {1}
        wins = Counter(a.trial for a in attempts if a.state == "SUCCEEDED")
        assert wins == {t.number: 1 for t in trials}
        assert not self.service.live


Protocol.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestProtocol = Protocol.TestCase
