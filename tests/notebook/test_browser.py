"""The notebook in a real JupyterLab: run, reload, interrupt, restart, attach.

Screenshots are written to ``build/screenshots``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dashboard_browser import CHROMIUM, browser
from tests.notebook.jupyterlab import Lab, jupyterlab, read_outputs, write_notebook

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

TRAIN = """\
import argparse, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
x = parser.parse_args().x
for step in range(4):
    print(f"step={step} value={x * (1 - 0.5 ** step)}", flush=True)
while not pathlib.Path(__file__).with_name("go").exists():
    time.sleep(0.05)
"""

SETUP = """\
import optuna
from tune_jobs import LocalBackend, Tuner
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    study_name="digits <i>", storage="sqlite:///s.db", direction="maximize",
    load_if_exists=True, sampler=optuna.samplers.RandomSampler(seed=1),
)
tuner = Tuner(
    study, {"x": optuna.distributions.FloatDistribution(0, 1)}, LocalBackend("train.py"),
    metric="value", step="step", max_parallel=2,
)"""

CELLS = (
    SETUP,
    "tuner.start(n_trials=30)",
    "tuner",
    'monitor = Tuner.attach("digits <i>", "sqlite:///s.db")\nmonitor',
    "tuner.optimize(n_trials=50)",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a script and a notebook."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    write_notebook(folder / "s.ipynb", *CELLS)
    return folder


def test_a_study_is_followed_and_controlled(folder: Path, tmp_path: Path) -> None:
    with jupyterlab(folder, tmp_path / "settings") as address, browser() as here:
        lab = Lab(here, address, "s.ipynb")
        pause_and_reload(lab, folder)
        stop(lab, folder)
        restart_and_attach(lab)
        interrupt(lab)


def pause_and_reload(lab: Lab, folder: Path) -> None:
    """What is shown, and what the user closed, survives updates and a reload."""
    lab.run(0)
    lab.run(1)
    lab.run(2)
    for cell in (1, 2):  # two views of one tuner
        view = lab.view(cell)
        view.get_by_text("0 of 30 done").wait_for()
        view.get_by_text("at step 3").nth(1).wait_for()
        assert len(view.locator("polyline").first.get_attribute("points").split()) == 4
    lab.here.screenshot("notebook_live")
    view.get_by_text("live runs (2)").click()
    view.get_by_role("button", name="Pause").click()
    view.get_by_text("paused").wait_for()
    (folder / "go").touch()
    view.get_by_text("2 of 30 done").wait_for()
    view.get_by_text("at step 3").first.wait_for(state="hidden")
    (folder / "go").unlink()
    lab.save()
    lab.reload()
    for cell in (1, 2):
        lab.view(cell).get_by_text("2 of 30 done").wait_for()
    view.get_by_role("button", name="Resume").click()
    view.get_by_text("live runs (2)").wait_for()
    assert view.locator("details").first.get_attribute("open") is None


def stop(lab: Lab, folder: Path) -> None:
    """Stopping asks first; what is saved needs neither scripts nor a kernel."""
    view = lab.view(2)
    view.get_by_role("button", name="Stop…").click()
    view.get_by_role("button", name="Keep tuning").click()
    view.get_by_text("Stop tuning?").wait_for(state="hidden")
    lab.run(2)
    view.get_by_role("button", name="Stop…").click()
    lab.here.screenshot("notebook_question")
    view.get_by_role("button", name="Cancel live runs").click()
    view.get_by_text("no process is tuning it").wait_for()
    view.get_by_role("button", name="Stop…").wait_for(state="hidden")
    lab.save()
    (output,) = read_outputs(folder / "s.ipynb")[2]
    assert sorted(output["data"]) == ["text/html", "text/plain"]
    html = "".join(output["data"]["text/html"])
    assert "2 of 30 done" in html
    assert "digits &lt;i&gt;" in html
    assert "no process is tuning it" in html


def restart_and_attach(lab: Lab) -> None:
    """After a restart the saved HTML is shown, and `attach` shows the study."""
    lab.restart_kernel()
    lab.view(2).get_by_text("the kernel has ended").wait_for()
    lab.reload()
    lab.output(2).get_by_text("2 of 30 done").wait_for()
    assert lab.view(2).count() == 0
    assert lab.page.get_by_text("Error displaying widget").count() == 0
    lab.run(0)
    lab.run(3)
    lab.output(3).get_by_text("2 of 30 done").wait_for()


def interrupt(lab: Lab) -> None:
    """An interrupted call says so, and its view elsewhere was live with buttons."""
    lab.run(4)
    lab.output(4).get_by_text("2 running").wait_for()
    lab.command("notebook:interrupt-kernel")
    lab.output(4).get_by_text("ended early").wait_for()
    lab.await_kernel()
    lab.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    lab.page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    lab.here.screenshot("notebook_dark")
