"""The page of one trial: its view, and what is read of its job runs' files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from tune_jobs.core.attempts import Attempt, AttemptState, Invocation, trial_attempt_name
from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.run_files import (
    LOG_BYTES,
    choose_file_name,
    log_view,
    search_log,
)
from tune_jobs.dashboard.run_metrics import KEPT, MANY, RunCurves
from tune_jobs.dashboard.run_requests import RunRequests
from tune_jobs.dashboard.trial_filter import filter_study
from tune_jobs.dashboard.trial_lines import describe_trial
from tune_jobs.dashboard.trial_view import (
    MAX_ATTEMPTS,
    MAX_VALUE,
    find_final_run,
    find_trial,
    trial_view,
)
from tune_jobs.errors import StudyError
from tune_jobs.metric_store.store import MetricStore, study_folder
from tune_jobs.runtime.records import Record, encode
from tune_jobs.storage.notes import Note

OCID = "ocid1.vaultsecret.oc1.iad.abc"
DEFINITION = {
    "metrics": [{"name": "accuracy"}],
    "bounds": {"memory": "<= 400"},
    "pruner": "MedianPruner",
    "sampler": "TPESampler",
    "run": {
        "command": ["python", "my train.py"],
        "environment": {"names": ["HF_HOME"], "secrets": {"HF_TOKEN": OCID}},
    },
}


def trial(number: int, state: str = "COMPLETE", value: float | None = None, **more: Any) -> Trial:
    values = () if value is None else (value,)
    params = more.pop("params", {"x": 0.1, "opt": "a b"})
    return Trial(number, state, values, params, 1.0, 2.0, **more)


def run(number: int, attempt: int = 1, name: str = "", **more: Any) -> Attempt:
    invocation = more.pop("invocation", Invocation(("--x=0.1", "--opt=a b"), {"MY_TOKEN": "abc"}))
    state = more.pop("state", AttemptState.SUCCEEDED)
    name = name or trial_attempt_name(number, attempt)
    times = {"started": 12.0, "finished": 20.0, "told": 21.0, **more}
    return Attempt(name, number, attempt, "local", state, invocation, 10.0, **times)


def study(*trials: Trial, runs: list[Attempt] | None = None, **more: Any) -> Study:
    runs = [run(t.number) for t in trials] if runs is None else runs
    facts = {"uid": "u", "owner": "me", "definition": DEFINITION, "maximize": (True,), **more}
    return Study(key="k", name="s", trials=trials, runs=runs, **facts)


def text(seen: Study, number: int) -> str:
    return str(trial_view(find_trial(seen, number))["explanation"]["text"])


def test_the_state_of_a_trial_is_explained_with_its_cause_in_a_sentence() -> None:
    cause = "exit code 1: the GPU ran out of memory\n\x1b[31mlast\x1b[0m line"
    live: dict[str, Any] = {"state": AttemptState.SUBMITTED, "finished": None, "told": None}
    seen = study(
        trial(0, value=0.5),
        trial(1, value=0.9),
        trial(2, value=0.99, constraints={"memory": 100.0}),
        trial(3, "FAIL"),
        trial(4, "PRUNED", steps={4: 0.2, 5: 0.1, 6: 0.1}),
        trial(5, "PRUNED", attributes={"tune_jobs:refused": "x < y"}),
        trial(6, "RUNNING"),
        trial(7, "RUNNING"),
        trial(8, "WAITING"),
        trial(9, "RUNNING"),
        runs=[
            *(run(n) for n in range(3)),
            *(run(3, n, state=AttemptState.FAILED, cause=cause) for n in (1, 2)),
            run(4, state=AttemptState.CANCELED, cause="pruned at step 5"),
            run(6, **live),
            run(7, 2, **{**live, "started": None}),
            run(9, **{**live, "state": AttemptState.PRUNING, "cause": "pruned at step 5"}),
        ],
    )
    assert text(seen, 0) == "Trial 0 is complete: number 2 of 2 by value"
    assert text(seen, 1) == "Trial 1 is the best trial of the study so far"
    assert text(seen, 2).endswith("cannot be the best: infeasible: memory by 100")
    failed = trial_view(find_trial(seen, 3))["explanation"]
    assert failed["text"] == (
        "Trial 3 failed after 2 attempts: exit code 1: the GPU ran out of memory"
    )
    assert (failed["tone"], failed["details"]) == ("bad", ["last line"])
    assert text(seen, 4) == "Trial 4 was pruned at step 5 by MedianPruner"
    assert text(seen, 5) == "Trial 5 was not run, because its parameters were refused: x < y"
    assert text(seen, 6) == "Trial 6: is running"
    assert text(seen, 7) == "Trial 7: attempt 2 waits for a machine"
    assert "waits in the queue" in text(seen, 8)
    assert text(seen, 9) == "Trial 9 is being stopped: pruned at step 5"
    left = replace(seen, owner=None)
    assert text(left, 6) == "Trial 6 was left behind: no process is tuning the study"


def test_parameters_are_shown_beside_those_of_the_best_trial() -> None:
    seen = study(
        trial(0, value=0.5, params={"x": 0.1, "opt": "adam", "old": 1}),
        trial(1, value=0.9, params={"x": 0.1 + 1e-12, "opt": "adam", "new": None}),
        trial(2, value=0.7),
    )
    view = trial_view(find_trial(seen, 0))
    assert (view["beside"], view["beside_best"]) == (1, True)
    assert [(p["name"], p["value"], p["beside"], p["differs"]) for p in view["params"]] == [
        ("x", "0.1", "0.10000000000100001", True),
        ("opt", "adam", "adam", False),
        ("old", "1", None, True),
        ("new", None, "None", True),
    ]
    other = trial_view(find_trial(seen, 0), beside=2)
    assert (other["beside"], other["beside_best"]) == (2, False)
    assert trial_view(find_trial(seen, 1))["beside"] is None, "it is the best one itself"


def test_a_trial_of_several_objectives_is_beside_one_of_the_front() -> None:
    several: dict[str, Any] = {"maximize": (True, False), "definition": {}}
    trials = [
        replace(trial(n), values=values)
        for n, values in enumerate([(0.9, 5.0), (0.5, 1.0), (0.4, 2.0)])
    ]
    view = trial_view(find_trial(study(*trials, **several), 2), beside=1)
    assert view["front"] == [0, 1]
    assert [(o["value"], o["beside"]) for o in view["objectives"]] == [(0.4, 0.5), (2.0, 1.0)]
    assert view["explanation"]["text"] == "Trial 2 is complete and behind the front of 2 trials"


def test_costs_of_attempts_are_known_with_prices() -> None:
    attempts = [
        run(0, shape="A10", state=AttemptState.FAILED),
        run(0, 2, shape="2 x A10"),
        run(0, 3, finished=None, told=None),
        run(0, name="final-1-1", shape="A10"),
    ]
    prices = {**DEFINITION, "prices": {"A10": 450.0}}
    seen = study(trial(0, value=0.5), runs=attempts, definition=prices)
    costs = {a["attempt"]: a["cost"] for a in trial_view(find_trial(seen, 0))["attempts"]}
    assert costs == {1: 1.0, 2: 2.0, 3: None}
    assert trial_view(find_final_run(seen, "final-1"))["cost"] == 1.0
    free = replace(seen, definition=DEFINITION)
    assert {a["cost"] for a in trial_view(find_trial(free, 0))["attempts"]} == {None}


def test_a_run_whose_script_has_started_is_running() -> None:
    waits: dict[str, Any] = {"state": AttemptState.SUBMITTED, "finished": None, "told": None}
    seen = study(trial(0, "RUNNING"), runs=[run(0, started=None, **waits), run(0, 2, **waits)])
    attempts = trial_view(find_trial(seen, 0))["attempts"]
    assert [a["state"] for a in attempts] == ["RUNNING", "SUBMITTED"]
    assert filter_study(seen, 'run_state == "running"') == [0]


def test_the_note_is_that_of_the_trial() -> None:
    runs = [run(0), run(0, name="final-1-1")]
    seen = study(trial(0, value=0.5), runs=runs, notes={0: Note("mine", 1)})
    assert trial_view(find_trial(seen, 0))["user_note"] == "mine"
    assert trial_view(find_final_run(seen, "final-1"))["user_note"] == ""


def test_where_a_trial_came_from_and_what_came_of_it() -> None:
    rung = {"bracket": 0, "index": 1, "budget": 3, "after": 0}
    reached = {"tune_jobs:rung": {**rung, "index": 0, "budget": 1}, "tune_jobs:reached": 0.5}
    seen = study(
        trial(0, "PRUNED", attributes={**reached, "tune_jobs:rung": {**rung, "after": None}}),
        trial(1, value=0.9, attributes={"tune_jobs:rung": rung}),
        trial(2, value=0.9, attributes={"tune_jobs:replicate_of": 1}),
        trial(3, value=0.9, attributes={"tune_jobs:same_as": 1}),
        trial(4, value=0.1, requested=True),
        trial(5, value=0.1, retry_of=4, requested=True),
        trial(6, value=0.1),
        runs=[*(run(n) for n in range(7)), run(1, name="final-1-1"), run(1, 2, name="final-1-2")],
    )

    def links(number: int) -> list[str]:
        view = trial_view(find_trial(seen, number))
        return [
            f"{e['text']} {e['trial'] if e['final'] is None else e['final']}"
            for e in view["origin"] + view["descendants"]
        ]

    assert text(seen, 0).endswith("with budget 3 and continues as trial 1")
    assert "Promoted to trial 1" in links(0)
    assert links(1) == [
        "Continues, with a larger budget, trial 0",
        "Repeated with another seed by trial 2",
        "Gave its values to trial 3",
        "Trained by final-1",
    ]
    assert links(2) == ["Repeats, with another seed, trial 1"]
    assert "was given the values, of trial 1" in links(3)[0]
    assert links(4) == [
        "Enqueued: its parameters were given, not suggested None",
        "Retried by trial 5",
    ]
    assert links(5) == ["Retries trial 4"]
    assert links(6) == ["Suggested by TPESampler None"]
    final = trial_view(find_final_run(seen, "final-1"))
    assert [a["name"] for a in final["attempts"]] == ["final-1-2", "final-1-1"]
    assert final["beside"] == 1, "its own trial, whose result the final run should repeat"
    with pytest.raises(StudyError, match="has no final run"):
        find_final_run(seen, "final-9")
    with pytest.raises(StudyError, match="has no trial 99"):
        find_trial(seen, 99)


def test_the_command_is_exact_and_has_no_secrets() -> None:
    command = trial_view(find_trial(study(trial(0, value=0.5)), 0))["command"]
    assert command["line"] == "MY_TOKEN='***' python 'my train.py' --x=0.1 '--opt=a b'"
    assert command["secrets"] == [{"name": "HF_TOKEN", "reference": OCID}]
    assert command["variables"] == ["HF_HOME"]


def test_a_view_is_bounded() -> None:
    params = {f"p{n}": "y" * 10_000 for n in range(600)}
    runs = [run(0, n, cause="c" * 9_999) for n in range(1, 1001)]
    seen = study(trial(0, value=0.5, params=params), runs=runs)
    view = trial_view(find_trial(seen, 0), attempt=3)
    assert view["run"] == "trial-000000-3"
    assert [len(view["attempts"]), view["attempts_total"]] == [MAX_ATTEMPTS + 1, 1000]
    assert max(len(param["value"]) for param in view["params"]) == MAX_VALUE
    assert len(encode_json(view)) < 2_000_000
    with pytest.raises(StudyError, match="has no attempt 2000: it has 1000"):
        trial_view(find_trial(seen, 0), attempt=2000)


def test_a_terminal_shows_the_same() -> None:
    constrained: dict[str, Any] = {
        "constraints": {"memory": 100.0},
        "attributes": {"tune_jobs:metrics": {"memory": 500.0}},
    }
    seen = study(trial(0, value=0.5, **constrained), trial(1, value=0.9, params={"x": 0.2}))
    lines = describe_trial(trial_view(find_trial(seen, 0)))
    assert "  x = 0.1  (trial 1: 0.2)" in lines
    assert "  memory <= 400: violated by 100.0" in lines
    assert f"  HF_TOKEN is a secret: {OCID}" in lines


# -- files of a run -------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> MetricStore:
    return MetricStore(str(tmp_path), study_folder("s", "u"))


def write(store: MetricStore, path: str, content: bytes) -> None:
    file = Path(store.uri) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def test_a_log_is_followed_by_its_new_bytes(store: MetricStore) -> None:
    live = run(0, told=None, finished=None)
    assert log_view(store, live)["exists"] is False
    write(store, "runs/trial-000000-1/log.txt", "größe 1\n".encode()[:-1] + "ü".encode()[:1])
    first = log_view(store, live)
    assert (first["log"], first["start"], first["end"]) == ("größe 1", 0, 9)
    assert first["size"] == 10, "the beginning of a character is sent with its end"
    write(store, "runs/trial-000000-1/log.txt", "größe 1ü\nend".encode())
    more = log_view(store, live, start=9)
    assert (more["log"], more["end"], more["ended"]) == ("ü\nend", 15, False)
    assert log_view(store, run(0), start=15)["log"] == ""


def test_any_part_of_a_long_log_is_read_without_the_rest(store: MetricStore) -> None:
    line = b"epoch 0000001 loss 0.123\n"
    content = line * 50_000 + b"THE NEEDLE\n" + line * 50_000
    write(store, "runs/trial-000000-1/log.txt", content)
    end = log_view(store, run(0))
    assert len(end["log"]) <= LOG_BYTES
    assert end["log"].startswith("epoch"), "it begins with a line"
    assert (end["end"], end["size"]) == (len(content), len(content))
    earlier = log_view(store, run(0), before=end["start"])
    assert earlier["end"] == end["start"]
    assert earlier["log"].encode() == content[earlier["start"] : earlier["end"]]
    found = search_log(store, run(0), "the needle")
    assert (found["count"], found["matches"]) == (
        1,
        [{"at": 50_000 * len(line), "line": "THE NEEDLE"}],
    )
    many = search_log(store, run(0), "LOSS")
    assert (many["count"], len(many["matches"])) == (100_000, 200)


def test_curves_are_read_once_and_bounded(store: MetricStore) -> None:
    lines = [encode(Record(1.0, n, {"accuracy": n / 1e5, "loss": float("nan")})) for n in range(6)]
    path = "metrics/trial-000000-1.jsonl"
    write(store, path, "".join(lines[:3]).encode() + lines[3][:9].encode())
    curves = RunCurves("trial-000000-1")
    curves.read(store)
    assert list(curves.curves["accuracy"].steps) == [0, 1, 2]
    write(store, path, "".join(lines).encode())
    curves.read(store)
    curves.read(store)
    assert list(curves.curves["accuracy"].steps) == list(range(6))
    write(store, path, lines[0].encode())
    curves.read(store)
    assert list(curves.curves["accuracy"].steps) == [0], "the file was written anew"


def test_many_steps_are_thinned(store: MetricStore) -> None:
    record = '{{"time": 1.0, "step": {n}, "metrics": {{"accuracy": 0.5, "loss": 1.0}}}}\n'
    content = "".join(record.format(n=n) for n in range(KEPT // 2 + 1000))
    write(store, "metrics/trial-000000-1.jsonl", content.encode())
    requests = RunRequests(
        lambda key: replace(study(trial(0, value=0.5)), store=str(Path(store.uri).parent))
    )
    answer = requests.get_metrics(ask(), "k", "trial-000000-1")
    view = as_json(answer)["view"]
    assert view["total"] == KEPT + 2000
    steps = view["figures"][0]["figure"]["data"][0]["x"]
    assert len(steps) <= MANY
    assert (steps[0], steps == sorted(steps)) == (0, True)
    assert answer.content_length is not None
    assert answer.content_length < 500_000


# -- requests -------------------------------------------------------------------------------------


def ask(query: str = "") -> Request:
    return Request(EnvironBuilder(query_string=query).get_environ())


def as_json(answer: Response) -> Any:
    return answer.get_json()


@pytest.fixture
def requests(store: MetricStore) -> RunRequests:
    seen = study(trial(0, value=0.5), runs=[run(0, shape="2 x VM.GPU.A10.1")])
    kept = replace(seen, store=str(Path(store.uri).parent))
    return RunRequests(lambda key: kept)


def test_a_view_that_the_page_has_is_not_sent_again(requests: RunRequests) -> None:
    first = as_json(requests.get_trial(ask(), "k", 0))
    assert first["view"]["title"] == "Trial 0"
    assert first["view"]["control"] is False
    again = as_json(requests.get_trial(ask(f"known={first['version']}"), "k", 0))
    assert again == {"version": first["version"]}
    with pytest.raises(NotFound):
        requests.get_trial(ask(), "k", 5)
    with pytest.raises(NotFound):
        requests.get_trial(ask("attempt=7"), "k", 0)


def test_logs_of_all_nodes_are_shown(requests: RunRequests, store: MetricStore) -> None:
    name = "trial-000000-1"
    write(store, f"runs/{name}/log.txt", b"first")
    write(store, f"runs/{name}/rank-1/log.txt", b"second")
    first = as_json(requests.get_log(ask(), "k", name))
    assert (first["log"], first["nodes"]) == ("first", 2)
    assert as_json(requests.get_log(ask("rank=1"), "k", name))["log"] == "second"
    whole = requests.get_whole_log(ask("rank=1"), "k", name)
    assert whole.get_data() == b"second"
    assert "trial-000000-1-rank-1.log.txt" in whole.headers["Content-Disposition"]
    for rank in (2, -1):
        with pytest.raises(NotFound):
            requests.get_log(ask(f"rank={rank}"), "k", name)


def test_outputs_are_downloaded_as_attachments(
    requests: RunRequests, store: MetricStore, tmp_path: Path
) -> None:
    name = "trial-000000-1"
    content = bytes(range(256)) * 40_000
    write(store, f"runs/{name}/outputs/deep/model.html", content)
    (tmp_path / "private").write_text("private")
    (Path(store.uri) / f"runs/{name}/outputs/link").symlink_to(tmp_path / "private")
    listed = as_json(requests.get_outputs(ask(), "k", name))["view"]
    assert [f["name"] for f in listed["files"]] == ["deep/model.html"]

    def download(of: str) -> Response:
        return requests.get_output(ask(f"name={of}"), "k", name)

    sent = download("deep/model.html")
    assert sent.get_data() == content
    assert sent.content_type == "application/octet-stream"
    assert sent.headers["Content-Disposition"] == "attachment; filename=model.html"
    assert sent.content_length == len(content)
    for escape in (
        "link",
        "../log.txt",
        "/etc/passwd",
        "deep",
        "",
        "deep/../../outputs/deep/model.html",
    ):
        with pytest.raises(NotFound):
            download(escape)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("model.pt", "model.pt"),
        ("..", "file"),
        ("...hidden", "hidden"),
        (".env", ".env"),
        ('a"b\r\nSet-Cookie: x.txt', "a_b__Set-Cookie_ x.txt"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("a\\b", "a_b"),
        ("", "file"),
        ("x" * 500 + ".tar", "x" * 146 + ".tar"),
    ],
)
def test_file_names_are_safe(name: str, chosen: str) -> None:
    assert choose_file_name(name) == chosen
