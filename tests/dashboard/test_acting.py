"""Acting through the API: limits, enqueued configurations, notes, final runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from werkzeug.test import Client

from tests.conftest import MakeTuner
from tests.dashboard.conftest import sign_in
from tests.simulation import curve
from tests.study_files import SMALL_STUDY
from tune_jobs.backends.simulated.backend import SimulatedBackend
from tune_jobs.cli.main import main
from tune_jobs.core.commands import explain_unanswered
from tune_jobs.core.requests import read_requested_params
from tune_jobs.dashboard.access import CONTROL_HEADER
from tune_jobs.space.declaration import as_space
from tune_jobs.space.described import read_space
from tune_jobs.storage.waiting_trials import enqueue_configuration
from tune_jobs.tuner import Tuner

SPACE = {
    "parameters": {
        "x": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
        "n": {"type": "int", "low": 0, "high": 9},
        "optimizer": {"choices": ["adam", "sgd"]},
        "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": "optimizer == 'sgd'"},
        "epochs": 3,
    },
    "constraints": ["x * n <= 5"],
}
BODY = 'echo "value=$x"'
WAIT = 'until [ -e "$here/go" ]; do sleep 0.02; done; echo "value=$x"'
GOOD = {"x": 0.01, "n": 3, "optimizer": "sgd", "momentum": 0.5}


class Page:
    """The requests of a page about the first study of a storage."""

    def __init__(self, storage: str, **options: Any) -> None:
        self.client: Client = sign_in([storage], **{"allow_control": True, **options})
        studies = self.get("api/studies")["studies"]
        self.study = f"api/studies/{studies[0]['key']}"

    def get(self, path: str) -> Any:
        return self.client.get(f"/{path}", base_url="http://127.0.0.1:8787").json

    def post(self, path: str, **content: Any) -> tuple[int, Any]:
        key = self.get(self.study)["control_key"] or ""
        answer = self.client.post(
            f"/{self.study}/{path}",
            base_url="http://127.0.0.1:8787",
            data=json.dumps(content),
            headers={"Content-Type": "application/json", CONTROL_HEADER: key},
        )
        return answer.status_code, answer.json


@pytest.fixture
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, str]:
    """Return Optuna's storage, and what a dashboard opens it by."""
    if getattr(request, "param", "sqlite") == "sqlite":
        url = f"sqlite:///{tmp_path}/s.db"
        return url, url
    path = f"{tmp_path}/journal.log"
    return JournalStorage(JournalFileBackend(path)), path


both_storages = pytest.mark.parametrize("storage", ["sqlite", "journal"], indirect=True)


@pytest.fixture
def study(storage: tuple[Any, str]) -> optuna.Study:
    return optuna.create_study(
        study_name="s",
        storage=storage[0],
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=1),
    )


@pytest.fixture
def tuner(study: optuna.Study) -> Tuner:
    """Return a tuner in virtual time."""
    backend = SimulatedBackend(curve)
    return Tuner(study, SPACE, backend, metric="acc", progress=False, duplicates="run")


@pytest.fixture
def page(tuner: Tuner, storage: tuple[Any, str]) -> Page:
    """Return the page of a study with two trials, which nothing tunes."""
    tuner.optimize(n_trials=2)
    return Page(storage[1])


@pytest.fixture
def tuned_page(
    make_tuner: MakeTuner, study: optuna.Study, storage: tuple[Any, str], tmp_path: Path
) -> Iterator[tuple[Page, Tuner]]:
    """Return the page of a study whose first trials run until the file ``go`` exists."""
    tuner = make_tuner(WAIT, study=study, space=SPACE, max_parallel=2)
    working = threading.Thread(target=tuner.optimize, kwargs={"n_trials": 500})
    working.start()
    try:
        wait_until(lambda: sum(t.state == TrialState.RUNNING for t in study.trials) == 2)
        yield Page(storage[1]), tuner
    finally:
        (tmp_path / "go").touch()
        tuner.stop()
        working.join()


def wait_until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen within a minute")


def send(page: Page, command: str, **arguments: Any) -> Any:
    """Send a command, and wait until it is applied; return the answer."""
    status, answer = page.post("control", command=command, **arguments)
    assert status == 200, answer
    wait_until(lambda: page.get(f"{page.study}/control/{answer['asked']}")["done"])
    return answer


