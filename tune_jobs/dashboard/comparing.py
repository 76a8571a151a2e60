"""Comparison of studies: best trials, progress against cost, and statistical significance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE
from tune_jobs.dashboard.drawing import MANY_POINTS, SERIES, Figure, layout, short, thin
from tune_jobs.dashboard.figures import best_so_far
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameters import draw_parallel, importance_info
from tune_jobs.errors import ComparisonError

HOUR = 3600.0
SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True)
class Winner:
    """The best trial of a study.

    Args:
        study: Name of the study.
        trial, value, params: Number, value and parameters of the trial.
        replicates: Values of runs of the same configuration with other seeds.
        trials: Number of complete trials of the study.
        run_hours: Run hours of all its job runs.
        money: Cost of all its trials.
        hours: Hours from the start of its first job run to the end of its last one.
    """

    study: str
    trial: int
    value: float
    params: dict[str, Any]
    replicates: tuple[float, ...]
    trials: int
    run_hours: float
    money: float
    hours: float


@dataclass(frozen=True)
class Comparison:
    """Comparison of studies.

    Args:
        winners: The best trial of each study that has one, the best first.
        differing: Parameters in which the winners differ.
        statement: A sentence on whether the first two differ significantly.
        warnings: Differences that make the studies hard to compare.
        without_best: Of each study without a best trial, its name and the reason.
    """

    winners: Sequence[Winner]
    differing: Sequence[str]
    statement: str
    warnings: Sequence[str]
    without_best: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [f"{'study':<24} {'trial':>6} {'value':>12} {'trials':>7} {'run hours':>10}"]
        for w in self.winners:
            numbers = f"{w.trial:>6} {w.value:>12.6g} {w.trials:>7} {w.run_hours:>10.3g}"
            lines.append(f"{w.study[:24]:<24} {numbers}")
            params = {name: w.params.get(name, "(none)") for name in self.differing}
            lines.append("    " + ", ".join(f"{k}={_format(v)}" for k, v in params.items()))
        lines += [*self.without_best, self.statement]
        return "\n".join([*lines, *(f"warning: {w}" for w in self.warnings)])


def compare(studies: Sequence[Study]) -> Comparison:
    """Compare studies with one objective.

    Raises:
        ComparisonError: If a study has several objectives, or if directions differ.
    """
    for study in studies:
        if not study.single:
            raise ComparisonError(
                f"study {study.name!r} has several objectives: compare studies with one"
            )
    if len({s.maximize for s in studies}) > 1:
        raise ComparisonError(
            "some studies maximize and others minimize: compare studies with the same direction"
        )
    maximize = studies[0].maximize[0] if studies else False
    winners = sorted(
        (w for w in map(_winner, studies) if w is not None),
        key=lambda w: -w.value if maximize else w.value,
    )
    return Comparison(
        winners=winners,
        differing=_differing(winners),
        statement=_statement(winners),
        warnings=_warnings(studies),
        without_best=[f"{s.name[:60]}: {why}" for s in studies if (why := s.no_best())],
    )


def _winner(study: Study) -> Winner | None:
    best = study.best()
    if best is None:
        return None
    replicates = [
        t.values[0]
        for t in study.complete()
        if t.attributes.get(REPLICATE_ATTRIBUTE) == best.number and math.isfinite(t.values[0])
    ]
    spans = [(r.intended, r.finished) for r in study.runs if r.finished is not None]
    hours = (max(f for _, f in spans if f) - min(i for i, _ in spans)) / HOUR if spans else 0.0
    return Winner(
        study=study.name,
        trial=best.number,
        value=best.values[0],
        params=dict(best.params),
        replicates=tuple(replicates),
        trials=len(study.complete()),
        run_hours=sum(r.seconds or 0.0 for r in study.runs) / HOUR,
        money=sum(t.cost for t in study.trials),
        hours=hours,
    )


def _differing(winners: Sequence[Winner]) -> list[str]:
    names = dict.fromkeys(name for w in winners for name in w.params)
    return [n for n in names if len({_format(w.params.get(n, "(none)")) for w in winners}) > 1]


def _format(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _statement(winners: Sequence[Winner]) -> str:
    """Return a sentence on whether the first winner is significantly better than the second."""
    if len(winners) < 2:
        return "fewer than two studies have a best trial: nothing to compare"
    first, second = winners[:2]
    if min(len(first.replicates), len(second.replicates)) >= 2:
        return _compare_replicates(first, second)
    gap = abs(first.value - second.value)
    return (
        f"{_quote(first)} is ahead of {_quote(second)} by {gap:.4g}; one run of each does not show "
        "whether the difference is significant: tuner.replicate(trial, 5) runs the best trial of a "
        "study again with other seeds"
    )


def _compare_replicates(first: Winner, second: Winner) -> str:
    """Return a sentence on the replicates of two winners.

    The winners' own values are left out: they are biased, as the best of many.
    """
    p = welch_p_value(first.replicates, second.replicates)
    verdict = "significant" if p < SIGNIFICANCE_LEVEL else "not significant"
    means = [sum(w.replicates) / len(w.replicates) for w in (first, second)]
    return (
        f"over {len(first.replicates)} and {len(second.replicates)} runs with other seeds, "
        f"{_quote(first)} has a mean of {means[0]:.6g} and {_quote(second)} of {means[1]:.6g}: the "
        f"difference is {verdict} (Welch's t-test, p = {p:.2g})"
    )


def _quote(winner: Winner) -> str:
    return repr(winner.study[:60])


def welch_p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p-value of Welch's t-test for equal means.

    Args:
        a, b: Samples of at least two values each.

    The degrees of freedom are those of the Welch-Satterthwaite equation (Welch, Biometrika 1947).
    """
    from scipy.special import stdtr  # imported here, as few comparisons need it

    means = [sum(x) / len(x) for x in (a, b)]
    variances = [  # of the means
        sum((v - m) ** 2 for v in x) / (len(x) - 1) / len(x)
        for x, m in zip((a, b), means, strict=True)
    ]
    gap, error = means[0] - means[1], math.sqrt(sum(variances))
    if error == 0.0:
        return 1.0 if gap == 0.0 else 0.0
    freedom = sum(variances) ** 2 / sum(
        v**2 / (len(x) - 1) for v, x in zip(variances, (a, b), strict=True)
    )
    return 2.0 * float(stdtr(freedom, -abs(gap) / error))


