"""What a page is sent for its table of trials."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from tune_jobs.dashboard import trial_rows
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.trial_filter import parse_ranges
from tune_jobs.dashboard.trial_rows import TrialTables


def build_study(n_trials: int, **changed: Trial) -> Study:
    trials = [build_trial(number) for number in range(n_trials)]
    for trial in changed.values():
        trials[trial.number] = trial
    return Study("s0-1", "s", (True,), trials)


def build_trial(number: int, state: str = "COMPLETE", **facts: Any) -> Trial:
    values = (number / 10,) if state == "COMPLETE" else ()
    facts = {"values": values, "params": {"x": number / 7}, "started": 0, "finished": 1, **facts}
    return Trial(number, state, **facts)


class Page:
    """A page that keeps what it is sent, as trial_store.js does."""

    def __init__(self) -> None:
        self.tables = TrialTables()
        self.rows: dict[int, list[Any]] = {}
        self.columns: list[str] = []
        self.matching: set[int] | None = None
        self.sent: list[int] = []
        self.cursor = ""
        self.is_filtered = False

    def load(self, study: Study, **query: str) -> list[dict[str, Any]]:
        answers = []
        self.sent = []
        more = True
        while more:
            filtered = "1" if self.is_filtered else ""
            asked = {"cursor": self.cursor, "filtered": filtered, **query}
            answer = json.loads(json.dumps(self.tables.answer(study, asked), allow_nan=False))
            self._take(answer)
            answers.append(answer)
            more = answer["more"]
        return answers

    def _take(self, answer: dict[str, Any]) -> None:
        if answer["reset"]:
            self.rows, self.is_filtered = {}, False
        self.columns = [c["id"] for c in answer.get("columns", [])] or self.columns
        numbers = {row[0] for row in answer["rows"]}
        self.sent += [row[0] for row in answer["rows"]]
        self.rows.update((row[0], row) for row in answer["rows"])
        for number in answer["removed"]:
            del self.rows[number]
        if "matching" in answer:
            matching = parse_ranges(answer["matching"], 10_000)
            kept = (self.matching or set()) - numbers if answer["filtered"] else set()
            self.matching, self.is_filtered = kept | matching, True
        self.cursor = answer["cursor"]

    def read(self, number: int, column: str) -> Any:
        at = self.columns.index(column)
        return self.rows[number][at] if at < len(self.rows[number]) else None


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page whose answers have few rows."""
    monkeypatch.setattr(trial_rows, "FIRST_ROWS", 3)
    monkeypatch.setattr(trial_rows, "MAX_ROWS", 5)
    return Page()


def test_all_rows_come_in_bounded_answers_the_newest_first(page: Page) -> None:
    answers = page.load(build_study(20))
    assert [len(a["rows"]) for a in answers] == [3, 5, 5, 5, 2]
    assert page.sent == list(range(19, -1, -1))
    assert sum("columns" in a for a in answers) == 1
    assert page.read(7, "param:x") == 1.0
    assert page.read(19, "value") == 1.9


def test_an_update_has_only_what_changed(page: Page) -> None:
    page.load(build_study(8, last=build_trial(7, "RUNNING")))
    page.load(build_study(8, last=build_trial(7, "RUNNING")))
    assert page.sent == []
    grown = build_study(9, last=build_trial(7, "RUNNING", steps={1: 0.5}))
    answers = page.load(grown)
    assert page.sent == [8, 7]
    assert "columns" not in answers[0]
    assert (page.read(7, "latest"), page.read(7, "step")) == (0.5, 1)
    page.load(build_study(9))
    assert page.sent == [7]
    assert page.read(7, "state") == "COMPLETE"


def test_rows_that_change_while_others_are_sent_are_sent_again(page: Page) -> None:
    study = build_study(10, live=build_trial(9, "RUNNING"))
    page._take(page.tables.answer(study, {}))
    assert sorted(page.rows) == [7, 8, 9]
    page.load(build_study(11))
    assert sorted(page.rows) == list(range(11))
    assert page.read(9, "state") == "COMPLETE"


