"""Promotion: asynchronous successive halving whose rungs are job runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.simulation import curve, simulated
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.core.promotion import Ladder, Promotion, Rung
from tune_jobs.errors import ConfigError

RUNGS = Promotion("epochs", 1, 9)


def rung_of(trial: optuna.trial.FrozenTrial) -> Rung:
    return Rung.read(trial.user_attrs["tune_jobs:rung"])


# -- pure functions ----------------------------------------------------


def test_budgets() -> None:
    assert Promotion("e", 1, 9).budgets(0) == (1, 3, 9)
    assert Promotion("e", 2, 25).budgets(0) == (2, 6, 18, 25)
    assert Promotion("e", 1, 16, factor=4, brackets=2).budgets(1) == (4, 16)
    assert Promotion("e", 1, 27, brackets=4).budgets(3) == (27,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum": 0},
        {"minimum": 9},
        {"factor": 1},
        {"brackets": 0},
        {"brackets": 4},
    ],
)
def test_rungs_that_make_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="promotion"):
        Promotion(**{"argument": "epochs", "minimum": 1, "maximum": 9, **wrong})  # type: ignore[arg-type]


def test_brackets_get_their_shares() -> None:
    promotion = Promotion("epochs", 1, 27, brackets=3)
    counts = Counter(promotion.first_rung(n).bracket for n in range(6000))
    # 9/3 : 3/2 : 1/1, see Hyperband.
    assert counts[0] / 6000 == pytest.approx(3 / 5.5, abs=0.03)
    assert counts[1] / 6000 == pytest.approx(1.5 / 5.5, abs=0.03)
    assert counts[2] / 6000 == pytest.approx(1 / 5.5, abs=0.03)
    assert promotion.first_rung(7).budget == promotion.budgets(promotion.first_rung(7).bracket)[0]


def test_a_trial_stands_once_on_a_rung() -> None:
    ladder = Ladder(RUNGS, maximize=True)
    for number in (0, 1, 2, 0, 1, 2):
        ladder.stand(number, Rung(0, 0, 1), 0.1 * number)
    assert ladder.candidate() == 2
    ladder.leave(2)
    assert ladder.candidate() is None
    ladder.stand(2, Rung(0, 0, 1), 0.2)
    assert ladder.candidate() is None, "it has gone on"


def test_the_top_third_is_promoted_from_the_highest_rung_first() -> None:
    ladder = Ladder(RUNGS, maximize=True)
    low = Rung(0, 0, 1)
    ladder.stand(0, low, 0.5)
    ladder.stand(1, low, 0.6)
    assert ladder.candidate() is None
    ladder.stand(2, low, 0.4)
    assert ladder.candidate() == 1
    ladder.leave(1)
    assert ladder.candidate() is None
    for number, value in ((3, 0.9), (4, 0.8), (5, 0.1)):
        ladder.stand(number, low, value)
    assert ladder.candidate() == 3
    middle = Rung(0, 1, 3, after=1)
    for number, value in ((6, 0.2), (7, 0.3), (8, 0.1)):
        ladder.stand(number, middle, value)
    assert ladder.candidate() == 7, "the highest rung first"
    ladder.leave(7)
    assert ladder.candidate() == 3


def test_checkpoints_are_kept_while_it_is_unknown_how_many_trials_will_come() -> None:
    ladder = Ladder(RUNGS, maximize=True)
    for number in range(3):
        ladder.stand(number, Rung(0, 0, 1), 0.1 * number)
    assert ladder.unneeded(None) == []
    assert ladder.candidate() == 2
    assert ladder.unneeded(0) == [0, 1]
    assert ladder.unneeded(0) == [], "once"


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=40),
    more=st.integers(0, 30),
    maximize=st.booleans(),
)
def test_eliminated_trials_are_never_promoted(
    values: list[float], more: int, maximize: bool
) -> None:
    ladder = Ladder(RUNGS, maximize=maximize)
    for number, value in enumerate(values):
        ladder.stand(number, Rung(0, 0, 1), value)
    eliminated = set(ladder.eliminated(more))
    worst = 0.0 if maximize else 1.0
    for number in range(len(values), len(values) + more):
        ladder.stand(number, Rung(0, 0, 1), worst)  # the best case for the others
    went_on = set()
    while (candidate := ladder.candidate()) is not None:
        ladder.leave(candidate)
        went_on.add(candidate)
    assert not went_on & eliminated
    assert len(went_on) == (len(values) + more) // 3


# -- whole studies in virtual time --------------------------------------


@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_study_with_rungs(checkpoints: bool) -> None:
    started: list[tuple[str, int]] = []

    def watched(run: SimulatedRun) -> list[SimulatedReport]:
        started.append((run.arguments["epochs"], run.resume_step or 0))
        return curve(run)

    tuner, _ = simulated(watched, promotion=RUNGS, backend={"checkpoints": checkpoints})
    tuner.optimize(n_trials=27)
    trials = tuner.study.trials
    budgets = Counter(rung_of(t).budget for t in trials)
    assert budgets[1] == 27
    # Decisions are made before all values are known, so slightly more than a third is promoted.
    assert 9 <= budgets[3] <= 14
    assert 3 <= budgets[9] <= 7
    for trial in trials:
        whole = rung_of(trial).budget == 9
        assert trial.state == (TrialState.COMPLETE if whole else TrialState.PRUNED)
        assert sorted(trial.intermediate_values) == list(range(1, rung_of(trial).budget + 1))
        if (before := rung_of(trial).after) is not None:
            assert trial.params == trials[before].params
            assert rung_of(trials[before]).index == rung_of(trial).index - 1
    assert len({t.params["x"] for t in trials}) == 27
    best = max(t.params["x"] for t in trials)
    assert tuner.study.best_trial.params["x"] == best
    resumed = {step for _, step in started}
    assert resumed == ({0, 1, 3} if checkpoints else {0})


def test_a_study_with_rungs_that_is_continued(tmp_path: Path) -> None:
    def study() -> optuna.Study:
        return optuna.create_study(
            study_name="s",
            storage=f"sqlite:///{tmp_path}/s.db",
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),
        )

    simulated(study=study(), promotion=RUNGS)[0].optimize(n_trials=9)
    tuner, _ = simulated(study=study(), promotion=RUNGS)
    tuner.optimize(n_trials=18)
    budgets = Counter(rung_of(t).budget for t in tuner.study.trials)
    assert budgets[1] == 27
    assert budgets[3] >= 9
    after = [rung_of(t).after for t in tuner.study.trials if rung_of(t).after is not None]
    assert len(after) == len(set(after)), "no configuration was continued twice"


def test_brackets_in_a_study() -> None:
    tuner, _ = simulated(promotion=Promotion("epochs", 1, 9, brackets=2))
    tuner.optimize(n_trials=30)
    first = [t for t in tuner.study.trials if rung_of(t).after is None]
    assert {rung_of(t).budget for t in first} == {1, 3}
    assert {rung_of(t).bracket for t in first} == {0, 1}


def test_the_budget_is_not_tuned_and_the_metric_is_one() -> None:
    tuner, _ = simulated(promotion=Promotion("x", 1, 9))
    with pytest.raises(ConfigError, match="promotion sets 'x', which the search space tunes"):
        tuner.optimize(n_trials=3)


# -- real runs ----------------------------------------------------------

TRAIN = """\
for a in "$@"; do case $a in --epochs=*) epochs=${a#--epochs=};; esac; done
done=0
[ -e "$TUNE_JOBS_RESUME_DIR/epoch" ] && done=$(cat "$TUNE_JOBS_RESUME_DIR/epoch")
echo "began after $done"
while [ "$done" -lt "$epochs" ]; do
    done=$((done + 1))
    echo "epoch=$done value=$x"
    echo "$done" > "$TUNE_JOBS_CHECKPOINT_DIR/epoch"
done
"""


def test_the_smoke_run_is_one_on_the_first_rung(make_tuner: MakeTuner) -> None:
    body = TRAIN + "\n[ $epochs = 1 ] || exit 3"
    tuner = make_tuner(body, step="epoch", promotion=RUNGS)
    report = tuner.check()
    assert report, str(report)


def test_real_runs_go_on_from_their_checkpoints(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(TRAIN, promotion=RUNGS, step="epoch", max_parallel=2)
    study = tuner.optimize(n_trials=9)
    below = {1: "0", 3: "1", 9: "3"}
    for trial in study.trials:
        budget = rung_of(trial).budget
        assert tuner.logs(trial.number).startswith(f"began after {below[budget]}\n")
        assert sorted(trial.intermediate_values) == list(range(1, budget + 1))
    kept = {path.parent.parent.name for path in tmp_path.glob("runs/*/runs/*/checkpoints/epoch")}
    whole = {f"trial-{t.number:06d}-1" for t in study.trials if t.state == TrialState.COMPLETE}
    assert kept == whole, "only what was trained to the end is kept"
    final = tuner.train_best()
    assert "--epochs=9" in " ".join(tuner.attempts()[-1].invocation.argv)
    assert final.metrics["value"] == study.best_value
