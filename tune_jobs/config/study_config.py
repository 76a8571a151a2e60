"""Read and validate study.yaml before anything is started.

    study: digits
    script: train.py
    metric: accuracy
    direction: maximize
    parameters:
      lr: {type: float, low: 1e-5, high: 1e-1, log: true}
      batch_size: [32, 64, 128]
    n_trials: 100
    max_parallel: 8

`load_study` only reads; `make_sampler` and `make_pruner` build. `documented_keys` lists all keys.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from tune_jobs.config.choices import (
    PRUNERS,
    SAMPLERS,
    Choice,
    build_pruner,
    build_sampler,
    default_sampler,
    read_choice,
)
from tune_jobs.core.objectives import Metric
from tune_jobs.core.promotion import Promotion
from tune_jobs.errors import ConfigError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.space.declaration import declared_space
from tune_jobs.space.search_space import Space
from tune_jobs.space.yaml_arguments import at_place
from tune_jobs.space.yaml_source import Located, load, loads, located
from tune_jobs.storage.opening import find_url_problem
from tune_jobs.tuning.option_kinds import settings_of
from tune_jobs.tuning.options import (
    CallLimits,
    Direction,
    Then,
    TunerOptions,
    declared,
    read,
)
from tune_jobs.tuning.spec import settable_arguments


@dataclass(frozen=True)
class FinalConfig:
    """The final run.

    Attributes:
        arguments: Arguments that replace or extend the best trial's.
        resources: Resources that replace those of the trials' runs.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)


_KEYS: Mapping[str, str] = {
    "study": "Name of the study. Required.",
    "storage": "Optuna storage URL; by default a SQLite file beside study.yaml, named after the "
    "study.",
    "script": "Script to run. One of `script`, `module` and `command` is required.",
    "module": "Module to run.",
    "command": "Command to run, a list of strings.",
    "python": "Interpreter of `script` or `module`.",
    "metric": "Metric to optimize: its name, or a mapping of `name`, `goal`, `counts` and "
    "`pattern`. One of `metric` and `metrics` is required.",
    "metrics": "Several metrics to optimize, a list of mappings as under `metric`, each with its "
    "`goal`.",
    "direction": "`minimize` or `maximize`, unless the metric has a `goal`.",
    "parameters": "Search space: each parameter's choices, or a mapping of its `type` and range. "
    "Required.",
    "constraints": "Expressions that every configuration has to satisfy, a list of strings.",
    "sampler": f"Sampler: a name ({', '.join(SAMPLERS)}), or a mapping of `name` and arguments.",
    "pruner": f"Pruner: a name ({', '.join(PRUNERS)}), or a mapping of `name` and arguments.",
    "backend": "Backend: its type, `local` (default) or `data_science`, or a mapping of `type` "
    "and options.",
    "final": "Final run: mappings `arguments` and `resources`.",
    "controller": "What `--detach` leaves the tuning to: `local`, or for a job run on OCI a "
    "mapping of its `shape`, `ocpus`, `memory_gb`, `conda` and others.",
    "then": "What follows the tuning, in the process that tunes: `train_best` trains the best "
    "configuration once, as `final` says, unless the tuning was stopped on request.",
}
"""Documentation of the keys that are neither options of a `Tuner` nor limits."""


def documented_keys() -> dict[str, str]:
    """Return all keys of study.yaml with their documentation, as Markdown."""
    options = [option for cls in (TunerOptions, CallLimits) for option in declared(cls)]
    return dict(_KEYS) | {
        option.key: f"{option.doc} Write {option.kind.yaml or option.kind.label}."
        for option in options
        if option.key is not None
    }


_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("env", "link", "grace", "time_limit", "nodes"), "under `backend:`"),
    **dict.fromkeys(("shape", "ocpus", "memory_gb", "conda", "job"), "under `backend:`"),
    "seed": "under `sampler:`",
    "epochs": "under `parameters:` as a constant",
    "arguments": "under `command_line:`, or under `final:` for the final run",
    "constants": "under `parameters:`",
}
"""Where keys belong that many write at the top level."""

FILL_IN = "FILL IN"
"""Stands in a study.yaml for what a person has to write; such a file is not accepted."""

_BLANKS: Mapping[str, str] = {
    "metric": "write the name of the metric, as the script prints it",
    "direction": "write maximize or minimize",
    "parameters": "write the parameters to tune, such as `lr: {type: float, low: 1e-5, high: 0.1}`",
}


_LOCAL = located({"type": "local"}, "backend")


