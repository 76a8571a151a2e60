"""The distribution of an objective's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.core.best_trials import Standing
from tune_jobs.dashboard.drawing import COLORS, MANY_POINTS, Figure, layout, thin
from tune_jobs.dashboard.model import Study

MANY_VALUES = 5 * MANY_POINTS


@dataclass(frozen=True)
class Distribution:
    """Values of complete trials.

    Args:
        metric: Name of the objective.
        values: Trial number and value, by name: "value" for feasible trials, "infeasible".
        shares: Of the feasible trials: a value, and the share of them that are at most it.
        is_sample: Whether there are more trials than ``values`` has.
    """

    metric: str
    values: dict[str, Sequence[tuple[int, float]]]
    shares: Sequence[tuple[float, float]]
    is_sample: bool


def distribution_info(study: Study, objective: int = 0) -> Distribution:
    """Return the distribution of an objective's finite values."""
    groups: dict[str, list[tuple[int, float]]] = {"feasible": [], "infeasible": []}
    for trial in study.with_value(objective):
        name = "infeasible" if trial.standing is Standing.INFEASIBLE else "feasible"
        groups[name].append((trial.number, trial.values[objective]))
    ordered = sorted(value for _, value in groups["feasible"])
    shares = [(value, (i + 1) / len(ordered)) for i, value in enumerate(ordered)]
    every = max(1, len(shares) // MANY_POINTS)
    kept = shares[::every]
    if shares and kept[-1] != shares[-1]:
        kept.append(shares[-1])
    return Distribution(
        study.metrics[objective],
        {name: thin(found, MANY_VALUES) for name, found in groups.items() if found},
        kept,
        any(len(found) > MANY_VALUES for found in groups.values()),
    )


def distribution_figure(study: Study, objective: int = 0) -> Figure:
    """Return a histogram of the values, and their empirical distribution function."""
    info = distribution_info(study, objective)
    colors = {"feasible": COLORS["COMPLETE"], "infeasible": COLORS["excluded"]}
    data: list[Figure] = [
        {
            "type": "histogram",
            "name": name,
            "x": [value for _, value in found],
            "customdata": [number for number, _ in found],
            "marker": {"color": colors[name]},
            "opacity": 0.7,
            "nbinsx": 40,
            "hovertemplate": f"%{{x}}: %{{y}} {name} trials<extra></extra>",
        }
        for name, found in info.values.items()
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "share of trials up to a value",
            "x": [value for value, _ in info.shares],
            "y": [share for _, share in info.shares],
            "yaxis": "y2",
            "line": {"shape": "hv", "color": COLORS["best"], "width": 2},
            "hovertemplate": "%{y:.0%} of the feasible trials up to %{x:.6g}<extra></extra>",
        }
    )
    count = f"trials (of a sample of {MANY_VALUES:,})" if info.is_sample else "trials"
    second = {
        "overlaying": "y",
        "side": "right",
        "range": [0, 1.02],
        "tickformat": ".0%",
        "tickmode": "linear",
        "dtick": 0.25,
        "showgrid": False,
        "automargin": True,
    }
    return {"data": data, "layout": layout(info.metric, count, barmode="overlay", yaxis2=second)}
