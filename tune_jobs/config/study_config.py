"""study.yaml: everything that `tune-jobs run study.yaml` needs to know, checked before it starts.

    study: digits
    script: train.py
    metric: accuracy
    direction: maximize
    parameters:
      lr: {type: float, low: 1e-5, high: 1e-1, log: true}
      batch_size: [32, 64, 128]
    n_trials: 100
    max_parallel: 8

`load_study` only reads; `make_sampler`, `make_pruner` and `make_command_line` build. What may be
written under a key stands with the attributes of `StudyConfig`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from tune_jobs.config.choices import (
    PRUNERS,
    SAMPLERS,
    Choice,
    argument_types,
    at_place,
    build_pruner,
    build_sampler,
    read_argument,
    read_choice,
    usual_sampler,
)
from tune_jobs.core.costs import Prices
from tune_jobs.core.objectives import Bound, Metric
from tune_jobs.core.promotion import Promotion
from tune_jobs.space.search_space import Space, declared_space
from tune_jobs.space.yaml_source import Located, load, loads
from tune_jobs.tuning.suggest import Duplicates

if TYPE_CHECKING:
    from tune_jobs.script.command_line import CommandLine

Direction = Literal["minimize", "maximize"]


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class FinalConfig:
    """The final run: arguments that replace or extend the best trial's, and what it runs on."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyConfig:
    """What a study.yaml says; None where it says nothing.

    Attributes:
        study: `study`, the name.
        space: `parameters` and `constraints`.
        metrics: `metric` or `metrics`: a name, or a mapping of `name`, `goal`, `counts`, `pattern`.
        directions: `direction`, or the `goal` of each metric.
        storage: `storage`; a SQLite file named after the study in the working directory if absent.
        script: `script`; one of `script`, `module` and `command` is set.
        module: `module`.
        command: `command`, a list of texts.
        python: `python`, the interpreter of script and module.
        metric_constraints: `metric_constraints`: a metric to `<= NUMBER` or `>= NUMBER`.
        step: `step`, the name under which the script prints its steps.
        metrics_file: `metrics_file`, a file that the script writes.
        extra_metrics: `extra_metrics`, a list of further metrics to record.
        command_line: `command_line`; see `make_command_line`.
        n_trials: `n_trials`.
        timeout: `timeout`, in seconds; written as 90s, 30m, 2h, 1d or seconds.
        max_parallel: `max_parallel`.
        max_failures, max_failure_rate: likewise.
        max_run_hours, max_cost, target, patience: likewise; see `Tuner.optimize`.
        data: `data`, a list of files that the script reads; see `Tuner`.
        duplicates: `duplicates`: reuse, replicate or run.
        prices: `prices`, money per run hour by shape or backend.
        promotion: `promotion`, a mapping of `argument`, `minimum`, `maximum`, and the rest of
            `Promotion`'s settings.
        sampler: `sampler`: a name, or a mapping of `name` and arguments; see `make_sampler`.
        pruner: `pruner`, likewise; see `make_pruner`.
        store: `store`, the URI of the metric store.
        backend: `backend`, a type, or a mapping that has one (`local` if it is absent); see
            `make_backend`.
        final: `final`: `arguments`, `resources`.
        places: Where each key is written, for messages: `study.yaml:12`.
    """

    study: str
    space: Space
    metrics: tuple[Metric, ...]
    directions: tuple[Direction, ...]
    storage: str = field(repr=False)  # may hold a password
    script: str | None = None
    module: str | None = None
    command: tuple[str, ...] | None = None
    python: str | None = None
    metric_constraints: Mapping[str, str] = field(default_factory=dict)
    step: str | None = None
    metrics_file: str | None = None
    extra_metrics: tuple[str, ...] = ()
    command_line: Mapping[str, Any] | None = None
    n_trials: int | None = None
    timeout: float | None = None
    max_parallel: int | None = None
    max_failures: int | None = None
    max_failure_rate: float | None = None
    max_run_hours: float | None = None
    max_cost: float | None = None
    target: float | None = None
    patience: int | None = None
    data: tuple[str, ...] = ()
    duplicates: Duplicates = "reuse"
    prices: Mapping[str, float] = field(default_factory=dict)
    promotion: Promotion | None = None
    sampler: Choice | None = None
    pruner: Choice | None = None
    store: str | None = None
    backend: Mapping[str, Any] = field(default_factory=lambda: {"type": "local"}, repr=False)
    final: FinalConfig | None = None
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


_KEYS = (
    *("study", "storage", "direction", "script", "module", "command", "python"),
    *("metric", "metrics", "metric_constraints", "step", "metrics_file", "extra_metrics", "data"),
    *("parameters", "constraints", "command_line"),
    *("n_trials", "timeout", "max_parallel", "max_failures", "max_failure_rate"),
    *("max_run_hours", "max_cost", "target", "patience", "duplicates", "prices", "promotion"),
    *("sampler", "pruner", "store", "backend", "final"),
)


