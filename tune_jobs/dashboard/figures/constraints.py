"""Violations of constraints by trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.dashboard.drawing import (
    COLORS,
    MANY_POINTS,
    Figure,
    clean,
    layout,
    level_shape,
    scatter_type,
    thin,
)
from tune_jobs.dashboard.figures.choices import DEFAULTS, MAX_VALUE, Chosen, choose_constraint
from tune_jobs.dashboard.model import Study


@dataclass(frozen=True)
class Violations:
    """By how much trials violate constraints.

    Args:
        name: The constraint; empty for all of them.
        feasible, infeasible: Trial number and amount. Of all constraints the amount is the sum of
            the violations, of a single one its value: not above 0 if it is satisfied.
    """

    name: str
    feasible: Sequence[tuple[int, float]]
    infeasible: Sequence[tuple[int, float]]


def violations_info(study: Study, constraint: str = "") -> Violations:
    """Return the violations of one constraint, or of all; of complete trials, by number."""
    feasible: list[tuple[int, float]] = []
    infeasible: list[tuple[int, float]] = []
    for trial in study.complete():
        if not trial.constraints:
            continue
        named = {clean(name, MAX_VALUE): value for name, value in trial.constraints.items()}
        amount = named.get(constraint) if constraint else trial.result.violation
        if amount is None or not math.isfinite(amount):
            continue
        (feasible if amount <= 0.0 else infeasible).append((trial.number, amount))
    return Violations(constraint, feasible, infeasible)


def violations_figure(study: Study, chosen: Chosen = DEFAULTS) -> Figure:
    """Return a figure of violations over trials, with the numbers of feasible ones."""
    constraint = next((c.value for c in choose_constraint(study, chosen)), "")
    info = violations_info(study, constraint)
    data = []
    for name, found, color, symbol in (
        ("feasible", info.feasible, COLORS["best"], "circle"),
        ("infeasible", info.infeasible, COLORS["excluded"], "circle-open"),
    ):
        kept = thin(found, MANY_POINTS)
        data.append(
            {
                "type": scatter_type(kept),
                "mode": "markers",
                "name": f"{len(found)} {name}",
                "x": [number for number, _ in kept],
                "y": [amount for _, amount in kept],
                "customdata": [number for number, _ in kept],
                "marker": {"color": color, "symbol": symbol, "size": 6},
                "hovertemplate": f"trial %{{x}}, {name}: %{{y:.6g}}<extra></extra>",
            }
        )
    label = info.name or "total violation"
    bound = level_shape(0.0, COLORS["limit"], "dot")
    return {"data": data, "layout": layout("trial", label, shapes=[bound])}


def has_constraints(study: Study) -> bool:
    """Return whether complete trials have constraints."""
    return any(t.constraints for t in study.complete())
