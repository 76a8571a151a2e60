"""Samplers and pruners by name, as in study.yaml or on the command line."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from tune_jobs.errors import ConfigError, SpaceError, did_you_mean
from tune_jobs.pruners import BanditPruner, MedianStoppingPruner, TruncationPruner
from tune_jobs.space.search_space import Parameter, Space
from tune_jobs.space.yaml_arguments import argument_types, at_place, check_required, read_scalar
from tune_jobs.space.yaml_source import Located
from tune_jobs.storage.optuna_packages import require_packages


class _Samplers(Mapping[str, type[BaseSampler]]):
    """Classes of samplers by name, imported when they are asked for.

    Ours need SciPy, whose import costs a second and 45 MB: most commands need no sampler.

    Args:
        homes: The full name of each class.
    """

    def __init__(self, homes: Mapping[str, str]) -> None:
        self._homes = homes

    def __getitem__(self, name: str) -> type[BaseSampler]:
        module, _, attribute = self._homes[name].rpartition(".")
        found: type[BaseSampler] = getattr(import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


SAMPLERS: Mapping[str, type[BaseSampler]] = _Samplers(
    {
        "job": "tune_jobs.samplers.JobSampler",
        "model_classes": "tune_jobs.samplers.ModelClassSampler",
        "tpe": "optuna.samplers.TPESampler",
        "random": "optuna.samplers.RandomSampler",
        "gp": "optuna.samplers.GPSampler",
        "cmaes": "optuna.samplers.CmaEsSampler",
        "qmc": "optuna.samplers.QMCSampler",
        "grid": "optuna.samplers.GridSampler",
        "nsgaii": "optuna.samplers.NSGAIISampler",
        "nsgaiii": "optuna.samplers.NSGAIIISampler",
    }
)
PRUNERS: Mapping[str, type[BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "patient": optuna.pruners.PatientPruner,
    "threshold": optuna.pruners.ThresholdPruner,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
    "bandit": BanditPruner,
    "truncation": TruncationPruner,
    "median_stopping": MedianStoppingPruner,
}
_MAX_GRID = 100_000


@dataclass(frozen=True)
class Choice:
    """A sampler or a pruner.

    Attributes:
        name: Its name.
        arguments: Arguments of its class; those of nested choices are choices.
        place: Where it is written, such as ``study.yaml:12``.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""


def build_sampler(choice: Choice, space: Space) -> BaseSampler:
    """Build a sampler.

    Args:
        choice: The sampler.
        space: Search space, for a grid.

    Raises:
        ConfigError: If the sampler needs a package that is not installed, rejects its arguments,
            or is a grid over a space that is infinite or too large.
    """
    arguments = dict(choice.arguments)
    if choice.name == "grid":
        arguments["search_space"] = _grid(space, choice.place)
    if choice.name == "model_classes":
        arguments["sampler"] = SAMPLERS["job"]
    sampler: BaseSampler = _build(SAMPLERS[choice.name], choice, arguments)
    return sampler


def default_sampler(space: Space) -> Choice:
    """Return the default sampler for a search space.

    If all conditions depend on a single categorical parameter, that one selects model classes.
    """
    depended = {p.when.names for p in space.parameters if p.when is not None}
    if len(depended) == 1 and len(names := next(iter(depended))) == 1:
        name = next(iter(names))
        kinds = {p.name: p.distribution for p in space.parameters}
        if isinstance(kinds.get(name), CategoricalDistribution):
            return Choice("model_classes", {"parameter": name})
    return Choice("job")


def read_choice(written: Located, classes: Mapping[str, type[Any]]) -> Choice:
    """Read a sampler or a pruner: a name, or a mapping of ``name`` and arguments.

    Raises:
        ConfigError: If the name or an argument is unknown, or an argument is missing or of
            another type.
    """
    fields = written.value if isinstance(written.value, dict) else {"name": written}
    if "name" not in fields:
        raise written.error(f"has no name: add `name: ...` {did_you_mean('', classes)}")
    _check_no_class(fields["name"], classes)
    name = fields["name"].one_of(*classes)
    types = argument_types(classes[name])
    if "wrapped_pruner" in inspect.signature(classes[name]).parameters:
        types["wrapped_pruner"] = (BasePruner,)
    replace(written, value=fields).fields("name", *types)
    check_required(written, classes[name], fields, types, label=name)
    arguments = {
        key: _read_argument(item, types[key]) for key, item in fields.items() if key != "name"
    }
    return Choice(name, arguments, written.place)


def _check_no_class(written: Located, classes: Mapping[str, type[Any]]) -> None:
    for name, cls in classes.items():
        if written.value == cls.__name__:
            raise written.error(f"{written.value!r} is a class: write {name!r}")


def _read_argument(written: Located, types: tuple[type, ...]) -> Any:
    return read_choice(written, PRUNERS) if types == (BasePruner,) else read_scalar(written, types)


def build_pruner(choice: Choice) -> BasePruner:
    """Build a pruner.

    Raises:
        ConfigError: If the pruner needs a package that is not installed, or rejects its arguments.
    """
    arguments = {
        name: build_pruner(value) if isinstance(value, Choice) else value
        for name, value in choice.arguments.items()
    }
    pruner: BasePruner = _build(PRUNERS[choice.name], choice, arguments)
    return pruner


def _build(cls: type[Any], choice: Choice, arguments: Mapping[str, Any]) -> Any:
    with at_place(choice.place):
        require_packages(cls, repr(choice.name))
        try:
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{choice.name!r} rejects its arguments: {error}") from error


def _grid(space: Space, place: str) -> dict[str, list[Any]]:
    with at_place(place):
        values = {p.name: _grid_values(p) for p in space.parameters if p.distribution}
        size = math.prod(map(len, values.values()))
        if size > _MAX_GRID:
            raise SpaceError(f"a grid of {size} configurations is too large: use another sampler")
        return {name: list(items) for name, items in values.items()}


def _grid_values(parameter: Parameter) -> Sequence[Any]:
    if parameter.when:
        raise SpaceError(
            f"a grid tries all combinations, but {parameter.name!r} has a `when`: "
            "remove it, or use another sampler"
        )
    match parameter.distribution:
        case CategoricalDistribution(choices=choices):
            return choices
        case IntDistribution(low=low, high=high, step=step):
            return range(low, high + 1, step)
        case FloatDistribution(low=low, high=high, step=float(width)):
            steps = min(round((high - low) / width), _MAX_GRID)
            return [min(low + i * width, high) for i in range(steps + 1)]
    raise SpaceError(
        f"a grid needs choices or a step, and {parameter.name!r} is {parameter.distribution}: "
        "give it choices, or use another sampler"
    )
