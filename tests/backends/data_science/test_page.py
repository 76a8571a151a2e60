"""The page of a study whose job runs were on OCI, started as people start it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.data_science.conftest import describe_backend
from tests.dashboard.test_browser_acting import show
from tests.dashboard_browser import CHROMIUM, browser, wait_for_figures
from tests.oci_emulator import Emulator
from tune_jobs.cli.main import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

SCRIPT = """\
import sys
from pathlib import Path
x = float(sys.argv[1].partition("=")[2])
print("\\x1b[32mloading\\x1b[0m the data")
for epoch in range(3):
    print(f"epoch {epoch} score: {x - 1 / (epoch + 2)}", flush=True)
if x > 0.5:
    raise ValueError("the shapes do not match")
Path(sys.argv[2].partition("=")[2], "model.txt").write_text("weights")
"""


@pytest.fixture
def address(tmp_path: Path, emulator: Emulator) -> Iterator[str]:
    """Address of the page of a study.yaml with one complete and one failed trial."""
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "study.yaml").write_text(
        f"""\
study: digits
script: train.py
metric: score
direction: maximize
step: epoch
parameters:
  x: {{type: float, low: 0, high: 1}}
command_line:
  arguments: ["{{parameters}}", "--out={{outputs}}"]
sampler: {{name: random, seed: 1}}
pruner: none
n_trials: 2
prices: {{VM.Standard.E4.Flex: 36.0}}
storage: sqlite:///digits.db
store: oci://tune-jobs@{emulator.namespace}/tuning
{describe_backend(emulator)}\
  poll_seconds: 0.3
"""
    )
    assert main(["run", "study.yaml"]) == 0
    command = [sys.executable, "-m", "tune_jobs.cli", "dashboard", "study.yaml", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        yield page.stdout.readline().split()[0]
        page.terminate()


def test_files_of_job_runs_are_reached_by_the_connection_of_the_study(address: str) -> None:
    with browser() as here:
        page = here.page
        page.goto(f"{address}#/study/s0-1/trial/1")
        page.get_by_text("Trial 1 failed: exit code 1").wait_for()
        log = page.get_by_label("Output of trial-000001-1")
        log.get_by_text("ValueError: the shapes do not match").wait_for()
        cause = page.locator("#explanation").inner_text()
        assert "loading the data" in cause, "without terminal codes"
        assert "train.py --x=0.72" in page.locator("#command-line").inner_text()
        assert page.locator("#command-line").inner_text().endswith('--out="$TUNE_JOBS_OUTPUTS_DIR"')
        console = page.get_by_role("link", name="Open the last run in the cloud console")
        assert str(console.get_attribute("href")).startswith("https://console.")
        wait_for_figures(here, 1)
        page.get_by_role("columnheader", name="Cost").wait_for()
        page.get_by_text("Used CPU").wait_for()
        show(here, "oci-failed")
        page.get_by_role("link", name="Previous trial").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="model.txt").click()
        assert Path(download.value.path()).read_text() == "weights"
        assert here.problems == []
