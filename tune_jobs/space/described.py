"""Search spaces of studies that were tuned before, from what is kept with the study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution

from tune_jobs.core.strict_json import encode_exact_json
from tune_jobs.space.expressions import Expression
from tune_jobs.space.search_space import Parameter, Space

_CLASSES = {
    "float": "FloatDistribution",
    "int": "IntDistribution",
    "categorical": "CategoricalDistribution",
}


def read_space(
    described: Mapping[str, Any], known: Mapping[str, BaseDistribution] | None = None
) -> Space:
    """Return the search space that `Space.describe` described.

    Of a function, only the names of its parameters are kept: the ranges are those of ``known``, and
    its conditions are missing. The function that checks configurations is missing, too.

    Args:
        described: What was kept; empty if the study was never tuned by tune_jobs.
        known: Distributions that trials of the study have.
    """
    written: Mapping[str, Any] = described.get("parameters", {})
    parameters = tuple(_read_parameter(name, entry) for name, entry in written.items())
    if not parameters:
        parameters = tuple(Parameter(name, each) for name, each in (known or {}).items())
    return Space(
        parameters=parameters,
        constraints=tuple(map(Expression.parse, described.get("constraints", ()))),
        names={parameter.name for parameter in parameters},
    )


def is_complete(described: Mapping[str, Any]) -> bool:
    """Return whether a description has everything that decides about a configuration."""
    return "parameters" in described and "valid" not in described


def _read_parameter(name: str, entry: Mapping[str, Any]) -> Parameter:
    fields = dict(entry)
    when = fields.pop("when", None)
    condition = None if when is None else Expression.parse(when)
    if "value" in fields:
        return Parameter(name, None, constant=fields["value"], when=condition)
    written = {"name": _CLASSES[fields.pop("type")], "attributes": fields}
    return Parameter(name, json_to_distribution(encode_exact_json(written)), when=condition)