def load_study(path: str | os.PathLike[str]) -> StudyConfig:
    """Read a study.yaml.

    Raises:
        ConfigError: it cannot be read or something in it is wrong; the message has the line, the
            key, the value and what to write instead.
    """
    document = load(path)
    fields = document.fields(*_KEYS)
    for key in ("study", "parameters"):
        if key not in fields:
            raise document.error(f"has no {key!r}: add `{key}: ...`")
    name = fields["study"].string()
    metrics, directions = _metrics(document, fields)
    if "pruner" in fields and len(metrics) > 1:
        raise fields["pruner"].error("Optuna prunes on a single metric only: remove it")
    return StudyConfig(
        study=name,
        space=_space(fields),
        metrics=metrics,
        directions=directions,
        storage=_text(fields, "storage") or _default_storage(name),
        **_entry(document, fields),
        python=_text(fields, "python"),
        metric_constraints=_metric_constraints(fields),
        step=_text(fields, "step"),
        metrics_file=_text(fields, "metrics_file"),
        extra_metrics=_texts(fields, "extra_metrics"),
        command_line=_plain_mapping(fields, "command_line"),
        n_trials=_integer(fields, "n_trials", at_least=1),
        timeout=_seconds(fields["timeout"]) if "timeout" in fields else None,
        max_parallel=_integer(fields, "max_parallel", at_least=1),
        max_failures=_integer(fields, "max_failures", at_least=0),
        max_failure_rate=_number(fields, "max_failure_rate"),
        max_run_hours=_number(fields, "max_run_hours"),
        max_cost=_number(fields, "max_cost"),
        target=_number(fields, "target"),
        patience=_integer(fields, "patience", at_least=1),
        data=_texts(fields, "data"),
        duplicates=_duplicates(fields),
        prices=_prices(fields),
        promotion=_promotion(fields["promotion"]) if "promotion" in fields else None,
        sampler=read_choice(fields["sampler"], SAMPLERS) if "sampler" in fields else None,
        pruner=read_choice(fields["pruner"], PRUNERS) if "pruner" in fields else None,
        store=_text(fields, "store"),
        backend=_backend(fields),
        final=_final(fields),
        places={key: item.place for key, item in fields.items()},
    )


def make_sampler(config: StudyConfig) -> BaseSampler:
    """The sampler that the study asks for, or the usual one for its space.

    Raises:
        ConfigError: it needs a package that is not installed, or a grid of something endless.
    """
    return build_sampler(config.sampler or usual_sampler(config.space), config.space)


def make_pruner(config: StudyConfig) -> BasePruner | None:
    """The pruner that the study asks for; None leaves it to Optuna.

    Raises:
        ConfigError: it needs a package that is not installed, or refuses its arguments.
    """
    return build_pruner(config.pruner) if config.pruner else None


def pruner_from(text: str) -> BasePruner:
    """A pruner from its name, or from YAML as under `pruner`.

    Raises:
        ConfigError: there is no such pruner, or its arguments are wrong.
    """
    return build_pruner(read_choice(loads(text, "--pruner"), PRUNERS))


def promotion_from(text: str) -> Promotion:
    """A promotion from YAML as under `promotion`.

    Raises:
        ConfigError: something in it is missing or wrong.
    """
    return _promotion(loads(text, "--promotion"))


def make_command_line(config: StudyConfig) -> CommandLine:
    """The command line that the study describes, or the usual one.

    Raises:
        ConfigError: the description is wrong.
    """
    from tune_jobs.script.command_line import CommandLine

    with at_place(config.places.get("command_line", "")):
        return CommandLine.from_dict(config.command_line or {})


def _text(fields: Mapping[str, Located], key: str) -> str | None:
    return fields[key].string() if key in fields else None


def _texts(fields: Mapping[str, Located], key: str) -> tuple[str, ...]:
    return tuple(item.string() for item in fields[key].items()) if key in fields else ()


def _integer(fields: Mapping[str, Located], key: str, at_least: int) -> int | None:
    return fields[key].integer(at_least) if key in fields else None


def _number(fields: Mapping[str, Located], key: str) -> float | None:
    return fields[key].number() if key in fields else None


def _plain_mapping(fields: Mapping[str, Located], key: str) -> dict[str, Any] | None:
    if key not in fields:
        return None
    fields[key].mapping()
    return cast(dict[str, Any], fields[key].plain())


def _default_storage(study: str) -> str:
    return "sqlite:///" + re.sub(r"[^\w.-]", "_", study) + ".db"