def _warnings(studies: Sequence[Study]) -> list[str]:
    """Return a warning for everything known that should be equal, but differs."""
    warnings = []
    for label, read in (
        ("metrics", lambda s: [m.get("name") for m in s.definition.get("metrics", [])]),
        (
            "aggregations of a metric",
            lambda s: [m.get("counts") for m in s.definition.get("metrics", [])],
        ),
        ("code", lambda s: s.definition.get("run", {}).get("code_sha256")),
        ("data", _data_digests),
    ):
        known = [(study.name, value) for study in studies if (value := read(study))]
        if len({repr(value) for _, value in known}) > 1:
            names = ", ".join(repr(name[:60]) for name, _ in known)
            warnings.append(f"the studies have different {label}: {names}")
    return warnings


def _data_digests(study: Study) -> list[str]:
    """Return the digests of a study's data files; their names do not matter."""
    return sorted(str(file.get("sha256")) for file in study.definition.get("data", {}).values())


# -- figures ------------------------------------------------------------------------------------


def _against_trials(study: Study) -> list[tuple[float, float]]:
    return _select_candidates([(float(i + 1), t) for i, t in enumerate(_sort_by_end(study))])


def _against_time(study: Study) -> list[tuple[float, float]]:
    """Use the times of the runs if there are any: a simulation has a clock of its own."""
    ends = {r.trial: r.finished for r in study.runs if not r.is_final}
    begin = min((r.intended for r in study.runs), default=None)
    if begin is None:
        ends = {t.number: t.finished for t in study.trials}
        begin = min((t.started for t in study.trials if t.started is not None), default=0.0)
    done = [(ends.get(t.number), t) for t in _sort_by_end(study)]
    return _select_candidates([((end - begin) / HOUR, t) for end, t in done if end is not None])