@both_storages
def test_a_configuration_runs_while_the_study_is_tuned(
    tuned_page: tuple[Page, Tuner], tmp_path: Path
) -> None:
    page, tuner = tuned_page
    status, answer = page.post("enqueue", params=GOOD, request="r1")
    assert (status, answer["starts"]) == (200, "one of the next trials to start runs it")
    assert page.post("enqueue", params=GOOD, request="r1")[1]["trial"] == answer["trial"]
    (tmp_path / "go").touch()
    number = answer["trial"]
    wait_until(lambda: tuner.study.trials[number].state == TrialState.COMPLETE)
    assert tuner.study.trials[number].params == GOOD


def test_limits_are_changed_and_what_changed_is_said(tuned_page: tuple[Page, Tuner]) -> None:
    page, tuner = tuned_page
    shown = page.get(page.study)
    assert (shown["max_parallel"], shown["n_trials"]) == (2, 500)
    answer = send(page, "set", max_parallel=3, n_trials=600)
    assert answer["changes"] == "max_parallel 2 → 3, n_trials 500 → 600"
    for limits in ({}, {"max_parallel": 0}, {"n_trials": True}, {"max_parallel": "4"}):
        status, refused = page.post("control", command="set", **limits)
        assert status == 400
        assert "at least 1" in refused["error"] or "nothing to change" in refused["error"]
    shown = page.get(page.study)
    assert (shown["max_parallel"], shown["n_trials"]) == (3, 600)
    wait_until(lambda: sum(t.state == TrialState.RUNNING for t in tuner.study.trials) == 3)


def test_two_pages_cancel_the_same_trial(tuned_page: tuple[Page, Tuner]) -> None:
    page, tuner = tuned_page
    both = [page.post("control", command="cancel", trial=0) for _ in range(2)]
    assert [status for status, _ in both] == [200, 200]
    asked = [answer["asked"] for _, answer in both]
    wait_until(lambda: all(page.get(f"{page.study}/control/{n}")["done"] for n in asked))
    assert tuner.study.trials[0].state == TrialState.FAIL
    status, answer = page.post("control", command="cancel", trial=0)
    assert (status, answer["error"]) == (400, "trial 0 is FAIL and has no live job run to cancel")


@both_storages
def test_a_configuration_waits_without_a_tuner(page: Page, tuner: Tuner) -> None:
    status, answer = page.post("enqueue", params=GOOD)
    assert (status, answer) == (
        200,
        {"trial": 2, "starts": "it waits until a process tunes the study"},
    )
    assert read_requested_params(tuner.study.trials[2]) == GOOD
    status, again = page.post("enqueue", params=GOOD)
    assert (status, again["same_as"]) == (409, 2)
    assert page.post("enqueue", params=GOOD, again=True)[1]["trial"] == 3
    assert page.post("withdraw", trial=3) == (200, {"withdrawn": 3})
    tuner.optimize(n_trials=1)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE"] * 3 + ["FAIL"]
    assert tuner.study.trials[2].params == GOOD
    status, answer = page.post("withdraw", trial=2)
    assert (status, answer["error"]) == (400, "trial 2 is COMPLETE and does not wait any more")
    assert page.get(page.study)["counts"]["FAIL"] == 0, "a withdrawn trial had no run"


INVALID: list[tuple[Any, str]] = [
    ({**GOOD, "x": 2.0}, "x=2.0 is out of range"),
    ({**GOOD, "n": 2.5}, "n=2.5 is not a whole number"),
    ({**GOOD, "optimizer": "adam"}, "momentum=0.5 is not active"),
    ({**GOOD, "lr": 1}, "lr=1 is not in the search space"),
    ({**GOOD, "x": 0.9, "n": 9}, "constraint 'x * n <= 5' does not hold"),
    ({**GOOD, "epochs": 4}, "epochs=4 is not tuned: use 3"),
    ({"optimizer": {"choice": 2}}, "has no such choice"),
    ({}, "params must be an object"),
    ([1], "params must be an object"),
]


def test_invalid_configurations_are_refused(page: Page) -> None:
    for params, problem in INVALID:
        status, answer = page.post("enqueue", params=params)
        assert status == 400, params
        assert problem in answer["error"]
    assert page.get(page.study)["counts"]["WAITING"] == 0


def test_what_is_left_open_is_sampled(page: Page, tuner: Tuner) -> None:
    sent = {"x": 0.5, "momentum": 0.25, "optimizer": {"choice": 1}}
    assert page.post("enqueue", params=sent)[0] == 200
    assert page.post("enqueue", params={"x": 0.9})[0] == 200, "some n satisfies the constraint"
    tuner.optimize(n_trials=1)
    assert tuner.study.trials[2].params["momentum"] == 0.25