@dataclass(frozen=True)
class StudyConfig:
    """Contents of a study.yaml.

    Attributes:
        study: Name of the study.
        space: Search space with its constraints.
        directions: Direction of each metric.
        storage: URL of the Optuna storage.
        options: Options of the tuner; paths are relative to the file.
        limits: Limits of a call of ``optimize``.
        script, module, command: What to run; exactly one of them is set.
        python: Interpreter of script and module.
        sampler, pruner: None if the file names none.
        backend: A mapping of ``type`` and the options of the backend.
        final: The final run.
        then: What follows the tuning.
        controller: What `--detach` leaves the tuning to; None if the file does not say it.
        places: Place of each key, such as ``study.yaml:12``.
    """

    study: str
    space: Space
    directions: tuple[Direction, ...]
    storage: str = field(repr=False)  # may contain a password
    options: TunerOptions
    limits: CallLimits = field(default_factory=CallLimits)
    script: str | None = None
    module: str | None = None
    command: tuple[str, ...] | None = None
    python: str | None = None
    sampler: Choice | None = None
    pruner: Choice | None = None
    backend: Located = field(repr=False, compare=False, default_factory=lambda: _LOCAL)
    final: FinalConfig | None = None
    then: Then | None = None
    controller: Located | None = field(default=None, repr=False, compare=False)
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


def load_study(path: str | os.PathLike[str]) -> StudyConfig:
    """Read a study.yaml.

    Raises:
        ConfigError: If the file cannot be read or is invalid; the message has the line, the key,
            the value and the fix.
    """
    return read_study(load(path))


def read_study(document: Located) -> StudyConfig:
    """Read the document of a study.yaml.

    Raises:
        ConfigError: If it is invalid, or if something is still to be filled in.
    """
    written = document.fields(*documented_keys(), elsewhere=_ELSEWHERE)
    _check_filled_in(document)
    for key in ("study", "parameters"):
        if key not in written:
            raise document.error(f"has no {key!r}: add `{key}: ...`")
    name = written["study"].string()
    metrics, directions = _read_metrics(document, written)
    if "pruner" in written and len(metrics) > 1:
        raise written["pruner"].error("Optuna prunes on a single metric only: remove it")
    if "then" in written and len(metrics) > 1:
        raise written["then"].error(
            "the best of several metrics is a choice: remove it, and run `tune-jobs train-best "
            "--pick` afterwards"
        )
    space, final = _read_space(written), _read_final(written)
    options = TunerOptions(metric=metrics, **read(TunerOptions, written))
    return StudyConfig(
        study=name,
        space=space,
        directions=directions,
        storage=_read_storage(written) or _default_storage(name),
        options=_check_described(written, options, space, final),
        limits=CallLimits(**read(CallLimits, written)),
        **_read_entry_point(document, written),
        python=_read_string(written, "python"),
        sampler=read_choice(written["sampler"], SAMPLERS) if "sampler" in written else None,
        pruner=read_choice(written["pruner"], PRUNERS) if "pruner" in written else None,
        backend=_read_backend(written),
        final=final,
        then=cast(Then, written["then"].one_of(*get_args(Then))) if "then" in written else None,
        controller=written.get("controller"),
        places={key: item.place for key, item in written.items()},
    )


def find_blanks(document: Located) -> list[Located]:
    """Return the values of a document that hold `FILL_IN`."""
    if isinstance(document.value, dict):
        return [blank for item in document.value.values() for blank in find_blanks(item)]
    if isinstance(document.value, list):
        return [blank for item in document.value for blank in find_blanks(item)]
    is_blank = isinstance(document.value, str) and FILL_IN in document.value
    return [document] if is_blank else []


def _check_filled_in(document: Located) -> None:
    blanks = find_blanks(document)
    if not blanks:
        return
    listed = [
        f"{blank.place}: {blank.name}: {_BLANKS.get(blank.name, f'complete {blank.value!r}')}"
        for blank in blanks
    ]
    raise ConfigError("\n  ".join([f"values are still to be filled in ({FILL_IN}):", *listed]))


def make_sampler(config: StudyConfig) -> BaseSampler:
    """Return the configured sampler, or the default one for the search space.

    Raises:
        ConfigError: If the sampler needs a package that is not installed, or is a grid over a
            space that is infinite or too large.
    """
    return build_sampler(config.sampler or default_sampler(config.space), config.space)


def make_pruner(config: StudyConfig) -> BasePruner | None:
    """Return the configured pruner; None leaves the choice to Optuna.

    Raises:
        ConfigError: If the pruner needs a package that is not installed, or rejects its arguments.
    """
    return build_pruner(config.pruner) if config.pruner else None


def parse_pruner(string: str) -> BasePruner:
    """Return a pruner from its name, or from YAML as under ``pruner``.

    Raises:
        ConfigError: If the pruner is unknown, or its arguments are invalid.
    """
    return build_pruner(read_choice(loads(string, "--pruner"), PRUNERS))


def parse_promotion(string: str) -> Promotion:
    """Return a promotion from YAML as under ``promotion``.

    Raises:
        ConfigError: If an argument is missing or invalid.
    """
    kind = settings_of(Promotion)
    assert kind.read is not None
    return cast(Promotion, kind.read(loads(string, "--promotion")))


def _read_string(written: Mapping[str, Located], key: str) -> str | None:
    return written[key].string() if key in written else None


def _read_storage(written: Mapping[str, Located]) -> str | None:
    storage = _read_string(written, "storage")
    if storage is not None and (problem := find_url_problem(storage)):
        raise written["storage"].error(problem)
    return storage


