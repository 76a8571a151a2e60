"""A study in a bucket of the emulated OCI, whose controllers are job runs there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.backends.data_science.conftest import describe_backend
from tests.oci_emulator import Emulator
from tune_jobs import Connection
from tune_jobs.backends.data_science.controller_job import CONTROLLER_TAG
from tune_jobs.cli.main import main

ROOT = str(Path(__file__).parents[2])

STUDY = """\
study: s
direction: maximize
script: train.py
metric: value
parameters: {{x: {{type: int, low: 1, high: 100}}}}
sampler: {{name: random, seed: 1}}
n_trials: 3
max_parallel: 2
duplicates: run
then: train_best
prices: {{VM.Standard.E4.Flex: 1.0}}
storage: oci://tune-jobs@{namespace}/study
store: oci://tune-jobs@{namespace}/runs
{backend}\
  poll_seconds: 0.3
  start_rate: 50
controller:
  shape: VM.Standard.E4.Flex
  ocpus: 1
  memory_gb: 8
  conda: oci://tune-jobs@{namespace}/conda/tune_jobs
  env: {{PYTHONPATH: {root}}}
"""


def write_study(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, **changes: str) -> Path:
    """Write a study on OCI, whose controller finds tune_jobs in its environment."""
    Path("train.py").write_text("import sys\nprint('value:', sys.argv[1].split('=')[1])\n")
    path = Path("study.yaml")
    text = STUDY.format(namespace=emulator.namespace, backend=describe_backend(emulator), root=ROOT)
    for old, new in changes.items():
        text = re.sub(rf"^ *{old}:.*\n", f"{new}\n" if new else "", text, flags=re.M)
    path.write_text(text)
    monkeypatch.setenv("OCI_CONFIG_LOCATION", str(emulator.config_file))
    monkeypatch.setenv("TUNE_JOBS_OCI_ENDPOINT", emulator.endpoint)
    return path


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run a command on the study; return its exit code and what it prints."""
    code = main([words[0], "study.yaml", *words[1:]])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def find_controllers(emulator: Emulator) -> list[Any]:
    """Return the service's job runs that are controllers."""
    connection = Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)
    client = connection.client(oci.data_science.DataScienceClient)
    runs = client.list_job_runs(emulator.compartment).data
    return [each for each in runs if CONTROLLER_TAG in each.freeform_tags]
