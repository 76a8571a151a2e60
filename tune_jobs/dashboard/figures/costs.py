"""Cost over time, with the limits and the forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.controllers import close_abandoned, measure_controllers
from tune_jobs.core.costs import Amount, Costs, Prices
from tune_jobs.core.trial_attributes import is_extra
from tune_jobs.core.usage import RunStatistics
from tune_jobs.dashboard.drawing import (
    COLORS,
    MANY_POINTS,
    Clock,
    Figure,
    layout,
    level,
    level_shape,
)
from tune_jobs.dashboard.model import Study


@dataclass(frozen=True)
class CostCurve:
    """What a study has used, over time.

    Args:
        unit: "cost", or "run hours" without prices.
        times: Seconds since the epoch.
        used: What all runs and controllers have used by then.
        forecast: What will have been used at the end; None if unknown.
        limit: What may be used; None without such a limit.
    """

    unit: str
    times: Sequence[float]
    used: Sequence[float]
    forecast: float | None
    limit: float | None


def cost_info(study: Study, now: float) -> CostCurve:
    """Return the cost over time: money if the study has prices, else hours.

    A run's cost accrues evenly while its script runs. The forecast is that of the tuner, see
    `RunStatistics.costs`; a study that is not being tuned has none.
    """
    prices = study.prices
    limits: Mapping[str, Any] = study.definition.get("limits") or {}
    until = study.known_until(now)
    times, used = _accrue(_find_spans(study, Prices(prices), until), has_prices=bool(prices))
    costs = forecast_costs(study, prices, until)
    forecast = costs.forecast if costs.forecast is not None else None
    return CostCurve(
        "cost" if prices else "run hours",
        times,
        used,
        None if forecast is None else _select(forecast, bool(prices)),
        limits.get("max_cost" if prices else "max_run_hours"),
    )


def forecast_costs(study: Study, prices: Mapping[str, float], now: float) -> Costs:
    """Return the account of a study as its tuner computes it."""
    ended = [run for run in study.runs if run.told is not None]
    live = {} if study.owner is None else {r.name: r for r in study.runs if r.told is None}
    controllers = study.controllers
    if study.owner is None:
        controllers = close_abandoned(controllers, None, now)
    statistics = RunStatistics(prices, ended, controllers)
    for run in live.values():
        statistics.adopted(run)
    wanted = (study.definition.get("limits") or {}).get("n_trials")
    started = sum(not is_extra(t.attributes) and t.state != "WAITING" for t in study.trials)
    left = None if wanted is None or study.owner is None else max(0, int(wanted) - started)
    return statistics.costs(live, now, left)


def _select(amount: Amount, has_prices: bool) -> float:
    return amount.money if has_prices else amount.hours


_Span = tuple[float, float, Amount]


def _find_spans(study: Study, prices: Prices, until: float) -> list[_Span]:
    """Return start, end and amount of each run and controller."""
    spans = []
    for run in study.runs:
        if run.started is None:
            continue
        end = run.ended if run.ended is not None else max(until, run.started)
        spans.append((run.started, end, prices.amount(end - run.started, run.shape, run.backend)))
    for record in study.controllers:
        amount = measure_controllers([record], prices, until)
        if record.started is not None and amount.hours:
            end = until if record.finished is None else record.finished
            spans.append((record.started, end, amount))
    return spans


def _accrue(spans: Sequence[_Span], *, has_prices: bool) -> tuple[list[float], list[float]]:
    """Return times and what was used by then: exact at the times, with straight lines between."""
    changes: dict[float, float] = {}
    for start, end, amount in spans:
        rate = _select(amount, has_prices) / (end - start) if end > start else 0.0
        changes[start] = changes.get(start, 0.0) + rate
        changes[end] = changes.get(end, 0.0) - rate
    times, used = [], []
    rate = total = 0.0
    last: float | None = None
    for at in sorted(changes):
        total += rate * (at - last) if last is not None else 0.0
        rate, last = max(0.0, rate + changes[at]), at
        times.append(at)
        used.append(total)
    every = max(1, len(times) // MANY_POINTS)
    kept = sorted({*range(0, len(times), every), len(times) - 1}) if times else []
    return [times[i] for i in kept], [used[i] for i in kept]


def cost_figure(study: Study, now: float) -> Figure:
    """Return a figure of the cost over time, with the limit and the forecast as lines."""
    info, clock = cost_info(study, now), Clock(study.is_virtual)
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "used",
            "x": [clock.place(at) for at in info.times],
            "y": list(info.used),
            "line": {"color": COLORS["COMPLETE"], "width": 2},
            "fill": "tozeroy",
            "fillcolor": "rgba(37,99,235,0.12)",
            "hovertemplate": "%{x}: %{y:.4g}<extra></extra>",
        }
    ]
    shapes = []
    for name, value, color, dash in (
        ("limit", info.limit, COLORS["limit"], "solid"),
        ("forecast at the end", info.forecast, COLORS["PRUNED"], "dash"),
    ):
        if value is not None:
            data.append(level(value, f"{name}: {value:.4g}", color, dash))
            shapes.append(level_shape(value, color, dash))
    shown = layout("", info.unit, xaxis=clock.axis(), yaxis={"rangemode": "tozero"}, shapes=shapes)
    return {"data": data, "layout": shown}


def has_costs(study: Study) -> bool:
    """Return whether any run has started."""
    return any(run.started is not None for run in study.runs)
