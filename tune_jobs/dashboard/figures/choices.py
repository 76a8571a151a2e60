"""What a person chooses in a figure: an objective, the parameters on its axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

from tune_jobs.dashboard.drawing import LONG, MANY_POINTS, clean, short, thin
from tune_jobs.dashboard.importance import importance_info
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.parameter_axes import parameter_names

Chosen = Mapping[str, str]
"""Chosen values by the names of the choices; what is missing has its default."""

DEFAULTS: Chosen = MappingProxyType({})

MOST_VARIANTS = 6
"""Figures of different objectives that are drawn where nothing can be chosen."""

MAX_VALUE = 300
"""Characters of a parameter's name in a request."""


@dataclass(frozen=True)
class Choice:
    """A choice that a figure offers.

    Args:
        name: Name in requests: ``objective``, ``constraint``, ``x`` or ``y``.
        label: What people see.
        options: Value in requests and label of each option.
        value: The value that is chosen.
    """

    name: str
    label: str
    options: Sequence[tuple[str, str]]
    value: str


FindChoices = Callable[[Study, Chosen], list[Choice]]


def choose(
    name: str, label: str, options: Sequence[tuple[str, str]], default: str, chosen: Chosen
) -> Choice:
    """Return a choice with the value that was chosen, or its default.

    Raises:
        ValueError: If what was chosen is no option.
    """
    value = chosen.get(name, default)
    if value not in dict(options):
        known = ", ".join(value for value, _ in options[:20])
        raise ValueError(f"{name}={clean(value, LONG)!r} is no option: use one of {known}")
    return Choice(name, label, options, value)


def no_choices(study: Study, chosen: Chosen) -> list[Choice]:
    """Return no choice."""
    return []


def objective_options(study: Study) -> list[tuple[str, str]]:
    """Return the objectives: their positions, and their names."""
    return [(str(i), short(metric)) for i, metric in enumerate(study.metrics)]


def choose_objective(study: Study, chosen: Chosen) -> list[Choice]:
    """Return the choice of one objective; none if there is only one."""
    if study.single and chosen.get("objective", "0") == "0":
        return []
    return [choose("objective", "Objective", objective_options(study), "0", chosen)]


def read_objective(study: Study, chosen: Chosen) -> int:
    """Return the position of the chosen objective.

    Raises:
        ValueError: If there is no such objective.
    """
    return next((int(c.value) for c in choose_objective(study, chosen)), 0)


def choose_front_axes(study: Study, chosen: Chosen) -> list[Choice]:
    """Return the choice of the two objectives of a front; none if there are only two."""
    if len(study.maximize) <= 2:
        return []
    options = objective_options(study)
    return [choose("x", "x", options, "0", chosen), choose("y", "y", options, "1", chosen)]


def list_variants(choices: Sequence[Choice]) -> list[tuple[str, Chosen]]:
    """Return what is drawn where nothing can be chosen: a label and the chosen values of each.

    These are all objectives, or all pairs of them; other choices have their defaults.
    """
    by_name = {choice.name: choice for choice in choices}
    if "objective" in by_name:
        options = by_name["objective"].options[:MOST_VARIANTS]
        return [(label, {"objective": value}) for value, label in options]
    if by_name.keys() == {"x", "y"}:
        pairs = [*combinations(by_name["x"].options, 2)][:MOST_VARIANTS]
        return [(f"{a[1]} and {b[1]}", {"x": a[0], "y": b[0]}) for a, b in pairs]
    return [("", DEFAULTS)]


def choose_pair(study: Study, chosen: Chosen) -> list[Choice]:
    """Return the choice of an objective and of two parameters, by default the most important."""
    objective = read_objective(study, chosen)
    options = [(clean(name, MAX_VALUE), short(name)) for name in pair_names(study)]
    first, second = _most_important(study, objective)
    x = choose("x", "x", options, clean(first, MAX_VALUE), chosen)
    others = [clean(name, MAX_VALUE) for name in (second, first)]
    default = next((name for name in others if name != x.value), x.value)
    return [*choose_objective(study, chosen), x, choose("y", "y", options, default, chosen)]


def read_pair(study: Study, chosen: Chosen) -> tuple[int, str, str]:
    """Return the chosen objective, and the names of the chosen parameters."""
    found = {choice.name: choice.value for choice in choose_pair(study, chosen)}
    names = {clean(name, MAX_VALUE): name for name in pair_names(study)}
    return int(found.get("objective", "0")), names[found["x"]], names[found["y"]]


def pair_names(study: Study) -> list[str]:
    """Return the parameters that can be on an axis."""
    return parameter_names(thin(study.with_value(), MANY_POINTS))


def _most_important(study: Study, objective: int) -> tuple[str, str]:
    """Return the most important parameter, and the next one that trials have together with it."""
    offered = pair_names(study)
    names = [name for name, _ in importance_info(study, objective) if name in offered]
    names += [name for name in offered if name not in names]
    first, *others = names
    together = {name for t in study.with_value(objective) if first in t.params for name in t.params}
    return first, next((name for name in others if name in together), others[0])


def choose_constraint(study: Study, chosen: Chosen) -> list[Choice]:
    """Return the choice of a constraint: the total violation, or one of several."""
    names = dict.fromkeys(name for t in study.complete() for name in t.constraints)
    if len(names) < 2:
        return []
    options = [("", "all")] + [(clean(name, MAX_VALUE), short(name)) for name in names]
    return [choose("constraint", "Constraint", options, "", chosen)]
