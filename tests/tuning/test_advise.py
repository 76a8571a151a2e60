"""Advice on a stored study."""

from __future__ import annotations

from dataclasses import replace

from tests.conftest import MakeTuner
from tests.core.test_advice import FLEX, GPU, PATTERNS, runs
from tune_jobs.core.advice import GENERAL_SHAPE, Size
from tune_jobs.core.attempts import AttemptState
from tune_jobs.storage.ledger import Ledger


def test_three_planted_patterns_of_a_study_get_the_right_shapes(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(prices={FLEX: 1.0, "VM.Standard.E5.Flex": 3.0, GPU: 2.0})
    ledger = Ledger(tuner.study, "runs")
    patterns = {
        FLEX: PATTERNS["memory-bound"][1],
        "VM.Standard.E5.Flex": PATTERNS["one core of many"][1],
        GPU: PATTERNS["idle GPU"][1],
    }
    for place, (shape, used) in enumerate(patterns.items()):
        ended = runs(shape, used, first=10 * place)
        fresh = [replace(each, state=AttemptState.INTENDED, usage=None) for each in ended]
        ledger.record_intended(None, fresh)
        ledger.record_ended(None, ended, reported=3600.0)
    advice = tuner.advise()
    assert {group.used.shape: group.suggested for group in advice.groups} == {
        FLEX: Size(FLEX, 2, 125),
        "VM.Standard.E5.Flex": Size("VM.Standard.E5.Flex", 1, 4),
        GPU: Size(GENERAL_SHAPE, 4, 25),
    }
    money = {group.used.shape: group.cost.money for group in advice.groups}
    assert money == {FLEX: 4.0, "VM.Standard.E5.Flex": 12.0, GPU: 8.0}


def test_a_study_without_runs(make_tuner: MakeTuner) -> None:
    assert make_tuner().advise().groups == ()
