"""Studies side by side: who was better, sooner, cheaper, and whether it is more than noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE
from tune_jobs.dashboard.drawing import MANY_POINTS, SERIES, Figure, layout, short, thinned
from tune_jobs.dashboard.figures import best_so_far
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameters import draw_parallel, importance_info
from tune_jobs.errors import ComparisonError

HOUR = 3600.0


@dataclass(frozen=True)
class Winner:
    """The best trial of a study.

    Args:
        study, trial, value: Which, and how good.
        params: Its configuration.
        replicates: Values of runs of the same configuration with other seeds.
        trials, run_hours, money, hours: What the study took in all.
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
    """Several studies compared.

    Args:
        winners: One for each study that has one, the best first.
        differing: Parameters in which the winners differ.
        statement: Whether the difference is more than noise, in a sentence.
        warnings: What makes them hard to compare.
    """

    winners: Sequence[Winner]
    differing: Sequence[str]
    statement: str
    warnings: Sequence[str]

    def __str__(self) -> str:
        lines = [f"{'study':<24} {'trial':>6} {'value':>12} {'trials':>7} {'run hours':>10}"]
        for w in self.winners:
            numbers = f"{w.trial:>6} {w.value:>12.6g} {w.trials:>7} {w.run_hours:>10.3g}"
            lines.append(f"{w.study[:24]:<24} {numbers}")
            different = {name: w.params.get(name, "(none)") for name in self.differing}
            lines.append("    " + ", ".join(f"{k}={_text(v)}" for k, v in different.items()))
        return "\n".join([*lines, self.statement, *(f"warning: {w}" for w in self.warnings)])


def compare(studies: Sequence[Study]) -> Comparison:
    """Compare studies with one objective.

    Raises:
        ComparisonError: If a study has several objectives, or if directions differ.
    """
    for study in studies:
        if not study.single:
            raise ComparisonError(f"study {study.name!r} has several objectives: compare its front")
    if len({s.maximize for s in studies}) > 1:
        raise ComparisonError("some of these studies maximize and others minimize")
    maximize = studies[0].maximize[0] if studies else False
    winners = sorted(
        (w for w in map(_winner, studies) if w is not None),
        key=lambda w: -w.value if maximize else w.value,
    )
    return Comparison(
        winners=winners,
        differing=_differing(winners),
        statement=_statement(winners, studies, maximize),
        warnings=_warnings(studies),
    )


def _winner(study: Study) -> Winner | None:
    best = study.best()
    if best is None:
        return None
    copies = [
        t.values[0]
        for t in study.complete()
        if t.attributes.get(REPLICATE_ATTRIBUTE) == best.number
    ]
    spans = [(r.intended, r.finished) for r in study.runs if r.finished is not None]
    hours = (max(f for _, f in spans if f) - min(i for i, _ in spans)) / HOUR if spans else 0.0
    return Winner(
        study=study.name,
        trial=best.number,
        value=best.values[0],
        params=dict(best.params),
        replicates=tuple(copies),
        trials=len(study.complete()),
        run_hours=sum(r.seconds or 0.0 for r in study.runs) / HOUR,
        money=sum(t.money for t in study.trials),
        hours=hours,
    )


def _differing(winners: Sequence[Winner]) -> list[str]:
    names = dict.fromkeys(name for w in winners for name in w.params)
    return [n for n in names if len({_text(w.params.get(n, "(none)")) for w in winners}) > 1]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _statement(winners: Sequence[Winner], studies: Sequence[Study], maximize: bool) -> str:
    """Whether the first winner is better than the second by more than noise."""
    if len(winners) < 2:
        return "there is only one winner: nothing to compare yet"
    first, second = winners[0], winners[1]
    both = [(w.value, *w.replicates) for w in (first, second)]
    if min(map(len, both)) >= 3:
        return _welch(first, second, both[0], both[1])
    gap = abs(first.value - second.value)
    return (
        f"{first.study!r} is ahead of {second.study!r} by {gap:.4g}; whether that is more than "
        "noise cannot be said from one run of each: tuner.replicate(trial, 5) runs a winner again "
        "with other seeds"
    )


def _welch(first: Winner, second: Winner, a: Sequence[float], b: Sequence[float]) -> str:
    """Welch's t-test of two samples; the winner's own value is left out: it was chosen."""
    a, b = a[1:], b[1:]
    means = [sum(x) / len(x) for x in (a, b)]
    spreads = [
        sum((v - m) ** 2 for v in x) / (len(x) - 1) / len(x)
        for x, m in zip((a, b), means, strict=True)
    ]
    gap, error = means[0] - means[1], math.sqrt(sum(spreads))
    if error == 0.0:
        p = 1.0 if gap == 0.0 else 0.0
    else:
        freedom = sum(spreads) ** 2 / sum(
            s**2 / (len(x) - 1) for s, x in zip(spreads, (a, b), strict=True) if s
        )
        p = _two_sided(abs(gap) / error, freedom)
    sure = "more than noise" if p < 0.05 else "not more than noise"
    return (
        f"over {len(a)} and {len(b)} runs with other seeds {first.study!r} has {means[0]:.6g} and "
        f"{second.study!r} {means[1]:.6g} on average: the difference is {sure} (Welch's t-test, "
        f"p = {p:.2g})"
    )