def test_new_parameters_add_columns_at_the_end(page: Page) -> None:
    page.load(build_study(4))
    before = page.columns
    page.load(build_study(5, new=build_trial(4, params={"x": 1.0, "y": "a"})))
    assert page.columns == [*before, "param:y"]
    assert (page.read(4, "param:y"), page.read(3, "param:y")) == ("a", None)


def test_matches_of_an_update_are_those_of_its_rows(page: Page) -> None:
    study = build_study(10, live=build_trial(9, "RUNNING"))
    page.load(study, where="value >= 0.5")
    assert page.matching == {5, 6, 7, 8}
    page.load(build_study(12), where="value >= 0.5")
    assert page.sent == [11, 10, 9]
    assert page.matching == {5, 6, 7, 8, 9, 10, 11}
    page.is_filtered = False
    page.load(build_study(12), where="value < 0.2")
    assert (page.sent, page.matching) == ([], {0, 1})
    problem = page.tables.answer(build_study(12), {"where": "valux < 1"})["problem"]
    assert "did you mean 'value'?" in problem


def test_a_new_best_trial_changes_what_is_near_the_best_one(page: Page) -> None:
    page.load(build_study(10), where="gap <= 0.25")
    assert page.matching == {7, 8, 9}
    page.load(build_study(12), where="gap <= 0.25")
    assert (page.sent, page.matching) == ([11, 10], {9, 10, 11})


def test_search_and_state(page: Page) -> None:
    failed = build_trial(3, "FAIL", attributes={"tune_jobs:cause": "Out of memory"})
    study = build_study(6, failed=failed)
    page.load(study, text="out of")
    assert page.matching == {3}
    page.is_filtered = False
    page.load(study, state="COMPLETE", where="number > 1")
    assert page.matching == {2, 4, 5}


def test_trials_without_a_run_disappear(page: Page) -> None:
    page.load(build_study(5))
    refused = build_trial(4, "PRUNED", attributes={"tune_jobs:refused": "lr < 1"})
    page.load(build_study(5, refused=refused))
    assert sorted(page.rows) == [0, 1, 2, 3]


def test_an_unknown_cursor_gets_everything(page: Page) -> None:
    page.load(build_study(4))
    for cursor in ("x", "1.2.3.4.5", page.cursor.replace(".", ".-"), "a" * 9999):
        answer = page.tables.answer(build_study(4), {"cursor": cursor})
        assert answer["reset"], cursor
        assert len(answer["rows"]) == 3


def test_old_trials_of_a_large_study_come_when_asked_for(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_rows, "WINDOW", 10)
    page.load(build_study(30), where="number < 4")
    assert sorted(page.rows) == list(range(20, 30))
    assert page.matching == {0, 1, 2, 3}
    answer = page.tables.answer(build_study(30), {"cursor": page.cursor, "numbers": "0-3,99"})
    assert [row[0] for row in answer["rows"]] == [3, 2, 1, 0]
    assert (answer["total"], answer["cursor"]) == (30, page.cursor)
    study = build_study(30)
    page.load(replace(study, trials=[build_trial(0, "FAIL"), *study.trials[1:]]))
    assert page.sent == [0]


def test_cells_are_bounded_and_no_script_becomes_a_link(page: Page) -> None:
    attributes = {
        "tune_jobs:console": "javascript:alert(1)",
        "tune_jobs:uid": "hidden",
        "long": "y" * 9999,
        "items": [1, {"a": 2}],
        "nan": math.nan,
        "big": 2**60 + 1,
    }
    page.load(build_study(1, hostile=build_trial(0, params={}, attributes=attributes)))
    assert page.read(0, "console") is None
    assert "attr:tune_jobs:uid" not in page.columns
    assert len(page.read(0, "attr:long")) == 300
    assert page.read(0, "attr:items") == '[1, {"a": 2}]'
    assert page.read(0, "attr:nan") is None
    assert page.read(0, "attr:big") == str(2**60 + 1)