def test_the_form_has_the_space(page: Page, tuner: Tuner) -> None:
    form = page.get(f"{page.study}/enqueue?from=1")
    fields = {each["name"]: each for each in form["parameters"]}
    assert list(fields) == ["x", "n", "optimizer", "momentum", "epochs"]
    assert (fields["x"]["low"], fields["x"]["log"]) == (1e-4, True)
    assert fields["momentum"]["when"] == "optimizer == 'sgd'"
    assert fields["epochs"]["value"] == "3"
    params = tuner.study.trials[1].params
    assert float(fields["x"]["value"]) == params["x"]
    place = fields["optimizer"]["value"]
    assert fields["optimizer"]["choices"][place] == repr(params["optimizer"])
    best = page.get(f"{page.study}/enqueue?from=best")
    assert best["from"] == best["best"] == tuner.best_trials[0].number
    assert page.get(f"{page.study}/enqueue")["from"] is None
    assert page.get(f"{page.study}/enqueue?from=99")["unknown"] == "99"


def test_a_described_space_is_read_again() -> None:
    space = as_space(
        {
            "a": FloatDistribution(0, 1, step=0.25),
            "b": IntDistribution(1, 64, log=True),
            "c": CategoricalDistribution([None, True, 1.5, "x"]),
            "layers": [[1, 2], [3]],
        }
    )
    described = json.loads(json.dumps(space.describe()))
    assert read_space(described).describe() == space.describe()


def test_a_space_of_a_function_has_the_ranges_of_earlier_trials(
    make_tuner: MakeTuner, study: optuna.Study, storage: tuple[Any, str]
) -> None:
    make_tuner(BODY, study=study).optimize(n_trials=1)
    page = Page(storage[1])
    form = page.get(f"{page.study}/enqueue")
    assert "Python function" in form["limits"]
    assert [each["name"] for each in form["parameters"]] == ["x", "n"]
    assert page.post("enqueue", params={"x": 3.0})[0] == 400
    assert page.post("enqueue", params={"x": 0.5})[0] == 200


def test_a_request_that_is_repeated_enqueues_once(study: optuna.Study) -> None:
    """Also by another server: the answer of the first one was lost."""
    space = as_space(SPACE)
    numbers = {
        enqueue_configuration(study, space, GOOD, again=True, request="r").trial for _ in range(3)
    }
    assert numbers == {0}
    assert len(study.trials) == 1


@both_storages
def test_notes(page: Page, tuner: Tuner) -> None:
    from optuna_dashboard import get_note, save_note  # type: ignore[import-untyped]

    assert page.get(f"{page.study}/note") == {"text": "", "version": 0}
    text = "<b>not</b> markup: " + "é" * 3900
    assert page.post("note", text=text, version=0)[1] == {"text": text, "version": 1}
    assert page.post("note", trial=1, text="overfit", version=0)[0] == 200
    status, answer = page.post("note", trial=1, text="mine", version=0)
    assert (status, answer["text"], answer["version"]) == (409, "overfit", 1)
    fresh = optuna.load_study(study_name="s", storage=tuner.study._storage)
    assert get_note(fresh) == text
    save_note(fresh, "theirs")
    assert page.post("note", text="mine", version=1)[0] == 409
    assert page.post("note", text="", version=2)[1] == {"text": "", "version": 3}
    assert get_note(fresh) == ""
    answer = page.get(f"{page.study}/trials")
    at = [column["id"] for column in answer["columns"]].index("note")
    notes = {row[0]: row[at] for row in answer["rows"] if len(row) > at}
    assert {number: note for number, note in notes.items() if note} == {1: "overfit"}
    assert page.post("note", text="x" * 4001, version=3)[0] == 400
    for text in ("a\0b", "\x1b[31mred", "\ud800"):
        assert page.post("note", text=text, version=3)[0] == 400
    assert page.post("note", trial=99, text="x", version=0)[0] == 400


def test_notes_of_optuna_dashboard_on_trials_are_read(page: Page, tuner: Tuner) -> None:
    from optuna_dashboard import save_note

    trial = optuna.Trial(tuner.study, tuner.study.trials[1]._trial_id)
    save_note(trial, "y" * 5000)
    assert page.get(f"{page.study}/note?trial=1") == {"text": "y" * 5000, "version": 1}


STUDY = SMALL_STUDY + "n_trials: 2\nsampler: {name: random, seed: 1}\n"


