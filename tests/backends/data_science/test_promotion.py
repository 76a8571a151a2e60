"""Promotion on OCI: a run resumes from the checkpoint that an earlier one left in the bucket."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from tests.backends.data_science.conftest import MakeBackend
from tests.oci_emulator import Emulator
from tune_jobs import Promotion, Tuner
from tune_jobs.metric_store.object_storage import ObjectStorageFolder
from tune_jobs.oci.connection import Connection

TRAIN = """\
import argparse
from tune_jobs import checkpoint_dir, report, resume_dir

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--epochs", type=int)
options = parser.parse_args()
saved = resume_dir() / "deep" / "epoch.txt"
done = int(saved.read_text()) if saved.exists() else 0
print("starts after", done)
for epoch in range(done + 1, options.epochs + 1):
    report(value=options.x, step=epoch)
folder = checkpoint_dir() / "deep"
folder.mkdir(exist_ok=True)
(folder / "epoch.txt").write_text(str(options.epochs))
"""


def test_checkpoints_travel_through_the_bucket(
    make_backend: MakeBackend, store: str, emulator: Emulator, connection: Connection
) -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    tuner = Tuner(
        study,
        {"x": optuna.distributions.FloatDistribution(0.0, 1.0)},
        make_backend(TRAIN),
        metric="value",
        max_parallel=3,
        store=store,
        progress=False,
        promotion=Promotion("epochs", 1, 4, factor=2),
    )
    tuner.optimize(n_trials=4)
    previous = {1: 0, 2: 1, 4: 2}
    trials = study.trials
    for trial in trials:
        budget = trial.user_attrs["tune_jobs:rung"]["budget"]
        assert tuner.logs(trial.number).startswith(f"starts after {previous[budget]}\n")
        assert sorted(trial.intermediate_values) == list(range(1, budget + 1))
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    assert complete
    bucket, _, prefix = store.rpartition("/")
    left = ObjectStorageFolder(bucket, connection).find(prefix)
    kept = [name.split("/runs/")[1].split("/")[0] for name in left if "/checkpoints/" in name]
    assert sorted(kept) == [f"trial-{t.number:06d}-1" for t in complete]

    # A checkpoint that a killed tuner did not remove.
    forgotten = f"{left[0].split('/')[0]}/runs/trial-000000-1/checkpoints/deep/epoch.txt"
    assert trials[0].state == TrialState.PRUNED
    ObjectStorageFolder(bucket, connection).write(f"{prefix}/{forgotten}", b"1")
    tuner.optimize(n_trials=1)
    assert forgotten not in ObjectStorageFolder(bucket, connection).find(prefix)