def _against_hours(study: Study) -> list[tuple[float, float]]:
    return _against(study, lambda t: t.run_hours)


def _against_money(study: Study) -> list[tuple[float, float]]:
    return _against(study, lambda t: t.cost)


def _against(study: Study, cost: Callable[[Trial], float]) -> list[tuple[float, float]]:
    """Return values against the cost of all trials that had finished by then."""
    used, points = 0.0, []
    for trial in sorted((t for t in study.trials if t.finished is not None), key=_end_key):
        used += cost(trial)
        points.append((used, trial))
    return _select_candidates(points)


def _select_candidates(points: Sequence[tuple[float, Trial]]) -> list[tuple[float, float]]:
    """Return position and value of the trials that can be the best."""
    return [(x, trial.values[0]) for x, trial in points if trial.result.is_candidate]


def _sort_by_end(study: Study) -> list[Trial]:
    return sorted(study.complete(), key=_end_key)


def _end_key(trial: Trial) -> tuple[float, int]:
    return (trial.finished or 0.0, trial.number)


X_AXES: dict[str, tuple[str, Callable[[Study], list[tuple[float, float]]]]] = {
    "trials": ("complete trials", _against_trials),
    "time": ("hours since the first trial", _against_time),
    "hours": ("run hours", _against_hours),
    "money": ("cost", _against_money),
}


def race_figure(studies: Sequence[Study], axis: str) -> Figure:
    """Return a figure of each study's best value so far against one of `X_AXES`."""
    label, read_points = X_AXES[axis]
    data = []
    for i, study in enumerate(studies):
        xs, ys = best_so_far(read_points(study), study.maximize[0])
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": short(study.name),
                "x": xs,
                "y": ys,
                "line": {"shape": "hv", "width": 2, "color": SERIES[i % len(SERIES)]},
            }
        )
    return {"data": data, "layout": layout(label, studies[0].metrics[0] if studies else "")}


def together_figure(studies: Sequence[Study]) -> Figure:
    """Return parallel coordinates of the trials that can be the best, colored by study."""
    share = MANY_POINTS // max(1, len(studies))
    trials: list[Trial] = []
    colors: list[float] = []
    for i, study in enumerate(studies):
        kept = thin(study.candidates(), share)
        trials += kept
        colors += [float(i)] * len(kept)
    last = max(1, len(studies) - 1)
    scale = [[i / last, SERIES[i % len(SERIES)]] for i in range(len(studies))]
    if len(scale) == 1:
        scale = [[0, SERIES[0]], [1, SERIES[0]]]
    label, up = studies[0].metrics[0], studies[0].maximize[0]
    return draw_parallel(trials, colors, label, up, scale=scale)


def importances_figure(studies: Sequence[Study]) -> Figure:
    """Return a figure of the parameter importances of all studies, side by side."""
    data = []
    for i, study in enumerate(studies):
        pairs = importance_info(study)
        data.append(
            {
                "type": "bar",
                "name": short(study.name),
                "x": [short(name) for name, _ in pairs],
                "y": [value for _, value in pairs],
                "marker": {"color": SERIES[i % len(SERIES)]},
            }
        )
    return {"data": data, "layout": layout("", "importance", barmode="group")}


def comparison_figures(studies: Sequence[Study]) -> dict[str, tuple[str, Figure]]:
    """Return title and figure of all figures of a comparison, by name."""
    axes = [a for a in X_AXES if a != "money" or any(t.cost for s in studies for t in s.trials)]
    figures = {
        f"race-{axis}": (f"Best value by {X_AXES[axis][0]}", race_figure(studies, axis))
        for axis in axes
    }
    figures["together"] = ("Parallel coordinates by study", together_figure(studies))
    figures["importances"] = ("Parameter importance", importances_figure(studies))
    return figures
