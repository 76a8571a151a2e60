"""A study whose metric store is elsewhere: on an FTP server."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.metric_store.conftest import FtpFolder
from tune_jobs.errors import StoreError
from tune_jobs.script.command_line import CommandLine


@pytest.mark.filterwarnings("ignore")  # of the FTP client's sockets
def test_a_study_whose_store_is_elsewhere(ftp_folder: FtpFolder, make_tuner: MakeTuner) -> None:
    tuner = make_tuner(
        'for a in "$@"; do case $a in --out=*) echo m > "${a#--out=}/m.txt";; esac; done; '
        "echo value=$x",
        store=ftp_folder.uri,
        command_line=CommandLine(["{parameters}", "--out={outputs}"]),
    )
    study = tuner.optimize(n_trials=3)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    assert tuner.logs(1) == f"value={study.trials[1].params['x']!r}\n"
    final = tuner.train_best()
    assert final.files == ("m.txt",)
    served = next(ftp_folder.path.iterdir())
    assert {p.name for p in (served / "runs" / "final-1-1").iterdir()} >= {
        *("log.txt", "run.jsonl", "outputs", "provenance.json")
    }


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_not_there(make_tuner: MakeTuner) -> None:
    with pytest.raises(StoreError, match=r"opening the metric store|is not writable"):
        make_tuner(store="ftp://127.0.0.1:1/runs").optimize(n_trials=1)


def test_a_password_in_the_uri_is_refused(make_tuner: MakeTuner) -> None:
    with pytest.raises(StoreError, match="contains a password") as refused:
        make_tuner(store="ftp://me:secret@127.0.0.1/runs").optimize(n_trials=1)
    assert "secret" not in str(refused.value)


def test_an_unknown_protocol(make_tuner: MakeTuner) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        make_tuner(store="nowhere://runs").optimize(n_trials=1)
