"""Conformance suite for backends.

Inherit from `BackendTests` in a test module and provide the fixture ``backend``, which returns a
backend that runs `PROGRAM` with the arguments of each request. pytest collects the inherited tests.

    import pytest
    from tune_jobs.testing.backends import PROGRAM, BackendTests

    class TestSlurmBackend(BackendTests):
        @pytest.fixture
        def backend(self):
            return SlurmBackend(PROGRAM)

The other fixtures and the attributes have defaults, which a subclass may override:

    store               metric store that runs can write to (default: a temporary folder)
    refused_request     request that the backend refuses by `SubmitError`, or None
    unusable_store      metric store that ``open`` refuses by `BackendError`, or None
    executes            whether `PROGRAM` is executed, or only simulated: then there are no
                        environment variables, files, folders and logs to test
    outlives_tuner      whether runs continue when the tuner's process is killed; the backend is
                        pickled to be used by another process
    patience            seconds to wait for a run's progress before a test fails
    settling            seconds for which updates are collected after a run's end
"""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tune_jobs.backends.base import Backend
from tune_jobs.core.job_runs import RunRequest, RunState
from tune_jobs.errors import BackendError, SubmitError
from tune_jobs.metric_store.store import MetricStore, study_folder
from tune_jobs.testing import program
from tune_jobs.testing.program import checksum
from tune_jobs.testing.watching import SOURCES, Watcher, build_request, start_and_be_killed

PROGRAM = Path(program.__file__)
"""Python file to execute for each run; it needs Python 3.8 and the standard library."""

LIVE = "--seconds=60"

STRANGE_ARGUMENTS = [
    ("--a=b c", '--q=it\'s "quoted"', "--u=ü€", "--x=-1e-05", "--empty=", "", "*", "$HOME", "\\"),
    ("--lines=one\ntwo",),
    tuple(f"--p{i}={'x' * 40}" for i in range(150)),
]


