"""Options of a `Tuner` and limits of a call of ``optimize``.

Each option is declared once: its type and default are those of a dataclass field, and the field's
metadata hold its documentation, the values that it accepts, and its key in study.yaml. From these
come the checks of arguments, the docstrings of `Tuner`, and the keys of study.yaml.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args

from tune_jobs.core.costs import Prices
from tune_jobs.core.objectives import Bound, Metric
from tune_jobs.core.outcomes import Diverged
from tune_jobs.core.promotion import Promotion
from tune_jobs.core.snapshot import Progress, Verbosity
from tune_jobs.errors import ConfigError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.interface import CommandFunction
from tune_jobs.space.yaml_arguments import at_place
from tune_jobs.space.yaml_source import Located
from tune_jobs.tuning.option_kinds import (
    CALLABLE,
    PATH,
    PATHS,
    SECONDS,
    STRING,
    STRINGS,
    Kind,
    accepting,
    instance_of,
    integer,
    number,
    one_of,
    parsed,
    settings_of,
)

Direction = Literal["minimize", "maximize"]
Duplicates = Literal["reuse", "replicate", "run"]
Then = Literal["train_best"]

_Documented = TypeVar("_Documented", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declared:
    """Declaration of an option.

    Args:
        name: Name of the argument.
        default: Default value; ``dataclasses.MISSING`` if there is none.
        doc: Documentation.
        kind: Values that it accepts; None is accepted as well if it is the default.
        key: Key in study.yaml; None if there is none.
    """

    name: str
    default: Any
    doc: str
    kind: Kind
    key: str | None


def _option(doc: str, kind: Kind, *, key: str = "") -> dict[str, Any]:
    """Return the metadata of a field; ``key`` is that of study.yaml if it is not the name."""
    return {"doc": doc, "kind": kind, "key": key}


def declared(cls: type[Any]) -> list[Declared]:
    """Return the options that a dataclass declares."""
    found = []
    for each in fields(cls):
        kind: Kind = each.metadata["kind"]
        key = (each.metadata["key"] or each.name) if kind.read is not None else None
        found.append(Declared(each.name, each.default, each.metadata["doc"], kind, key))
    return found


def select(cls: type[Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the arguments that are options of a dataclass."""
    return {option.name: arguments[option.name] for option in declared(cls)}


def check(options: Any) -> None:
    """Check the values of an instance of a dataclass of options.

    Raises:
        ConfigError: If a value is invalid; the message names the option and says what is valid.
    """
    for option in declared(type(options)):
        value = getattr(options, option.name)
        if value is not None or option.default is not None:
            option.kind.check(option.name, value)


def read(cls: type[Any], written: Mapping[str, Located]) -> dict[str, Any]:
    """Return the options that are written in study.yaml.

    Args:
        cls: Dataclass of options.
        written: Values by key.

    Raises:
        ConfigError: If a value is invalid; the message has its place.
    """
    options = {}
    for option in declared(cls):
        if option.key is not None and option.key in written and option.kind.read is not None:
            options[option.name] = option.kind.read(written[option.key])
    return options


def documents(cls: type[Any]) -> Callable[[_Documented], _Documented]:
    """Return a decorator that lists the options of a dataclass in a docstring.

    They replace the line ``options: ...`` of its ``Args`` section.
    """

    def decorate(documented: _Documented) -> _Documented:
        if documented.__doc__:  # None under python -OO
            documented.__doc__ = re.sub(
                r"^( +)options: .*$",
                lambda line: "\n".join(_paragraph(option, line[1]) for option in declared(cls)),
                documented.__doc__,
                flags=re.MULTILINE,
            )
        return documented

    return decorate


def _paragraph(option: Declared, indent: str) -> str:
    return textwrap.fill(
        f"{option.name}: {option.doc}",
        width=100,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_on_hyphens=False,
    )


def _parse_bounds(bounds: Mapping[str, str]) -> None:
    for name, bound in bounds.items():
        Bound.parse(name, bound)


def _parse_prices(prices: Mapping[str, float]) -> None:
    for shape, price in prices.items():
        number().check(f"prices[{shape!r}]", price)
    Prices(prices)


