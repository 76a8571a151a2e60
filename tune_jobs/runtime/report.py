"""Functions for training scripts: report metrics, and find the folders of the run.

    from tune_jobs import checkpoint_dir, outputs_dir, report

    report(accuracy=0.91, loss=0.3, step=epoch)
    report({"mAP@0.5": 0.3}, step=epoch)

In a job run, every report is one line of JSON in the file that ``TUNE_JOBS_METRICS_FILE`` names.
Jobs without the runner (an existing job of OCI, a container) have no such file: this module uploads
the reports itself. Outside of a job run a report is printed: ``accuracy=0.91 loss=0.3 step=4``.

In a distributed run every process may call `report`, but only the first one reports: the one whose
``RANK`` is 0, or, without ``RANK``, whose ``NODE_RANK`` and ``LOCAL_RANK`` are 0 or unset. ``RANK``
counts only together with ``WORLD_SIZE``, since a script may have a hyperparameter of that name.

This file also works alone: where tune_jobs is not installed, it is copied next to the script as
``tune_jobs.py``. So it repeats the limits of `records`, which decodes what this module writes.
"""

from __future__ import annotations

import json
import math
import operator
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["checkpoint_dir", "outputs_dir", "report", "resume_dir"]

# As in records.py and masking.py, which this file cannot import where it is copied alone; a test
# compares them.
MAX_LINE = 64 * 1024
MAX_METRICS = 256
MAX_NAME = 256
MAX_STEP = 2**53
MIN_SECRET = 6

_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def report(
    metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **named: Any
) -> None:
    """Report metrics of this run.

    Args:
        metrics: Numbers by name, for names that are not Python identifiers. Scalars of NumPy,
            PyTorch and similar libraries are accepted, as are NaN and infinity.
        step: Epoch, iteration or the like. It orders the intermediate values of a trial, and
            pruners compare runs at the same step.
        named: Numbers by name.

    Raises:
        TypeError: If a value is not a single number (a string, a boolean, None, an array), or if
            the step is not an integer.
        ValueError: If there is no metric or more than `MAX_METRICS`, or if a name is invalid or
            given twice.
        OSError: If the report cannot be written, for example to a full disk.
    """
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"report() accepts a dict or name=number, not {_describe(metrics)}")
    if not _is_first_process():
        return
    values = _validate_values(metrics or {}, named)
    whole_step = None if step is None else _validate_step(step)
    path = os.environ.get("TUNE_JOBS_METRICS_FILE") or _find_uploaded_file()
    if path:
        _append(path, _encode(values, whole_step))
    else:
        printed = [f"{name}={value!r}" for name, value in values.items()]
        print(*printed, *([] if whole_step is None else [f"step={whole_step}"]), flush=True)


def outputs_dir() -> Path:
    """Return the folder for files that are kept with the run, such as models and predictions.

    It is created if necessary. Outside of a job run it is ``./outputs``.
    """
    return _create_folder("TUNE_JOBS_OUTPUTS_DIR", "outputs")


def checkpoint_dir() -> Path:
    """Return the folder for checkpoints, which a later run may resume from.

    It is created if necessary. Outside of a job run it is ``./checkpoints``.
    """
    return _create_folder("TUNE_JOBS_CHECKPOINT_DIR", "checkpoints")


def resume_dir() -> Path:
    """Return the folder with the checkpoints to resume from; if it is empty, start from scratch.

    Do not write to it. Outside of a job run it is ``./checkpoints``.
    """
    return _create_folder("TUNE_JOBS_RESUME_DIR", "checkpoints")


def _find_uploaded_file() -> str | None:
    """Return the file whose reports this process uploads; None outside of a job run."""
    if "TUNE_JOBS_STORE" not in os.environ:
        return None
    from .upload import report_file

    return report_file()


def _create_folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable) or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_first_process() -> bool:
    rank = os.environ.get("RANK")
    if rank is not None and "WORLD_SIZE" in os.environ:
        return rank.strip() == "0"
    return all(os.environ.get(name, "0").strip() == "0" for name in ("NODE_RANK", "LOCAL_RANK"))


def _validate_values(metrics: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, float]:
    twice = sorted(name for name in named if name in metrics)
    if twice:
        raise ValueError(f"report() got {twice[0]!r} twice: in the dict and by name")
    values = {_validate_name(n): _to_float(n, v) for n, v in {**metrics, **named}.items()}
    if not values:
        raise ValueError("report() got no metric: pass one, as in report(accuracy=0.91)")
    if len(values) > MAX_METRICS:
        raise ValueError(f"report() got {len(values)} metrics: pass at most {MAX_METRICS} at once")
    return values


def _validate_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a metric's name must be a string, not {_describe(name)}")
    if not name.strip() or len(name) > MAX_NAME or _NOT_IN_NAMES.search(name):
        raise ValueError(
            f"invalid metric name {name[:60]!r}: use 1 to {MAX_NAME} characters, not all of them "
            "spaces, and no control characters"
        )
    return _mask_secrets(name)


def _mask_secrets(name: str) -> str:
    """Return a name without the values of the run's secrets."""
    for variable in filter(None, os.environ.get("TUNE_JOBS_SECRET_NAMES", "").split(",")):
        value = os.environ.get(variable, "")
        name = name.replace(value, "***") if len(value) >= MIN_SECRET else name
    return name


def _to_float(name: str, value: Any) -> float:
    """Convert a number, or a scalar of NumPy, PyTorch, JAX or TensorFlow, to a float."""
    if type(value) is float:
        return value
    try:
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, (bool, str, bytes)):
            raise TypeError
        return float(plain)
    except OverflowError:
        raise ValueError(f"metric {name!r} is too large for a float") from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"metric {name!r} must be one number, not {_describe(value)}") from None


def _validate_step(step: Any) -> int:
    """Convert ``3``, ``3.0``, ``numpy.int64(3)`` or ``torch.tensor(3)`` to an int."""
    try:
        plain = step.item() if hasattr(step, "item") else step
        if isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        if isinstance(plain, bool):
            raise TypeError
        whole = operator.index(plain)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"step must be an integer, not {_describe(step)}") from None
    if abs(whole) > MAX_STEP:
        raise ValueError(f"step must be at most 2**53, not {whole}")
    return whole


def _describe(value: Any) -> str:
    return f"{str(value)[:60]!r} ({type(value).__name__})"


def _encode(values: Mapping[str, float], step: int | None) -> bytes:
    fields: dict[str, object] = {"time": round(time.time(), 3)}
    if step is not None:
        fields["step"] = step
    fields["metrics"] = {
        name: value if math.isfinite(value) else str(value) for name, value in values.items()
    }
    line = _encode_json(fields).encode("utf-8")
    if len(line) > MAX_LINE:
        raise ValueError(
            f"the report is larger than {MAX_LINE} bytes: report fewer metrics at once"
        )
    return line + b"\n"


def _append(path: str, line: bytes) -> None:
    """Append a line with a single write, so that other processes cannot write into it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        while line:  # a write may be partial if the disk is nearly full
            line = line[os.write(descriptor, line) :]
    finally:
        os.close(descriptor)
