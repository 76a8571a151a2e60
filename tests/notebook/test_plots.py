"""Figures that show themselves without Plotly's extension."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ElementTree
from functools import cache
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler

from tests.simulation import curve, simulated
from tune_jobs import SimulatedBackend, Tuner
from tune_jobs.dashboard.figures import FIGURES
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.reading import read_study
from tune_jobs.errors import ConfigError
from tune_jobs.notebook.monitor import plotly_figure
from tune_jobs.notebook.plots import IMAGE_BYTES, build_bundle
from tune_jobs.notebook.svg import draw_svg

HOSTILE = "</text><script>alert(1)</script>"


def draw(x: list[Any], y: list[Any], **trace: Any) -> str:
    data = [{"type": "scatter", "x": x, "y": y, "name": HOSTILE, **trace}] * 2
    layout = {"xaxis": {"title": {"text": HOSTILE}}, "yaxis": {}}
    return draw_svg({"data": data, "layout": layout}, HOSTILE) or ""


def test_points_are_where_they_belong() -> None:
    svg = draw([0, 10, 20, 5], [1.0, 2.0, 3.0, None], mode="lines")
    ElementTree.fromstring(svg)
    assert "<script>" not in svg
    assert "M102.3 336.8L425.0 205.0L747.7 73.2" in svg
    assert ">20</text>" in svg


def test_steps_and_markers() -> None:
    svg = draw([0, 1], [0, 1], mode="lines+markers", line={"shape": "hv", "color": "'red"})
    assert "H747.7V73.2" in svg
    assert "M102.3 336.8h0M747.7 73.2h0" in svg
    ElementTree.fromstring(svg)


def test_what_is_missing_parts_a_line() -> None:
    svg = draw([0, 10, None, 0, 20], [1.0, 2.0, None, 3.0, 3.0], mode="lines")
    assert svg.count("d='M102.3 336.8L425.0 205.0'") == 2
    assert svg.count("d='M102.3 73.2L747.7 73.2'") == 2


def test_equal_values_and_no_values() -> None:
    assert "M" in draw([3], [0.0], mode="markers")
    assert draw([], []) == ""
    assert draw([1], [float("nan")]) == ""


@pytest.mark.parametrize(
    "figure",
    [
        {"data": [{"type": "parcoords"}], "layout": {}},
        {"data": [{"x": [1], "y": [1], "yaxis": "y2"}], "layout": {}},
        {"data": [{"x": [1], "y": [1], "xaxis": "x2"}], "layout": {}},
        {"data": [{"type": "bar", "x": [1], "y": [1]}], "layout": {}},
        {"data": [], "layout": {}},
    ],
)
def test_other_figures_are_not_drawn_wrongly(figure: dict[str, Any]) -> None:
    assert draw_svg(figure, "") is None


def test_a_figure_is_an_image_of_bounded_size_and_still_plotlys() -> None:
    tuner, _ = simulated()
    tuner.optimize(n_trials=300)
    study = read_study(tuner.study)
    for name in ("history", "curves"):
        figure = plotly_figure(study, name)
        figure.update_layout(title="Mine <b>")
        bundle = build_bundle(figure)
        assert bundle == figure._repr_mimebundle_()
        page = bundle["text/html"]
        assert "alt='Mine &lt;b&gt;'" in page
        assert len(page) < IMAGE_BYTES * 1.4
        svg = base64.b64decode(page.split("base64,")[1].split("'")[0]).decode()
        ElementTree.fromstring(svg)
        assert "Mine &lt;b&gt;" in svg
        assert bundle["application/vnd.plotly.v1+json"]["data"]
    with pytest.raises(ConfigError, match="unknown figure 'nothing'"):
        plotly_figure(study, "nothing")
    assert "history" in FIGURES


def test_logarithms_times_and_categories() -> None:
    powers = {"xaxis": {"type": "log"}, "yaxis": {}}
    points = {"x": [1, 10, 100, 0], "y": [0, 1, 2, 3], "mode": "markers"}
    svg = draw_svg({"data": [points], "layout": powers}, "") or ""
    assert svg.count("h0") == 3, "0 has no logarithm"
    assert [label for label in ("1", "10", "100") if f">{label}</text>" in svg] == [
        "1",
        "10",
        "100",
    ]
    clock = {"xaxis": {"type": "date"}, "yaxis": {"autorange": "reversed"}}
    day = 1.7e12
    bars = {"type": "bar", "orientation": "h", "base": [day], "x": [3.6e6], "y": [1]}
    svg = draw_svg({"data": [bars], "layout": clock}, "") or ""
    assert ">22:30</text>" in svg
    names = {"type": "bar", "orientation": "h", "x": [1.0, 2.0], "y": [HOSTILE, "b"]}
    svg = draw_svg({"data": [names], "layout": {}}, "") or ""
    ElementTree.fromstring(svg)
    assert ">b</text>" in svg
    assert svg.index("lt;script") < svg.index(">b</text>"), "the first one is at the bottom"


@pytest.mark.parametrize(
    "name",
    ["history", "timeline", "curves", "parallel", "importance", "slice", "rank", "cost"],
)
def test_figures_need_no_browser(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    bundle = build_bundle(plotly_figure(tuned(), name))
    ElementTree.fromstring(bundle["image/svg+xml"])
    assert bundle["text/plain"].startswith("Figure(")
    assert "data:image/svg+xml;base64," in bundle["text/html"]


@cache
def tuned() -> Study:
    """Return a study with two parameters."""
    space = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(1e-5, 1.0, log=True)}
    backend = SimulatedBackend(curve, provisioning=60.0)
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=1))
    tuner = Tuner(study, space, backend, metric="acc", progress=False, max_parallel=4)
    tuner.optimize(n_trials=20)
    return read_study(study)


def test_without_an_image_the_cell_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_jobs.notebook.plots.find_spec", lambda name: None)
    tuner, _ = simulated()
    tuner.optimize(n_trials=5)
    page = build_bundle(plotly_figure(read_study(tuner.study), "distribution"))["text/html"]
    assert page == (
        "<p>Distribution of values: this figure is drawn by Plotly: install its extension, or "
        "&#x27;tune_jobs[images]&#x27;</p>"
    )
