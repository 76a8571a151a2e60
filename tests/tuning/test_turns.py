"""What is recorded before a turn takes effect, and what becomes of live runs when a call ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tests.conftest import space
from tests.tuning.test_protocol import Controller, Model, Service
from tune_jobs.core import events as e
from tune_jobs.core.attempts import AttemptState
from tune_jobs.core.commands import End
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.errors import BackendError, MachineTrouble, SamplerError, StoreError, TuningStopped
from tune_jobs.storage import lease
from tune_jobs.storage.lease import LeaseLost, StudyOwned, find_owner
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.session import RunSession


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a study once: Optuna's tables take a second."""
    path = tmp_path_factory.mktemp("study") / "s.db"
    optuna.create_study(study_name="s", storage=f"sqlite:///{path}", direction="maximize")
    return path


@pytest.fixture
def service(tmp_path: Path, database: Path) -> Service:
    shutil.copy(database, tmp_path)
    return Service(tmp_path / "runs")


@pytest.fixture
def controller(tmp_path: Path, service: Service) -> Controller:
    return Controller(tmp_path, service)


def read_states(controller: Controller) -> dict[str, AttemptState]:
    return {a.name: a.state for a in controller.session.ledger.read_attempts()}


def watch(controller: Controller, method: str) -> list[tuple[str, AttemptState | None]]:
    """Note which runs are started or stopped, and what the ledger says of each at that time."""
    seen: list[tuple[str, AttemptState | None]] = []
    original: Callable[[object], None] = getattr(controller.client, method)

    def note(subject: object) -> None:
        name = str(getattr(subject, "name", subject))
        seen.append((name, read_states(controller).get(name)))
        original(subject)

    setattr(controller.client, method, note)
    return seen


def test_a_run_is_recorded_before_it_is_started(controller: Controller) -> None:
    started = watch(controller, "submit")
    controller.turn()
    assert started == [(f"trial-{n:06d}-1", AttemptState.INTENDED) for n in range(3)]
    controller.turn()
    assert {*read_states(controller).values()} == {AttemptState.SUBMITTED}


def test_the_decision_to_prune_is_recorded_before_the_run_is_stopped(
    controller: Controller,
) -> None:
    controller.turn()
    stopped = watch(controller, "cancel")
    controller.call.engine.handle(e.PruneAdvised("trial-000001-1", 1, 1))
    assert stopped == []
    controller.call.engine.commit()
    assert stopped == [("trial-000001-1", AttemptState.PRUNING)]


def test_a_tuner_that_is_replaced_between_its_commit_and_its_act_does_not_act(
    controller: Controller, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, write = watch(controller, "submit"), controller.call.engine.write

    def write_and_sleep() -> e.Committed:
        committed = write()
        Controller(tmp_path, service)
        monkeypatch.setattr(lease, "read_uptime", lambda: 1e12)
        return committed

    monkeypatch.setattr(controller.call.engine, "write", write_and_sleep)
    with pytest.raises(LeaseLost):
        controller.turn()
    assert started == []
    assert len(service.live) == 3, "its successor has started them"


@pytest.mark.parametrize(
    "trouble",
    [
        LeaseLost("another tuner"),
        MachineTrouble("disk full"),
        BackendError("listing refused"),
        StoreError("no answer"),
        SamplerError("no suggestion"),
        ZeroDivisionError(),
    ],
)
def test_runs_continue_when_a_later_call_will_adopt_them(
    controller: Controller, service: Service, trouble: Exception
) -> None:
    def begin() -> None:
        controller.turn()
        raise trouble

    with pytest.raises(type(trouble)):
        controller.call.engine.run(begin)
    assert len(service.live) == 3


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), TuningStopped("limit")])
def test_a_call_that_ends_on_purpose_waits_for_the_end_of_its_runs(
    controller: Controller,
    service: Service,
    trouble: BaseException,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, stopping = controller.client, list[str]()
    wait = client.wait

    def end_and_wait(timeout: float | None) -> list[RunUpdate]:
        while stopping:
            service.canceled.add(stopping[-1])
            service.states[stopping.pop()] = RunState.CANCELED
        return wait(timeout)

    monkeypatch.setattr(client, "cancel", stopping.append)
    monkeypatch.setattr(client, "wait", end_and_wait)

    def begin() -> None:
        controller.turn()
        raise trouble

    with pytest.raises(type(trouble)):
        controller.call.engine.run(begin)
    assert service.live == []
    assert all(a.told is None for a in controller.session.ledger.read_attempts())


def test_nothing_is_started_after_an_interruption(controller: Controller, service: Service) -> None:
    controller.call.engine.interruption.ask()
    with pytest.raises(KeyboardInterrupt):
        controller.turn()
    assert service.states == {}


@pytest.mark.parametrize(("end", "live"), [(End.LEAVE, 3), (End.CANCEL, 0)])
def test_runs_are_left_to_the_next_owner_or_stopped(
    controller: Controller, service: Service, end: End, live: int
) -> None:
    def begin() -> None:
        controller.turn()
        controller.call.end(end)

    controller.call.engine.run(begin)
    assert len(service.live) == live


def test_a_failure_of_all_runs_is_recorded_with_the_attempts_that_follow(
    controller: Controller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller.turn()
    name, *others = service.live
    update = RunUpdate(name, RunState.FAILED, f"id-{name}", cause="no policy", fatal=True)
    monkeypatch.setattr(controller.client, "wait", lambda timeout: [update])
    with pytest.raises(BackendError, match="no policy"):
        controller.turn()
    states = read_states(controller)
    assert states.pop(name) == AttemptState.FAILED
    assert states.pop("trial-000000-2") == AttemptState.INTENDED
    assert sorted(states) == others
    assert "trial-000000-2" not in service.states


# -- sessions -------------------------------------------------------------------------------------


@pytest.fixture
def tuner(tmp_path: Path, service: Service) -> Tuner:
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/s.db")
    return Tuner(study, space, Model(service), metric="value", progress=False)


def test_a_study_has_one_owner_in_a_process_and_none_afterwards(tuner: Tuner) -> None:
    with RunSession(tuner.definition, own=True) as first:
        assert find_owner(first.ledger.engine, first.ledger.uid) is not None
        with pytest.raises(StudyOwned, match="another tuner of this process"):
            RunSession(tuner.definition, own=True)
        first.renew()
    assert find_owner(first.ledger.engine, first.ledger.uid) is None


def test_only_cancellations_of_trials_outlive_the_owner_that_they_were_for(tuner: Tuner) -> None:
    with RunSession(tuner.definition, own=True) as first:
        for command in ("pause", "stop", "set", "hand_over"):
            first.controls.request(command)
        first.controls.request("cancel", trial=7)
    with RunSession(tuner.definition, own=True) as second:
        assert [c.command for c in second.controls.read_pending()] == ["cancel"]
