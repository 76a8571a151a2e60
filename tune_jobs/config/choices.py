"""Samplers and pruners by their names, as a study.yaml or a command line has them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from tune_jobs.errors import ConfigError, SpaceError, did_you_mean
from tune_jobs.pruners import BanditPruner, MedianStoppingPruner, TruncationPruner
from tune_jobs.samplers import JobSampler, ModelClassSampler
from tune_jobs.space.search_space import Parameter, Space
from tune_jobs.space.yaml_source import Located

SAMPLERS: Mapping[str, type[BaseSampler]] = {
    "job": JobSampler,
    "model_classes": ModelClassSampler,
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "qmc": optuna.samplers.QMCSampler,
    "grid": optuna.samplers.GridSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "nsgaiii": optuna.samplers.NSGAIIISampler,
}
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
# Optuna imports these when the first trials are paid for already.
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "gp": ("torch", "scipy"),
    "cmaes": ("cmaes",),
    "qmc": ("scipy",),
    "wilcoxon": ("scipy",),
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "None": (type(None),),
}
_MAX_GRID = 100_000


@dataclass(frozen=True)
class Choice:
    """A sampler or a pruner by its name, with the arguments of its class."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """Put the place before the message of an error, and keep its class."""
    try:
        yield
    except ConfigError as error:
        raise type(error)(f"{place}: {error}" if place else str(error)) from error


def build_sampler(choice: Choice, space: Space) -> BaseSampler:
    """The sampler that was chosen; a grid is one of ``space``.

    Raises:
        ConfigError: it needs a package that is not installed, or a grid of something endless.
    """
    arguments = dict(choice.arguments)
    if choice.name == "grid":
        arguments["search_space"] = _grid(space, choice.place)
    if choice.name == "model_classes":
        arguments["sampler"] = JobSampler
    sampler: BaseSampler = _build(SAMPLERS[choice.name], choice, arguments)
    return sampler


def usual_sampler(space: Space) -> Choice:
    """The sampler for a space, where none was named.

    Where other parameters depend on one choice alone, that choice is taken for a model class.
    """
    depended = {p.when.names for p in space.parameters if p.when is not None}
    if len(depended) == 1 and len(names := next(iter(depended))) == 1:
        name = next(iter(names))
        kinds = {p.name: p.distribution for p in space.parameters}
        if isinstance(kinds.get(name), CategoricalDistribution):
            return Choice("model_classes", {"parameter": name})
    return Choice("job")


def read_choice(written: Located, classes: Mapping[str, type[Any]]) -> Choice:
    """Read a name, or a mapping of ``name`` and arguments.

    Raises:
        ConfigError: the name or an argument is unknown, or one is missing or of another type.
    """
    fields = written.value if isinstance(written.value, dict) else {"name": written}
    if "name" not in fields:
        raise written.error(f"has no name: add `name: ...` {did_you_mean('', classes)}")
    name = fields["name"].one_of(*classes)
    types = argument_types(classes[name])
    replace(written, value=fields).fields("name", *types)
    for argument, parameter in inspect.signature(classes[name]).parameters.items():
        if parameter.default is parameter.empty and argument in types.keys() - fields.keys():
            raise written.error(f"{name!r} has no {argument!r}: add `{argument}: ...`")
    arguments = {
        key: read_argument(item, types[key]) for key, item in fields.items() if key != "name"
    }
    return Choice(name, arguments, written.place)


def argument_types(cls: type[Any]) -> dict[str, tuple[type, ...]]:
    """The arguments of a class that can be written in YAML, with the types that they take."""
    types: dict[str, tuple[type, ...]] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        annotation = parameter.annotation
        words = str(getattr(annotation, "__name__", annotation)).split(" | ")
        written = [word for word in words if word in _TYPES]
        if any(word != "None" for word in written):
            types[name] = tuple(kind for word in written for kind in _TYPES[word])
        elif name == "wrapped_pruner":
            types[name] = (BasePruner,)
    return types


def read_argument(written: Located, types: tuple[type, ...]) -> Any:
    """An argument's value.

    Raises:
        ConfigError: it is of another type.
    """
    if types == (BasePruner,):
        return read_choice(written, PRUNERS)
    if type(written.value) not in types:
        names = " or ".join(kind.__name__ for kind in types)
        raise written.error(f"{written.plain()!r} is not of type {names}")
    return written.value


def build_pruner(choice: Choice) -> BasePruner:
    """The pruner that was chosen.

    Raises:
        ConfigError: it needs a package that is not installed, or refuses its arguments.
    """
    arguments = {
        name: build_pruner(value) if isinstance(value, Choice) else value
        for name, value in choice.arguments.items()
    }
    pruner: BasePruner = _build(PRUNERS[choice.name], choice, arguments)
    return pruner


def _build(cls: type[Any], choice: Choice, arguments: Mapping[str, Any]) -> Any:
    with at_place(choice.place):
        for package in _PACKAGES.get(choice.name, ()):
            if find_spec(package) is None:
                raise ConfigError(f"{choice.name!r} needs {package!r}: pip install {package}")
        try:
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{choice.name!r} refuses its arguments: {error}") from error


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
