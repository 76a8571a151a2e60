"""Errors of the sampler, as distinct from those of the search space that asks it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.samplers import BaseSampler

from tune_jobs.errors import MissingPackage, SamplerError


@contextmanager
def explain_sampler_errors(sampler: BaseSampler) -> Iterator[None]:
    """Name the sampler in the errors that it raises; those of others pass unchanged.

    Args:
        sampler: The sampler of the study, which may wrap the one that raises.

    Raises:
        MissingPackage: If the sampler needs a package that is not installed.
        SamplerError: If it raises another error.
    """
    try:
        yield
    except Exception as error:
        if not _is_raised_in_sampler(error):
            raise
        name = type(sampler).__name__
        package = _find_missing_package(error)
        if package is not None:
            raise MissingPackage(f"{name} needs {package!r}: pip install {package}") from error
        raise SamplerError(
            f"{name} cannot suggest a configuration: {type(error).__name__}: {error}"
        ) from error


def _is_raised_in_sampler(error: Exception) -> bool:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(isinstance(frame.f_locals.get("self"), BaseSampler) for frame in frames)


def _find_missing_package(error: BaseException | None) -> str | None:
    """Return the package whose import failed; Optuna raises an error from that of the import."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.partition(".")[0]
        error = error.__cause__ or error.__context__
    return None