class BackendTests:
    """Tests that every backend passes; see the module's docstring."""

    executes = True
    outlives_tuner = True
    patience = 60.0
    settling = 0.5

    @pytest.fixture
    @abstractmethod
    def backend(self) -> Backend:
        """Return a backend that runs `PROGRAM`."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> str:
        """Return the URI of a metric store that runs can write to."""
        return str(tmp_path / "store")

    @pytest.fixture
    def refused_request(self) -> RunRequest | None:
        """Return a request that the backend refuses."""
        return build_request("refused-1", resources={"no_such_resource": 1})

    @pytest.fixture
    def unusable_store(self) -> str | None:
        """Return the URI of a metric store that runs cannot write to."""
        return "memory://conformance"

    @pytest.fixture
    def study(self) -> str:
        """Return a study's folder that no other test uses."""
        return f"conformance-{secrets.token_hex(4)}"

    @pytest.fixture
    def watch(self, backend: Backend, store: str) -> Iterator[Callable[[str], Watcher]]:
        """Return a function that opens the backend for a study."""
        watchers: list[Watcher] = []

        def watch(study: str) -> Watcher:
            service = backend.open(
                store, study, SOURCES, keep_runs=True, notice=lambda message: None
            )
            metrics = MetricStore(store, study, backend.store_options)
            watchers.append(Watcher(service, metrics, self.patience))
            return watchers[-1]

        yield watch
        for watcher in watchers:
            watcher.cancel_and_close()

    @pytest.fixture
    def runs(self, watch: Callable[[str], Watcher], study: str) -> Watcher:
        """Return the backend, open for a study."""
        return watch(study)

    # -- the backend ----------------------------------------------------------------------------

    def test_backend_describes_itself(self, backend: Backend, runs: Watcher) -> None:
        backend.check()
        described = backend.describe()
        assert described["backend"] == backend.name
        assert described["command"]
        assert described.items() <= runs.service.describe().items()
        assert backend.tick > 0.0
        assert isinstance(backend.default_store, str)

    def test_use_changes_nothing_of_the_backend(
        self, backend: Backend, watch: Callable[[str], Watcher], study: str
    ) -> None:
        before = dict(vars(backend))
        runs = watch(study)
        runs.run("trial-000000-1")
        runs.service.close()
        assert vars(backend) == before

    def test_unusable_store_is_refused(
        self, backend: Backend, study: str, unusable_store: str | None
    ) -> None:
        if unusable_store is None:
            pytest.skip("the backend can use any store")
        with pytest.raises(BackendError):
            backend.open(unusable_store, study, SOURCES, keep_runs=True, notice=print)

    # -- the life of a run ----------------------------------------------------------------------

    def test_run_succeeds(self, runs: Watcher) -> None:
        before = runs.service.clock()
        end = runs.run("trial-000000-1", "--lr=0.1")
        assert (end.state, end.cause) == (RunState.SUCCEEDED, "")
        assert end.exit_code in (0, None)
        assert end.run_id
        assert end.started is not None
        assert end.finished is not None
        assert end.started <= end.finished
        assert runs.service.clock() >= before
        assert runs.read_metric("trial-000000-1", "value") == [checksum(["--lr=0.1"])]

    def test_run_fails(self, runs: Watcher) -> None:
        end = runs.run("trial-000000-1", "--exit=3")
        assert (end.state, end.exit_code) == (RunState.FAILED, 3)
        assert end.cause
        assert not end.transient
        assert not end.fatal

    @pytest.mark.parametrize("argv", STRANGE_ARGUMENTS, ids=["odd", "newline", "long"])
    def test_arguments_arrive_unchanged(self, runs: Watcher, argv: Sequence[str]) -> None:
        assert runs.run("trial-000000-1", *argv).state == RunState.SUCCEEDED
        assert runs.read_metric("trial-000000-1", "value") == [checksum(argv)]

    def test_variables_and_files_arrive(self, runs: Watcher) -> None:
        self._require_execution()
        variable, content = 'a "b" $HOME ü', "lr: 0.1\nname: 'x'\n"
        end = runs.run(
            "trial-000000-1",
            "--lr=0.1",
            env={program.VARIABLE: variable},
            files={program.FILE: content},
        )
        assert end.state == RunState.SUCCEEDED
        expected = checksum(["--lr=0.1"], variable, content)
        assert runs.read_metric("trial-000000-1", "value") == [expected]

    def test_names_are_told_apart(self, runs: Watcher) -> None:
        names = ["trial-000001-1", "trial-000001-10", "trial-0000011-1", "final-1-1", "check-0a-1"]
        for name in names:
            runs.submit(name, f"--name={name}")
        for name in names:
            assert runs.wait_for_end(name).state == RunState.SUCCEEDED
            assert runs.read_metric(name, "value") == [checksum([f"--name={name}"])]

    def test_study_with_an_odd_name(self, watch: Callable[[str], Watcher]) -> None:
        runs = watch(study_folder("Größe / (v2), a@b=+%", secrets.token_hex(4)))
        assert runs.run("trial-000000-1").state == RunState.SUCCEEDED
        assert runs.read_metric("trial-000000-1", "value") == [checksum([])]

    # -- updates --------------------------------------------------------------------------------

    def test_terminal_states_are_final(self, runs: Watcher) -> None:
        expected = {
            "trial-000000-1": RunState.SUCCEEDED,
            "trial-000001-1": RunState.FAILED,
            "trial-000002-1": RunState.CANCELED,
        }
        runs.start("trial-000002-1", LIVE)
        runs.submit("trial-000000-1")
        runs.submit("trial-000001-1", "--exit=1")
        runs.service.cancel("trial-000002-1")
        for name, state in expected.items():
            assert runs.wait_for_end(name).state == state
        runs.updates += runs.service.wait(self.settling)
        for name in expected:
            states = [update.state for update in runs.updates if update.name == name]
            assert [state.is_terminal for state in states[:-1]] == [False] * (len(states) - 1)
        found = runs.service.find(expected)
        assert {name: update.state for name, update in found.items()} == expected

    def test_wait_returns_in_time(self, runs: Watcher) -> None:
        runs.start("trial-000000-1", LIVE)
        before = runs.service.clock()
        for update in runs.service.wait(0.0):
            assert update.state == RunState.IN_PROGRESS
        runs.service.wait(self.settling)
        assert runs.service.clock() - before < 10.0

    # -- submit, find, cancel -------------------------------------------------------------------

    def test_submit_is_idempotent(self, watch: Callable[[str], Watcher], study: str) -> None:
        runs = watch(study)
        runs.start("trial-000001-1", LIVE)
        live_token = runs.read_metric("trial-000001-1", "token")
        runs.submit("trial-000001-1", LIVE)
        first = runs.run("trial-000000-1")
        token = runs.read_metric("trial-000000-1", "token")
        again = runs.run("trial-000000-1")
        runs.service.close()
        reopened = watch(study)
        later = reopened.run("trial-000000-1")
        assert first.state == again.state == later.state == RunState.SUCCEEDED
        assert first.run_id == again.run_id == later.run_id
        assert reopened.read_metric("trial-000000-1", "token") == token
        assert len(token) == 1
        reopened.submit("trial-000001-1", LIVE)
        reopened.service.cancel("trial-000001-1")
        assert reopened.wait_for_end("trial-000001-1").state == RunState.CANCELED
        assert reopened.read_metric("trial-000001-1", "token") == live_token
        assert len(live_token) == 1

    def test_find(self, runs: Watcher) -> None:
        runs.run("trial-000000-1")
        runs.start("trial-000001-1", LIVE)
        found = runs.service.find(["trial-000000-1", "trial-000001-1", "trial-000002-1"])
        assert {name: update.state for name, update in found.items()} == {
            "trial-000000-1": RunState.SUCCEEDED,
            "trial-000001-1": RunState.IN_PROGRESS,
        }
        assert all(name == update.name for name, update in found.items())
        assert runs.service.find(["trial-000002-1"]) == {}
        assert runs.service.find([]) == {}

    def test_cancel(self, runs: Watcher) -> None:
        runs.start("trial-000000-1", LIVE)
        runs.service.cancel("trial-000000-1")
        runs.service.cancel("trial-000000-1")
        end = runs.wait_for_end("trial-000000-1")
        assert end.state == RunState.CANCELED
        assert not end.transient
        assert runs.read_metric("trial-000000-1", "value") == [checksum([LIVE])]

    def test_cancel_of_ended_and_unknown_runs_does_nothing(self, runs: Watcher) -> None:
        runs.run("trial-000000-1")
        for name in ("trial-000000-1", "trial-000001-1"):
            runs.service.cancel(name)
        assert runs.service.wait(self.settling) == []
        found = runs.service.find(["trial-000000-1", "trial-000001-1"])
        assert {name: update.state for name, update in found.items()} == {
            "trial-000000-1": RunState.SUCCEEDED
        }
        assert runs.run("trial-000001-1").state == RunState.SUCCEEDED

    def test_refusal_concerns_one_run(
        self, runs: Watcher, refused_request: RunRequest | None
    ) -> None:
        if refused_request is None:
            pytest.skip("the backend refuses nothing")
        with pytest.raises(SubmitError, match=refused_request.name):
            runs.service.submit(refused_request)
        assert runs.service.find([refused_request.name]) == {}
        assert runs.run("trial-000000-1").state == RunState.SUCCEEDED

    def test_methods_may_be_called_from_several_threads(self, runs: Watcher) -> None:
        names = [f"trial-{number:06d}-1" for number in range(6)]
        with ThreadPoolExecutor(4) as pool:
            submitted = [pool.submit(runs.submit, name) for name in names * 2]
            pool.submit(runs.service.cancel, "trial-000099-1").result()
            for name in names:
                assert runs.wait_for_end(name).state == RunState.SUCCEEDED
        assert [future.exception() for future in submitted] == [None] * len(submitted)
        for name in names:
            assert len(runs.read_metric(name, "token")) == 1

    # -- folders and logs -----------------------------------------------------------------------

    def test_paths_lead_to_the_folders_of_the_run(self, runs: Watcher) -> None:
        paths = runs.service.paths("trial-000000-1")
        assert all([paths.work, paths.outputs, paths.checkpoints, paths.resume])
        self._require_execution()
        first = runs.run(
            "trial-000000-1",
            f"--output={paths.outputs}/model.txt",
            f"--save={paths.checkpoints}",
            checkpoints=True,
        )
        assert first.state == RunState.SUCCEEDED
        assert runs.store.outputs("trial-000000-1") == ["model.txt"]
        resume = runs.service.paths("trial-000000-2").resume
        second = runs.run("trial-000000-2", f"--resume={resume}", resume=("trial-000000-1",))
        assert second.state == RunState.SUCCEEDED
        assert runs.read_metric("trial-000000-2", "resumed") == [1.0]

    def test_log_has_what_was_printed(self, backend: Backend, runs: Watcher) -> None:
        self._require_execution()
        end = runs.run("trial-000000-1")
        elsewhere = backend.log("trial-000000-1", end.run_id)
        log = runs.store.log("trial-000000-1") if elsewhere is None else elsewhere.read().decode()
        assert f"value={checksum([])}" in log

    # -- services -------------------------------------------------------------------------------

    def test_services_of_two_studies_share_nothing(self, watch: Callable[[str], Watcher]) -> None:
        """The same names, at the same time, on one backend object."""
        one, other = (watch(f"conformance-{secrets.token_hex(4)}") for _ in range(2))
        one.start("trial-000000-1", LIVE, "--of=one")
        other.start("trial-000000-1", LIVE, "--of=other")
        one.submit("trial-000001-1", "--exit=1")
        other.submit("trial-000001-1")
        one.service.cancel("trial-000000-1")
        assert one.wait_for_end("trial-000000-1").state == RunState.CANCELED
        assert one.wait_for_end("trial-000001-1").state == RunState.FAILED
        one.service.close()
        assert other.wait_for_end("trial-000001-1").state == RunState.SUCCEEDED
        found = other.service.find(["trial-000000-1"])
        assert found["trial-000000-1"].state == RunState.IN_PROGRESS
        assert one.read_metric("trial-000000-1", "value") == [checksum([LIVE, "--of=one"])]
        assert other.read_metric("trial-000000-1", "value") == [checksum([LIVE, "--of=other"])]

    def test_second_service_of_a_study_works_or_is_refused_at_once(
        self, watch: Callable[[str], Watcher], study: str
    ) -> None:
        one = watch(study)
        one.start("trial-000000-1", LIVE)
        try:
            other = watch(study)
        except BackendError:
            pass
        else:
            assert other.run("check-0a1b2c-1").state == RunState.SUCCEEDED
            assert not one.service.find(["check-0a1b2c-1"])["check-0a1b2c-1"].cause
        one.service.cancel("trial-000000-1")
        assert one.wait_for_end("trial-000000-1").state == RunState.CANCELED

    def test_closed_service_raises(self, watch: Callable[[str], Watcher], study: str) -> None:
        runs = watch(study)
        with runs.service as service:
            runs.run("trial-000000-1")
        for call in (
            lambda: service.submit(build_request("trial-000001-1")),
            lambda: service.wait(0.0),
            lambda: service.cancel("trial-000000-1"),
            lambda: service.find(["trial-000000-1"]),
        ):
            with pytest.raises(BackendError):
                call()
        service.close()
        assert watch(study).service.find(["trial-000001-1"]) == {}

    def test_runs_outlive_their_service(self, watch: Callable[[str], Watcher], study: str) -> None:
        runs = watch(study)
        runs.run("trial-000000-1")
        runs.start("trial-000001-1", LIVE)
        runs.service.close()
        reopened = watch(study)
        self._adopt(reopened, "trial-000001-1")
        found = reopened.service.find(["trial-000000-1", "trial-000002-1"])
        assert {n: u.state for n, u in found.items()} == {"trial-000000-1": RunState.SUCCEEDED}

    def test_runs_outlive_a_killed_tuner(
        self, backend: Backend, store: str, study: str, watch: Callable[[str], Watcher]
    ) -> None:
        if not self.outlives_tuner:
            pytest.skip("runs end with the tuner's process")
        request = build_request("trial-000001-1", LIVE)
        start_and_be_killed((backend, store, study, request), self.patience)
        self._adopt(watch(study), "trial-000001-1")

    def _adopt(self, runs: Watcher, name: str) -> None:
        """Find a live run that another service started, and cancel it."""
        runs.names.add(name)
        assert runs.service.find([name])[name].state == RunState.IN_PROGRESS
        runs.updates += runs.service.wait(self.settling)
        assert runs.service.find([name])[name].state == RunState.IN_PROGRESS
        runs.service.cancel(name)
        assert runs.wait_for_end(name).state == RunState.CANCELED
        assert runs.read_metric(name, "value") == [checksum([LIVE])]
        assert len(runs.read_metric(name, "token")) == 1

    def _require_execution(self) -> None:
        if not self.executes:
            pytest.skip("runs are simulated")
