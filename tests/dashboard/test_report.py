"""The report as one HTML file, and figures as image files.

What it says is tested in ``test_report_findings.py``.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from tests.dashboard.conftest import HOSTILE, MakeStudy
from tests.dashboard.test_figures import run, trial
from tests.dashboard_browser import CHROMIUM
from tune_jobs.cli.main import main
from tune_jobs.dashboard.images import write_images
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.plotly_bundle import plotly_js
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.report import report_html, write_report
from tune_jobs.errors import ConfigError

PLOTLY = len(plotly_js())


def without_plotly(document: str) -> str:
    """The document without the library in it."""
    return re.sub(r"<script>.*?</script>", "", document, flags=re.DOTALL)


def test_report_of_two_studies(tuned: MakeStudy) -> None:
    studies = [read_study(tuned("a")), read_study(tuned("b", max_parallel=2))]
    document = report_html(studies, now=0.0)
    text = without_plotly(document)
    for expected in (
        "<h2>Comparison</h2>",
        "have the same best value",
        "maximize acc",
        "metric store",
        "run time",
        "cost",
        "All times are in UTC",
        "default-src 'none'",
    ):
        assert expected in text, expected
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    figures = re.findall(r"id='([\w-]+)-data'>(.*?)</script>", document, flags=re.DOTALL)
    assert len(figures) > 8
    for name, data in figures:
        assert json.loads(data)["data"], name
        assert f"id='{name}'" in text
        traces = json.loads(data)["data"]
        assert not any(t["type"].endswith("gl") or t["type"] == "parcoords" for t in traces)
    assert report_html(studies, now=0.0) == document, "it is the same every time"


def test_strings_of_a_study_are_escaped(tuned: MakeStudy) -> None:
    seen = read_study(tuned(HOSTILE))
    trials = [replace(t, params={HOSTILE: HOSTILE, **t.params}) for t in seen.trials]
    definition = {**seen.definition, "space": {HOSTILE: HOSTILE}, "run": {HOSTILE: HOSTILE}}
    document = report_html([replace(seen, trials=trials, definition=definition)], now=0.0)
    assert "<script>alert" not in document
    assert "&lt;script&gt;alert(1)" in document
    assert "\u202e" not in document
    parts = re.findall(r"type='application/json' id='[\w-]+'>(.*?)</script>", document)
    assert all("<" not in part for part in parts)


def test_size_is_bounded() -> None:
    many = Study(
        "k",
        "many",
        (True,),
        [replace(trial(i, math.sin(i), x=i / 1e4), steps={1: 0.1, 2: 0.2}) for i in range(10_000)],
        [run(i, i, i + 1, i + 8) for i in range(10_000)],
    )
    assert len(report_html([many])) < PLOTLY + 2_000_000


def test_infinite_and_nan_values_are_valid_json() -> None:
    trials = [trial(0, math.inf, x=1.0), trial(1, 0.5, x=2.0)]
    strange = replace(trials[1], steps={0: math.nan, 1: math.inf, 2: 0.5})
    document = report_html([Study("k", "s", (True,), [trials[0], strange])], now=0.0)
    for part in re.findall(r"type='application/json' id='[\w-]+'>(.*?)</script>", document):
        json.loads(part, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.filterwarnings("ignore")  # of Kaleido and its browser
def test_images(tuned: MakeStudy, tmp_path: Path) -> None:
    studies = [read_study(tuned(HOSTILE)), read_study(tuned("b"))]
    drawn = write_images(studies, tmp_path / "images")
    paths = drawn.paths
    assert not drawn.problems
    assert {p.parent for p in paths} == {tmp_path / "images"}
    assert {"2-b-curves.svg", "compare-race-hours.svg"} <= {p.name for p in paths}
    for path in paths:
        assert path.read_text().startswith("<svg"), path
        assert "<script" not in path.read_text()
    with pytest.raises(ConfigError, match="invalid image format 'gif'"):
        write_images(studies, tmp_path / "images", "gif")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.filterwarnings("ignore")  # of Kaleido and its browser
def test_images_of_extreme_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"sqlite:///{tmp_path}/s.db"
    study = optuna.create_study(study_name="far", storage=where)
    for i, value in enumerate((1.0, 2.0, 1e308, -1e308, 5e-324, 0.0)):
        study.add_trial(
            create_trial(
                params={"x": i / 9}, distributions={"x": FloatDistribution(0, 1)}, value=value
            )
        )
    folder = tmp_path / "images"
    words = ["report", f"{where}::far", "-o", "r.md", "--images", str(folder), "--kind", "png"]
    assert main(words) == 0
    report, *paths = capsys.readouterr().out.splitlines()
    assert report == "r.md"
    assert {Path(path) for path in paths} == set(folder.iterdir())
    assert folder / "far-distribution.png" in set(folder.iterdir())


def test_report_command(
    tuned: MakeStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned("a", n_trials=5)
    assert main(["report", f"{tmp_path}/studies.db", "-o", "r.html"]) == 0
    assert capsys.readouterr().out == "r.html\n"
    assert Path("r.html").stat().st_size > PLOTLY
    assert Path("r.html").stat().st_mode & 0o077 == 0, "others may read it"
    assert "There are no studies to report" in write_report([], Path("empty.html")).read_text()
