"""The Pareto front of several objectives, and its hypervolume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.best_trials import Standing, find_best
from tune_jobs.dashboard.drawing import COLORS, MANY_POINTS, Figure, layout, short, thin
from tune_jobs.dashboard.figures.choices import DEFAULTS, Chosen, choose_front_axes
from tune_jobs.dashboard.model import Study, Trial

MANY_STEPS = 50
"""Hypervolumes that are computed for a study with more than two objectives."""

MANY_OF_MANY = 400
"""Trials of which it is computed for a study with more than two objectives."""

MAX_OBJECTIVES = 4

MARGIN = 0.1
"""How far the reference point is beyond the worst value, as a share of an objective's range."""


def front_figure(study: Study, chosen: Chosen = DEFAULTS) -> Figure:
    """Return a figure of two objectives; trials that are Pareto-optimal in all are marked."""
    axes = [int(choice.value) for choice in choose_front_axes(study, chosen)] or [0, 1]
    by_standing = study.complete_by_standing()
    best = study.front()
    front = {t.number for t in best}
    dominated = [t for t in by_standing[Standing.CANDIDATE] if t.number not in front]
    infeasible = [t for t in by_standing[Standing.INFEASIBLE] if all(map(math.isfinite, t.values))]
    data = []
    for name, trials, marker in (
        ("infeasible", infeasible, {"color": COLORS["excluded"], "symbol": "circle-open"}),
        ("dominated", dominated, {"color": COLORS["provisioning"]}),
        ("Pareto-optimal", best, {"color": COLORS["best"], "size": 9}),
    ):
        if name == "infeasible" and not trials:
            continue
        kept = thin(trials, MANY_POINTS)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [t.values[axes[0]] for t in kept],
                "y": [t.values[axes[1]] for t in kept],
                "customdata": [t.number for t in kept],
                "marker": {"size": 7, **marker},
                "hovertemplate": "trial %{customdata}: %{x:.6g}, %{y:.6g}<extra></extra>",
            }
        )
    titles = [_describe_axis(study, axis) for axis in axes]
    return {"data": data, "layout": layout(*titles)}


def _describe_axis(study: Study, objective: int) -> str:
    """Return the name of an objective, and which of its values are better."""
    better = "more is better" if study.maximize[objective] else "less is better"
    return f"{short(study.metrics[objective], 40)} ({better})"


def pareto(trials: Sequence[Trial], maximize: Sequence[bool]) -> list[int]:
    """Return the numbers of the Pareto-optimal ones among those that can be the best."""
    return [result.number for result in find_best((t.result for t in trials), maximize)]


@dataclass(frozen=True)
class Hypervolume:
    """The hypervolume of the Pareto front over the trials.

    Args:
        numbers: Trials that can be the best, after which it was computed.
        volumes: The hypervolume after each of them.
        reference: The reference point: one value for each objective.
        is_sample: Whether there are more trials, which are left out.
    """

    numbers: Sequence[int]
    volumes: Sequence[float]
    reference: Sequence[float]
    is_sample: bool = False


def hypervolume_info(study: Study) -> Hypervolume:
    """Return the hypervolume that the trials which can be the best dominate, by trial number.

    It is computed by Optuna. The reference point is the worst value of each objective among these
    trials, moved away from the best by a tenth of the range. It is one point for the whole study,
    so that the volumes can be compared; a new worst value changes all of them.
    """
    import numpy as np

    trials, is_sample = _sample(study)
    signs = np.array([-1.0 if up else 1.0 for up in study.maximize])
    losses = np.array([t.values for t in trials]) * signs
    worst, least = losses.max(axis=0), losses.min(axis=0)
    reference = worst + MARGIN * np.where(worst > least, worst - least, 1.0)
    found = _measure_volumes(losses, reference)
    numbers = [trials[i].number for i, _ in found]
    volumes = [volume for _, volume in found]
    if numbers[-1] != trials[-1].number:
        numbers.append(trials[-1].number)
        volumes.append(volumes[-1])
    return Hypervolume(numbers, volumes, [float(r) for r in reference * signs], is_sample)


def _sample(study: Study) -> tuple[list[Trial], bool]:
    """Return trials whose hypervolume takes a fraction of a second, and whether there are more.

    Of two objectives the whole front is among them, so that the last hypervolume is exact.
    """
    front, candidates = study.front(), study.candidates()
    if len(study.maximize) <= 2:
        chosen = [*thin(candidates, 5 * MANY_POINTS), *front]
    else:
        chosen = [*thin(candidates, MANY_OF_MANY), *thin(front, MANY_OF_MANY // 4)]
    by_number = {t.number: t for t in chosen}
    return [by_number[n] for n in sorted(by_number)], len(by_number) < len(candidates)


def _measure_volumes(losses: Any, reference: Any) -> list[tuple[int, float]]:
    """Return the hypervolume where it grows; of three or more objectives, at some places only.

    Args:
        losses: A row for each trial, by time; smaller values are better.
        reference: The reference point.
    """
    import numpy as np
    from optuna._hypervolume import compute_hypervolume

    last = len(losses) - 1
    every = 1 if losses.shape[1] == 2 else max(1, len(losses) // MANY_STEPS)
    front, has_grown = losses[:0], False
    found = []
    for i, point in enumerate(losses):
        if not (front <= point).all(axis=1).any():
            front = np.vstack([front[~(front >= point).all(axis=1)], point])
            has_grown = True
        if has_grown and (i % every == 0 or i == last):
            order = front[front[:, 0].argsort()]
            volume = compute_hypervolume(order, reference, assume_pareto=True)
            found.append((i, float(volume)))
            has_grown = False
    return found


def hypervolume_figure(study: Study) -> Figure:
    """Return a figure of the hypervolume over the trials, with its reference point."""
    info = hypervolume_info(study)
    point = ", ".join(f"{value:.4g}" for value in info.reference)
    label = "hypervolume of a sample" if info.is_sample else "hypervolume"
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "hypervolume",
            "x": list(info.numbers),
            "y": list(info.volumes),
            "customdata": list(info.numbers),
            "line": {"shape": "hv", "color": COLORS["best"], "width": 2},
            "hovertemplate": "trial %{x}: %{y:.6g}<extra></extra>",
        }
    ]
    return {"data": data, "layout": layout(f"trial; reference point {point}", label)}


def has_hypervolume(study: Study) -> bool:
    """Return whether the hypervolume is shown: it takes too long with many objectives."""
    return 1 < len(study.maximize) <= MAX_OBJECTIVES and bool(study.candidates())