def _seconds(duration: Located) -> float:
    if isinstance(duration.value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", duration.value.strip(), re.ASCII)
        if found is None:
            raise duration.error(f"{duration.value!r} is no duration: write 90s, 30m, 2h or 1d")
        seconds = float(found[1]) * _SECONDS[found[2]]
    else:
        seconds = duration.number()
    if not 0 < seconds < float("inf"):
        raise duration.error(f"{duration.value!r} is no duration: write one above 0, as 30m")
    return seconds


def _space(fields: Mapping[str, Located]) -> Space:
    constraints = fields["constraints"].items() if "constraints" in fields else []
    return declared_space(fields["parameters"], constraints)


def _entry(document: Located, fields: Mapping[str, Located]) -> dict[str, Any]:
    given = [key for key in ("script", "module", "command") if key in fields]
    if not given:
        raise document.error("has nothing to run: add `script: train.py`, or `module`, `command`")
    if len(given) > 1:
        raise fields[given[1]].error(f"{given[0]!r} is given as well: keep one of them")
    if given == ["command"]:
        if "python" in fields:
            raise fields["python"].error("has no use beside 'command': remove it")
        words = tuple(word.string() for word in fields["command"].items())
        if not words:
            raise fields["command"].error("is empty: write a list such as [./train]")
        return {"command": words}
    return {given[0]: fields[given[0]].string()}


def _metrics(
    document: Located, fields: Mapping[str, Located]
) -> tuple[tuple[Metric, ...], tuple[Direction, ...]]:
    if "metric" in fields and "metrics" in fields:
        raise fields["metrics"].error("'metric' is given as well: keep one of them")
    if "metric" in fields:
        metric, goal = _metric(fields["metric"], fields.get("direction"))
        return (metric,), (goal,)
    if "metrics" not in fields:
        raise document.error("has no metric: add `metric: NAME`, as the script prints it")
    if "direction" in fields:
        raise fields["direction"].error("has no use beside 'metrics': give each metric its `goal`")
    pairs = [_metric(item, None) for item in fields["metrics"].items()]
    if not pairs:
        raise fields["metrics"].error("is empty: write a list of metrics")
    names = [metric.name for metric, _ in pairs]
    for number, item in enumerate(fields["metrics"].items()):
        if names[number] in names[:number]:
            raise item.error(f"metric {names[number]!r} is listed twice: remove one")
    return tuple(metric for metric, _ in pairs), tuple(goal for _, goal in pairs)


def _metric(written: Located, direction: Located | None) -> tuple[Metric, Direction]:
    if isinstance(written.value, dict):
        fields = written.fields("name", "goal", "counts", "pattern")
        if "name" not in fields:
            raise written.error("has no name: add `name: ...`, as the script prints it")
    else:
        fields = {"name": written}
    goal = fields.get("goal", direction)
    if goal is None:
        raise written.error(
            "does not say what is better: add `direction: maximize` or `direction: minimize`, "
            "or write {name: ..., goal: maximize}"
        )
    better = cast(Direction, goal.one_of("minimize", "maximize"))
    if direction and direction.value != better:
        raise goal.error(f"{better!r} contradicts direction {direction.value!r}: keep one")
    texts = {key: fields[key].string() for key in ("name", "counts", "pattern") if key in fields}
    with at_place(written.place):
        return Metric(**cast(dict[str, Any], texts)), better


def _metric_constraints(fields: Mapping[str, Located]) -> dict[str, str]:
    if "metric_constraints" not in fields:
        return {}
    written = fields["metric_constraints"].mapping()
    bounds = {name: bound.string() for name, bound in written.items()}
    for name, bound in bounds.items():
        with at_place(written[name].place):
            Bound.parse(name, bound)
    return bounds


def _backend(fields: Mapping[str, Located]) -> dict[str, Any]:
    if "backend" in fields and isinstance(fields["backend"].value, str):
        return {"type": fields["backend"].string()}
    backend = _plain_mapping(fields, "backend") or {}
    if "type" in backend:
        fields["backend"].mapping()["type"].string()
    return {"type": "local", **backend}


def _prices(fields: Mapping[str, Located]) -> dict[str, float]:
    if "prices" not in fields:
        return {}
    prices = {shape: price.number() for shape, price in fields["prices"].mapping().items()}
    with at_place(fields["prices"].place):
        return dict(Prices(prices).per_hour)


def _duplicates(fields: Mapping[str, Located]) -> Duplicates:
    if "duplicates" not in fields:
        return "reuse"
    return cast(Duplicates, fields["duplicates"].one_of(*get_args(Duplicates)))


def _promotion(written: Located) -> Promotion:
    types = argument_types(Promotion)
    settings = written.fields(*types)
    for name in ("argument", "minimum", "maximum"):
        if name not in settings:
            raise written.error(f"has no {name!r}: add `{name}: ...`")
    with at_place(written.place):
        given = {name: read_argument(item, types[name]) for name, item in settings.items()}
        return Promotion(**given)


def _final(fields: Mapping[str, Located]) -> FinalConfig | None:
    if "final" not in fields:
        return None
    final = fields["final"].fields("arguments", "resources")
    return FinalConfig(
        _plain_mapping(final, "arguments") or {}, _plain_mapping(final, "resources") or {}
    )