def _read_plain_mapping(written: Mapping[str, Located], key: str) -> dict[str, Any]:
    if key not in written:
        return {}
    written[key].mapping()
    return cast(dict[str, Any], written[key].plain())


def _default_storage(study: str) -> str:
    return "sqlite:///" + re.sub(r"[^\w.-]", "_", study) + ".db"


def _read_space(written: Mapping[str, Located]) -> Space:
    constraints = written["constraints"].items() if "constraints" in written else []
    return declared_space(written["parameters"], constraints)


def _read_entry_point(document: Located, written: Mapping[str, Located]) -> dict[str, Any]:
    given = [key for key in ("script", "module", "command") if key in written]
    if not given:
        raise document.error("has nothing to run: add `script: train.py`, or `module`, `command`")
    if len(given) > 1:
        raise written[given[1]].error(f"{given[0]!r} is given as well: keep one of them")
    if given == ["command"]:
        if "python" in written:
            raise written["python"].error("has no use beside 'command': remove it")
        command = written["command"]
        if isinstance(command.value, str):
            listed = ", ".join(command.value.split())
            raise command.error(f"{command.value!r} is not a list: write [{listed}]")
        words = tuple(word.string() for word in command.items())
        if not words:
            raise written["command"].error("is empty: write a list such as [./train]")
        return {"command": words}
    return {given[0]: written[given[0]].string()}


def _read_metrics(
    document: Located, written: Mapping[str, Located]
) -> tuple[tuple[Metric, ...], tuple[Direction, ...]]:
    if "metric" in written and "metrics" in written:
        raise written["metrics"].error("'metric' is given as well: keep one of them")
    if "metric" in written:
        metric, goal = _read_metric(written["metric"], written.get("direction"))
        return (metric,), (goal,)
    if "metrics" not in written:
        raise document.error("has no metric: add `metric: NAME`, as the script prints it")
    if "direction" in written:
        raise written["direction"].error("has no use beside 'metrics': give each metric its `goal`")
    pairs = [_read_metric(item, None) for item in written["metrics"].items()]
    if not pairs:
        raise written["metrics"].error("is empty: write a list of metrics")
    names = [metric.name for metric, _ in pairs]
    for number, item in enumerate(written["metrics"].items()):
        if names[number] in names[:number]:
            raise item.error(f"metric {names[number]!r} is listed twice: remove one")
    return tuple(metric for metric, _ in pairs), tuple(goal for _, goal in pairs)


def _read_metric(written: Located, direction: Located | None) -> tuple[Metric, Direction]:
    if isinstance(written.value, dict):
        fields = written.fields("name", "goal", "counts", "pattern")
        if "name" not in fields:
            raise written.error("has no name: add `name: ...`, as the script prints it")
    else:
        fields = {"name": written}
    goal = fields.get("goal", direction)
    if goal is None:
        raise written.error(
            "has no direction: add `direction: maximize` or `direction: minimize`, "
            "or write {name: ..., goal: maximize}"
        )
    better = cast(Direction, goal.one_of(*get_args(Direction)))
    if direction and direction.value != better:
        raise goal.error(f"{better!r} contradicts direction {direction.value!r}: keep one")
    strings = {key: fields[key].string() for key in ("name", "counts", "pattern") if key in fields}
    with at_place(written.place):
        return Metric(**cast(dict[str, Any], strings)), better


def _read_backend(written: Mapping[str, Located]) -> Located:
    backend = written.get("backend", _LOCAL)
    if isinstance(backend.value, str):
        return replace(backend, value={"type": backend})
    options = {**_LOCAL.mapping(), **backend.mapping()}
    options["type"].string()
    return replace(backend, value=options)


def _check_described(
    written: Mapping[str, Located], options: TunerOptions, space: Space, final: FinalConfig | None
) -> TunerOptions:
    """Check that the space has the parameters that the command line describes.

    Returns:
        The options; arguments of the final run may be described as well.
    """
    command_line = options.command_line
    if not isinstance(command_line, CommandLine):
        return options
    known = space.names | settable_arguments(options)
    final_only = set(final.arguments if final else ()).intersection(command_line.unused(known))
    overrides = (*command_line.overrides, *sorted(final_only))
    command_line = replace(command_line, overrides=overrides)
    unknown = command_line.unused(known)
    described = written["command_line"].mapping().get("parameters")
    where = described.mapping().get(unknown[0]) if described and unknown else None
    with at_place((where or written["command_line"]).place):
        command_line.check_described(known)
    return replace(options, command_line=command_line)


def _read_final(written: Mapping[str, Located]) -> FinalConfig | None:
    if "final" not in written:
        return None
    keys = ("arguments", "resources")
    others = dict.fromkeys(set(written["final"].mapping()) - set(keys), "under `arguments:`")
    final = written["final"].fields(*keys, elsewhere=others)
    return FinalConfig(
        _read_plain_mapping(final, "arguments"), _read_plain_mapping(final, "resources")
    )