def test_a_final_run_is_started_once_and_survives_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.sh").write_text('sleep 0.1; echo "value=${1#--x=}"\n')
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    assert main(["run", "study.yaml", "--quiet"]) == 0
    files = {("s0-", "s"): file}
    page = Page(f"sqlite:///{tmp_path}/s.db", study_files=files)
    described = page.get(f"{page.study}/train/1")
    assert described["commands"][0]["text"] == f"tune-jobs train-best {file} --trial 1"
    assert (described["obstacle"], described["runs"]) == ("", [])
    first, second = (page.post("train", trial=1) for _ in range(2))
    assert first == second == (200, {"log": f"{tmp_path}/study.train-1.log"})
    # The first server has ended; the process that it started keeps running.
    later = Page(f"sqlite:///{tmp_path}/s.db", study_files=files)
    runs = f"{later.study}/train/1"
    wait_until(lambda: [run["state"] for run in later.get(runs)["runs"]] == ["SUCCEEDED"])
    wait_until(lambda: not page.get(f"{page.study}/train/1")["running"])
    assert later.post("train", trial=1)[0] == 200
    wait_until(lambda: not later.get(runs)["running"])
    assert (later.get(runs)["code"], len(later.get(runs)["runs"])) == (0, 1), "it is not repeated"
    assert (tmp_path / "study.train-1.log").stat().st_mode & 0o077 == 0
    assert later.post("train", trial=7)[0] == 400
    without = Page(f"sqlite:///{tmp_path}/s.db")
    assert "start it with the study.yaml" in without.post("train", trial=1)[1]["error"]
    _check_commands(capsys)


def _check_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Enqueue, withdraw and note by the command line."""

    def call(*words: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main([words[0], "study.yaml", *words[1:], "--json"])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if code == 0 else None, printed.err

    code, answer, _ = call("enqueue", "--param", "x=0.25")
    assert (code, answer["trial"], answer["params"]) == (0, 2, {"x": 0.25})
    code, _, error = call("enqueue", "--param", "x=0.25")
    assert code != 0
    assert "trial 2 (waiting) has the same configuration" in error
    assert call("enqueue", "--from-trial", "2", "--again")[1]["trial"] == 3
    code, _, error = call("enqueue", "--from-trial", "0")
    assert code != 0
    assert "trial 0 (complete) has the same configuration" in error
    assert "--again" in error
    code, answer, _ = call("enqueue", "--from-trial", "0", "--param", "x=0.375")
    assert (code, answer["params"]) == (0, {"x": 0.375})
    for words, problem in (
        (("--param", "x=2"), "out of range"),
        (("--param", "x=0.1", "--param", "x=0.2"), "x is given twice"),
        (("--param", "y=2"), "not in the search space"),
        (("--from-trial", "9"), "no such trial"),
        ((), "nothing to enqueue"),
    ):
        code, _, error = call("enqueue", *words)
        assert code != 0
        assert problem in error
    assert call("withdraw", "3")[1] == {"withdrawn": 3}
    assert call("status")[1]["trials"] == {"COMPLETE": 2, "WAITING": 2, "WITHDRAWN": 1}
    assert call("status")[1]["failures"] == []
    assert call("show", "3")[1]["explanation"] == "Trial 3 was withdrawn before it started"
    assert main(["report", "study.yaml", "-o", "report.md"]) == 0
    report = Path("report.md").read_text()
    assert "1 trial was withdrawn before a run started." in report
    assert "refused" not in report
    capsys.readouterr()
    assert call("withdraw", "0")[0] != 0
    assert call("note", "--trial", "1", "--text", "overfit")[1]["version"] == 1
    assert call("note", "--trial", "1")[1]["text"] == "overfit"
    assert call("note")[1] == {"trial": None, "text": "", "version": 0}


def test_without_control_nothing_is_changed(tuner: Tuner, storage: tuple[Any, str]) -> None:
    tuner.optimize(n_trials=1)
    page = Page(storage[1], allow_control=False)
    for path in ("control", "enqueue", "withdraw", "note", "train"):
        status, answer = page.post(path, command="pause", params=GOOD, trial=0, text="", version=0)
        assert status == 403, path
        assert "--allow-control" in answer["error"]


def test_an_owner_that_does_not_answer_is_explained() -> None:
    assert "ended; the next process that tunes the study ignores it" in explain_unanswered(
        "pause", None
    )
    silent = explain_unanswered("cancel", "process 7 on tower")
    assert "process 7 on tower has not answered" in silent
    assert "the next process that tunes the study carries it out" in silent
