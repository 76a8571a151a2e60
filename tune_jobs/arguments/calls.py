"""Check the names of arguments: an unknown one is an error that says what to write instead.

@strict_names
def optimize(self, n_trials: int | None = None) -> Study: ...

tuner.optimize(n_jobs=4)
# ArgumentError: Tuner.optimize: unknown argument 'n_jobs' (write max_parallel=... in Tuner)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from typing import Any, TypeVar

from tune_jobs.arguments.type_checks import check_types, shorten
from tune_jobs.errors import SYNONYMS, ArgumentError, did_you_mean, suggest

_Target = TypeVar("_Target", bound=Callable[..., Any])
_Check = Callable[[Callable[..., Any], Mapping[str, Any]], None]

_ARGUMENTS: dict[str, Sequence[str]] = {
    "optuna.create_study": (
        "storage",
        "sampler",
        "pruner",
        "study_name",
        "directions",
        "load_if_exists",
    )
}
"""Arguments by function: of those that are checked, and of Optuna, where studies are made."""

_CALLED_AS = {"RecordedStudy": "Tuner"}
"""Classes whose methods users call as those of another one, which inherits them."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_RECEIVERS = ("self", "cls")
_SHOWN = 3


def strict_names(target: _Target) -> _Target:
    """Check the names of the arguments of each call of a function or a class.

    An unknown or missing argument raises `ArgumentError`.
    """
    return _guard(target, lambda function, arguments: None)


def strict_types(target: _Target) -> _Target:
    """Check names and types of the arguments of each call of a function or a class.

    An unknown or missing argument raises `ArgumentError`, one of a wrong type `ConfigError`.
    """
    return _guard(target, check_types)


def check_names(function: Callable[..., Any], *args: Any, **arguments: Any) -> None:
    """Check the names of the arguments of a call that is made later.

    Raises:
        ArgumentError: If one is unknown or missing; the message says what to write instead.
    """
    _bind(inspect.unwrap(function), args, arguments)


def _guard(target: _Target, check: _Check) -> _Target:
    if isinstance(target, type):
        target.__init__ = _guard(target.__init__, check)  # type: ignore[misc]
        return target
    _ARGUMENTS[_label(target)] = list(_names(target))

    @wraps(target)
    def checked(*args: Any, **arguments: Any) -> Any:
        check(target, _bind(target, args, arguments))
        return target(*args, **arguments)

    return checked  # type: ignore[return-value]


def _bind(
    function: Callable[..., Any], args: tuple[Any, ...], arguments: Mapping[str, Any]
) -> Mapping[str, Any]:
    try:
        return _signature(function).bind(*args, **arguments).arguments
    except TypeError as error:
        problem = _find_problem(function, args, arguments) or str(error)
    raise ArgumentError(f"{_label(function)}: {problem}")


def _find_problem(
    function: Callable[..., Any], args: tuple[Any, ...], arguments: Mapping[str, Any]
) -> str:
    parameters = _signature(function).parameters
    for name in arguments:
        if name not in parameters:
            return f"unknown argument {name!r} {_find_place(name, function)}"
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(args) > len(positional):
        named = [name for name in _names(function) if name not in positional]
        return _explain_excess(args[len(positional)], positional, named)
    for name, value in zip(positional, args, strict=False):
        if name in arguments:
            return f"argument {name!r} is given twice: as {shorten(value)} and by its name"
    given = {*positional[: len(args)], *arguments}
    for each in parameters.values():
        if each.default is each.empty and each.kind in _NAMED and each.name not in given:
            return f"argument {each.name!r} is missing: add {each.name}=..."
    return ""


def _explain_excess(value: object, positional: Sequence[str], named: Sequence[str]) -> str:
    """Return what is wrong with an argument after the last one that needs no name."""
    taken = ", ".join(name for name in positional if name not in _RECEIVERS) or "nothing"
    if not named:
        return f"{shorten(value)} is one argument too many: it takes {taken}"
    choices = ", ".join(f"{name}=" for name in named[:_SHOWN])
    return f"{shorten(value)} needs a name, such as {choices} (without a name: {taken})"


def _find_place(name: str, function: Callable[..., Any]) -> str:
    """Return a hint about an unknown argument: the name, or the function, that is meant."""
    known = list(_names(function))
    if near := suggest(name, known):
        return near
    if owners := _find_owners(name, function):
        return f"(it is an argument of {owners})"
    for synonym in SYNONYMS.get(name, ()):
        if owners := _find_owners(synonym, function):
            return f"(write {synonym}=... in {owners})"
    if near := _suggest_in_family(name, function):
        return near
    if "arguments" in known:
        return f"(write arguments={{{name!r}: ...}} for an argument of the script)"
    return did_you_mean(name, known)


def _find_owners(name: str, function: Callable[..., Any]) -> str:
    owners = [label for label, names in _ARGUMENTS.items() if name in names]
    return " or ".join(owner for owner in owners[:_SHOWN] if owner != _label(function))


def _suggest_in_family(name: str, function: Callable[..., Any]) -> str:
    """Return a hint about an argument of another method of the same class."""
    family = _label(function).partition(".")[0]
    methods = {k: names for k, names in _ARGUMENTS.items() if k.partition(".")[0] == family}
    nearest = suggest(name, [each for names in methods.values() for each in names])
    for label, names in methods.items():
        if nearest and suggest(name, names) == nearest:
            return f"{nearest[:-1]} It is an argument of {label})"
    return ""


@cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _label(function: Callable[..., Any]) -> str:
    """Return the name by which a function is called; the class's for ``__init__``."""
    owner, dot, name = function.__qualname__.rpartition(".")
    return f"{_CALLED_AS.get(owner, owner)}{dot}{name}".removesuffix(".__init__")


def _names(function: Callable[..., Any]) -> Iterator[str]:
    """Yield the names of the public arguments of a function."""
    for each in _signature(function).parameters.values():
        if each.kind in _NAMED and each.name not in _RECEIVERS and not each.name.startswith("_"):
            yield each.name
