"""Figures of a study, as Plotly's JSON, by name.

Each figure has two functions: ``..._info`` returns what it shows as plain data, which tests
examine; ``..._figure`` returns ``{"data": [...], "layout": {...}}``. They do not need the Python
package of Plotly. What would be too much for a browser is thinned, the same way every time. A trace
whose points are trials has their numbers as ``customdata``, one for each point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, thin
from tune_jobs.dashboard.figures.choices import (
    DEFAULTS,
    Choice,
    Chosen,
    FindChoices,
    choose_constraint,
    choose_front_axes,
    choose_objective,
    choose_pair,
    list_variants,
    no_choices,
    pair_names,
    read_objective,
)
from tune_jobs.dashboard.figures.constraints import has_constraints, violations_figure
from tune_jobs.dashboard.figures.costs import cost_figure, has_costs
from tune_jobs.dashboard.figures.curves import curves_figure, curves_info
from tune_jobs.dashboard.figures.distribution import distribution_figure
from tune_jobs.dashboard.figures.front import (
    front_figure,
    has_hypervolume,
    hypervolume_figure,
    pareto,
)
from tune_jobs.dashboard.figures.history import best_so_far, history_figure, history_info
from tune_jobs.dashboard.figures.pairs import contour_figure, rank_figure
from tune_jobs.dashboard.figures.provisioning import has_provisioning, provisioning_figure
from tune_jobs.dashboard.figures.rungs import has_rungs, rungs_figure
from tune_jobs.dashboard.figures.slots import timeline_figure, timeline_info
from tune_jobs.dashboard.importance import importance_figure
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parallel_lines import parallel_lines_figure
from tune_jobs.dashboard.parameter_axes import parameter_names
from tune_jobs.dashboard.parameters import parallel_figure, slice_figure

__all__ = [
    "FIGURES",
    "KINDS",
    "Choice",
    "FigureKind",
    "PrintedFigure",
    "best_so_far",
    "curves_figure",
    "curves_info",
    "draw_printed",
    "figure_names",
    "front_figure",
    "history_figure",
    "history_info",
    "pareto",
    "timeline_figure",
    "timeline_info",
]

FEW_TRIALS = 4
"""Trials below which a distribution or a surface says nothing."""


class Draw(Protocol):
    """A function that draws a figure.

    Args:
        study: The study.
        now: Seconds since the epoch.
        chosen: What was chosen, see `choices`.

    Raises:
        ValueError: If what was chosen is no option.
    """

    def __call__(self, study: Study, now: float, chosen: Chosen = DEFAULTS, /) -> Figure: ...


class FigureKind(NamedTuple):
    """A figure that studies may have.

    Args:
        title: Its title.
        draw: Draws it.
        has_content: Whether it has something to show for a study.
        find_choices: Returns the choices that it offers, with the values that are chosen.
        is_main: Whether it is among the first figures of a page.
        draw_printed: Draws it for paper and images, if ``draw`` needs WebGL.
    """

    title: str
    draw: Draw
    has_content: Callable[[Study], bool]
    find_choices: FindChoices = no_choices
    is_main: bool = False
    draw_printed: Draw | None = None


def _plain(figure: Callable[[Study], Figure]) -> Draw:
    return lambda study, now, chosen=DEFAULTS, /: figure(study.drawn)


def _timed(figure: Callable[[Study, float], Figure]) -> Draw:
    return lambda study, now, chosen=DEFAULTS, /: figure(study.drawn, now)


def _by_objective(figure: Callable[[Study, int], Figure]) -> Draw:
    return lambda study, now, chosen=DEFAULTS, /: figure(study.drawn, read_objective(study, chosen))


def _by_choice(figure: Callable[[Study, Chosen], Figure]) -> Draw:
    return lambda study, now, chosen=DEFAULTS, /: figure(study.drawn, chosen)


def _varies(trials: Sequence[Trial]) -> bool:
    return bool(parameter_names(thin(trials, MANY_POINTS)))


def _has_pairs(study: Study) -> bool:
    return len(study.with_value()) >= FEW_TRIALS and len(pair_names(study)) >= 2


def _has_importance(study: Study) -> bool:
    trials = study.candidates()
    return len(trials) >= FEW_TRIALS and _varies(trials)


KINDS: Mapping[str, FigureKind] = {
    "history": FigureKind(
        "Optimization history",
        _by_objective(history_figure),
        lambda s: bool(s.complete()),
        choose_objective,
        is_main=True,
    ),
    "front": FigureKind(
        "Pareto front",
        _by_choice(front_figure),
        lambda s: not s.single and bool(s.complete()),
        choose_front_axes,
        is_main=True,
    ),
    "hypervolume": FigureKind("Hypervolume", _plain(hypervolume_figure), has_hypervolume),
    "timeline": FigureKind(
        "Timeline of slots", _timed(timeline_figure), lambda s: bool(s.runs), is_main=True
    ),
    "curves": FigureKind(
        "Learning curves",
        _plain(curves_figure),
        lambda s: any(t.steps for t in s.trials),
        is_main=True,
    ),
    "rungs": FigureKind("Promotion by rung", _plain(rungs_figure), has_rungs, is_main=True),
    "parallel": FigureKind(
        "Parallel coordinates",
        _by_objective(parallel_figure),
        lambda s: _varies(s.candidates()),
        choose_objective,
        is_main=True,
        draw_printed=_by_objective(parallel_lines_figure),
    ),
    "importance": FigureKind(
        "Parameter importance",
        _by_objective(importance_figure),
        _has_importance,
        choose_objective,
        is_main=True,
    ),
    "slice": FigureKind(
        "Value by parameter",
        _by_objective(slice_figure),
        lambda s: _varies(s.complete()),
        choose_objective,
    ),
    "contour": FigureKind("Contour", _by_choice(contour_figure), _has_pairs, choose_pair),
    "rank": FigureKind("Rank", _by_choice(rank_figure), _has_pairs, choose_pair),
    "distribution": FigureKind(
        "Distribution of values",
        _by_objective(distribution_figure),
        lambda s: len(s.with_value()) >= FEW_TRIALS,
        choose_objective,
    ),
    "constraints": FigureKind(
        "Constraint violations",
        _by_choice(violations_figure),
        has_constraints,
        choose_constraint,
        is_main=True,
    ),
    "cost": FigureKind("Cost over time", _timed(cost_figure), has_costs),
    "provisioning": FigureKind(
        "Time to start by shape", _plain(provisioning_figure), has_provisioning
    ),
}


FIGURES: Mapping[str, tuple[str, Draw]] = {n: (k.title, k.draw) for n, k in KINDS.items()}
"""Title and function of each figure, by name."""


def figure_names(study: Study) -> list[str]:
    """Return the names of the figures that have something to show for a study."""
    return [name for name, kind in KINDS.items() if kind.has_content(study)]


class PrintedFigure(NamedTuple):
    """A figure for paper, where nothing can be chosen.

    Args:
        key: Distinguishes it from the others of a study.
        title: Its title, with the objective of several.
        figure: Data and layout, without WebGL.
    """

    key: str
    title: str
    figure: Figure


def draw_printed(study: Study, name: str, now: float) -> list[PrintedFigure]:
    """Return a figure for paper: once for each objective, or each pair of them, that it offers."""
    kind = KINDS[name]
    draw = kind.draw_printed or kind.draw
    variants = list_variants(kind.find_choices(study, DEFAULTS))
    return [
        PrintedFigure(
            f"{name}-{i + 1}" if len(variants) > 1 else name,
            f"{kind.title}: {label}" if label else kind.title,
            without_webgl(draw(study, now, chosen)),
        )
        for i, (label, chosen) in enumerate(variants)
    ]


def without_webgl(figure: Figure) -> Figure:
    """Return a figure whose points are drawn without WebGL."""
    data = [
        {**trace, "type": "scatter"} if trace.get("type") == "scattergl" else trace
        for trace in figure["data"]
    ]
    return {**figure, "data": data}