def _read_command_line(written: Located) -> CommandLine:
    written.mapping()
    with at_place(written.place):
        return CommandLine.from_dict(written.plain())


def _is_progress(value: object) -> bool:
    methods = ("update", "say", "close")
    return isinstance(value, bool) or all(callable(getattr(value, m, None)) for m in methods)


@dataclass(frozen=True, kw_only=True)
class TunerOptions:
    """Options of a `Tuner`.

    Raises:
        ConfigError: If the value of an option is invalid.
    """

    metric: str | Metric | Sequence[str | Metric] = field(
        metadata=_option(
            "What the script reports and the study optimizes: a name, a `Metric`, or one of them "
            "for each direction of the study.",
            instance_of((str, Metric, Sequence), "a name, a Metric, or a list of them"),
        )
    )
    max_parallel: int = field(
        default=4, metadata=_option("Maximum number of live job runs.", integer(1))
    )
    store: str | os.PathLike[str] | None = field(
        default=None,
        metadata=_option(
            "Metric store: a folder, or any URI that fsspec knows. By default ``runs``.", PATH
        ),
    )
    command_line: CommandLine | CommandFunction | None = field(
        default=None,
        metadata=_option(
            "How the script takes its parameters, by default ``--batch-size=64`` for "
            "``batch_size``: a `CommandLine`, or a function ``(params, paths) -> list[str]`` of "
            "the parameters (with overrides such as a promotion's budget) and the run's folders "
            "(`RunPaths`).",
            accepting(
                "a CommandLine or a function (params, paths) -> list[str]",
                lambda value: isinstance(value, CommandLine) or callable(value),
                _read_command_line,
                yaml="a mapping of the arguments of `CommandLine`; functions need Python",
            ),
        ),
    )
    direction: str | None = field(
        default=None,
        metadata=_option(
            "``maximize`` or ``minimize``, for a study given by name.",
            one_of(*get_args(Direction), in_yaml=False),
        ),
    )
    valid: Callable[[dict[str, Any]], bool | str | None] | None = field(
        default=None,
        metadata=_option(
            "Constraint on configurations: returns True, or False or the reason why a "
            "configuration is refused. No run is started for a refused configuration.",
            CALLABLE,
        ),
    )
    bounds: Mapping[str, str] | None = field(
        default=None,
        metadata=_option(
            'Constraints on further metrics, ``{"memory_mb": "<= 2000"}``, for samplers that '
            "support constraints. A trial that violates one cannot be the best: it neither "
            "reaches ``target`` nor counts for ``patience``, and is not trained.",
            parsed(
                "a mapping of metrics to '<= NUMBER' or '>= NUMBER'", _parse_bounds, Located.string
            ),
            key="metric_constraints",
        ),
    )
    step: str | None = field(
        default=None,
        metadata=_option("Name under which the script prints its step (``epoch``).", STRING),
    )
    metrics_file: str | None = field(
        default=None,
        metadata=_option(
            "File with metrics that the script writes, relative to its working directory.", STRING
        ),
    )
    extra_metrics: Sequence[str] = field(
        default=(),
        metadata=_option("Metrics to record in addition to the optimized ones.", STRINGS),
    )
    max_failures: int | None = field(
        default=None,
        metadata=_option("Failed trials above which ``optimize`` gives up.", integer(0)),
    )
    max_failure_rate: float | None = field(
        default=None,
        metadata=_option(
            "Share of failed trials above which ``optimize`` gives up, once ten have finished.",
            number(0, 1),
        ),
    )
    diverged: Diverged = field(
        default="fail",
        metadata=_option(
            "What becomes of a trial whose run ends well and whose metric is NaN or infinite: "
            "``fail`` makes it a failed trial, which counts for ``max_failures``; ``prune`` a "
            "pruned one, which does not. It has no value, and samplers rank it as the worst.",
            one_of(*get_args(Diverged)),
        ),
    )
    diverged_steps: int | None = field(
        default=None,
        metadata=_option(
            "Values in a row that are NaN or infinite after which a run is stopped as diverged. "
            "By default it is left to finish: its metric may recover.",
            integer(1),
        ),
    )
    promotion: Promotion | None = field(
        default=None,
        metadata=_option(
            "Start configurations with a small budget and promote the best ones, from their "
            "checkpoints, to larger budgets; see `Promotion`. The study's pruner is not used.",
            settings_of(Promotion),
        ),
    )
    prices: Mapping[str, float] | None = field(
        default=None,
        metadata=_option(
            "Cost per run hour by compute shape, or by the backend's name (``{'local': 0.1}``).",
            parsed("a mapping of shapes to costs per hour", _parse_prices, Located.number),
        ),
    )
    duplicates: Duplicates = field(
        default="reuse",
        metadata=_option(
            "What to do with a suggested configuration that an earlier trial had: ``reuse`` that "
            "trial's values without a run, ``replicate`` it with another ``--seed`` (see "
            "`Tuner.replicate`), or ``run`` it again. Enqueued trials always run, and with "
            "promotion all trials do.",
            one_of(*get_args(Duplicates)),
        ),
    )
    data: Sequence[str | os.PathLike[str]] = field(
        default=(),
        metadata=_option(
            "Files that the script reads. Their fingerprints are stored with the study, to warn "
            "if compared studies differ in them, and in the provenance of a final run.",
            PATHS,
        ),
    )
    progress: bool | Progress = field(
        default=True,
        metadata=_option(
            "Whether to show progress, or a `Progress` that shows it.",
            accepting("True, False or a Progress", _is_progress),
        ),
    )
    verbosity: Verbosity = field(
        default="normal",
        metadata=_option(
            "What the progress shows: ``quiet`` only warnings; ``normal`` also a table in a "
            "notebook or terminal, and elsewhere a line about each finished trial and the best "
            "ones at the end; ``verbose`` also each run that is started, and configurations that "
            "are refused or known.",
            one_of(*get_args(Verbosity)),
        ),
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class CallLimits:
    """Limits of a call of ``optimize``.

    Raises:
        ConfigError: If the value of a limit is invalid.
    """

    n_trials: int | None = field(
        default=None,
        metadata=_option(
            "Trials to finish in this call; a configuration that is promoted counts once.",
            integer(0, in_yaml_at_least=1),
        ),
    )
    timeout: float | None = field(
        default=None, metadata=_option("Seconds after which no trial is started.", SECONDS)
    )
    max_run_hours: float | None = field(
        default=None,
        metadata=_option(
            "Hours that all job runs of the study may use, those of earlier calls, final runs and "
            "controllers on OCI included. A run is started only if the live runs, up to their "
            "expected end, leave room for it; if the limit is reached nevertheless, live runs are "
            "stopped.",
            number(0),
        ),
    )
    max_cost: float | None = field(
        default=None,
        metadata=_option("The same for the cost of all job runs; needs ``prices``.", number(0)),
    )
    target: float | None = field(
        default=None,
        metadata=_option(
            "Value that is good enough: once a feasible trial reaches it, live runs are stopped.",
            number(),
        ),
    )
    patience: int | None = field(
        default=None,
        metadata=_option(
            "Consecutive trials without a better value after which no trial is started. Only "
            "trials that could have been the best count: complete, feasible, no replicates.",
            integer(1),
        ),
    )

    def __post_init__(self) -> None:
        check(self)

    def check_use(self, *, single_objective: bool, has_prices: bool) -> None:
        """Check that a tuner can apply the limits.

        Raises:
            ConfigError: If no budget is limited, or a limit does not apply to the study.
        """
        budget = (self.n_trials, self.timeout, self.max_run_hours, self.max_cost)
        if all(limit is None for limit in budget):
            raise ConfigError(
                "say how much to spend: optimize(n_trials=...), timeout=... seconds, "
                "max_run_hours=... or max_cost=..."
            )
        if not single_objective and (self.target is not None or self.patience is not None):
            raise ConfigError("target and patience need a single metric: leave them out")
        if self.max_cost is not None and not has_prices:
            raise ConfigError("max_cost needs prices: Tuner(prices={'VM.Standard.E4.Flex': 0.05})")