def _two_sided(t: float, freedom: float) -> float:
    """Return the probability of a larger ``|t|`` under Student's t distribution."""
    from scipy.special import stdtr  # here: the dashboard rarely compares replicates

    return 2.0 * float(stdtr(freedom, -abs(t)))


def _warnings(studies: Sequence[Study]) -> list[str]:
    """What differs that should not, as far as it is known."""
    found = []
    for label, of in (
        ("metric", lambda s: [m.get("name") for m in s.definition.get("metrics", [])]),
        (
            "way in which a metric counts",
            lambda s: [m.get("counts") for m in s.definition.get("metrics", [])],
        ),
        ("code", lambda s: s.definition.get("run", {}).get("code_sha256")),
        ("data", _data),
    ):
        known = [(s.name, of(s)) for s in studies if of(s)]
        if len({repr(value) for _, value in known}) > 1:
            names = ", ".join(repr(name[:60]) for name, _ in known)
            found.append(f"the {label} is not the same in {names}")
    return found


def _data(study: Study) -> list[str]:
    """The digests of its data files, whatever they are called."""
    return sorted(str(file.get("sha256")) for file in study.definition.get("data", {}).values())


# -- figures ------------------------------------------------------------------------------------


def _against_trials(study: Study) -> list[tuple[float, float]]:
    return [(float(i + 1), t.values[0]) for i, t in enumerate(_by_end(study))]


def _against_time(study: Study) -> list[tuple[float, float]]:
    """By the clock of the runs where there are any: in a simulation that is not ours."""
    ends = {r.trial: r.finished for r in study.runs if not r.is_final}
    begin = min((r.intended for r in study.runs), default=None)
    if begin is None:
        ends = {t.number: t.finished for t in study.trials}
        begin = min((t.started for t in study.trials if t.started is not None), default=0.0)
    done = [(ends.get(t.number), t) for t in _by_end(study)]
    return [((end - begin) / HOUR, t.values[0]) for end, t in done if end is not None]


def _against_hours(study: Study) -> list[tuple[float, float]]:
    return _against(study, lambda t: t.run_hours)


def _against_money(study: Study) -> list[tuple[float, float]]:
    return _against(study, lambda t: t.money)


def _against(study: Study, cost: Callable[[Trial], float]) -> list[tuple[float, float]]:
    """Best so far against what all trials that ended until then took."""
    used, points = 0.0, []
    ended = sorted((t for t in study.trials if t.finished is not None), key=_end)
    for trial in ended:
        used += cost(trial)
        if trial.state == "COMPLETE" and trial.values:
            points.append((used, trial.values[0]))
    return points


def _by_end(study: Study) -> list[Trial]:
    return sorted((t for t in study.complete() if math.isfinite(t.values[0])), key=_end)


def _end(trial: Trial) -> tuple[float, int]:
    return (trial.finished or 0.0, trial.number)


X_AXES: dict[str, tuple[str, Callable[[Study], list[tuple[float, float]]]]] = {
    "trials": ("complete trials", _against_trials),
    "time": ("hours since the first trial", _against_time),
    "hours": ("run hours", _against_hours),
    "money": ("money", _against_money),
}


def race_figure(studies: Sequence[Study], axis: str) -> Figure:
    """Best so far of each study against trials, time, run hours or money."""
    label, points_of = X_AXES[axis]
    data = []
    for i, study in enumerate(studies):
        points = [p for p in points_of(study) if math.isfinite(p[1])]
        xs, ys = best_so_far(points, study.maximize[0])
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
    """Parallel coordinates of all studies, coloured by study."""
    share = MANY_POINTS // max(1, len(studies))
    trials: list[Trial] = []
    colors: list[float] = []
    for i, study in enumerate(studies):
        kept = thinned(study.complete(), share)
        trials += kept
        colors += [float(i)] * len(kept)
    last = max(1, len(studies) - 1)
    scale = [[i / last, SERIES[i % len(SERIES)]] for i in range(len(studies))]
    if len(scale) == 1:
        scale = [[0, SERIES[0]], [1, SERIES[0]]]
    label, up = studies[0].metrics[0], studies[0].maximize[0]
    return draw_parallel(trials, colors, label, up, scale=scale)


def importances_figure(studies: Sequence[Study]) -> Figure:
    """Importances side by side."""
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
    """All figures of a comparison: title and figure."""
    axes = [a for a in X_AXES if a != "money" or any(t.money for s in studies for t in s.trials)]
    figures = {
        f"race-{axis}": (f"Best so far against {X_AXES[axis][0]}", race_figure(studies, axis))
        for axis in axes
    }
    figures["together"] = ("Parallel coordinates by study", together_figure(studies))
    figures["importances"] = ("Importance of the parameters", importances_figure(studies))
    return figures
