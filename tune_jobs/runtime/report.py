"""Report metrics from a training script, and find where it may leave files.

    from tune_jobs import checkpoint_dir, outputs_dir, report

    report(accuracy=0.91, loss=0.3, step=epoch)
    report({"mAP@0.5": 0.3}, step=epoch)

In a job run every report is one line of JSON in the file that ``TUNE_JOBS_METRICS_FILE`` names;
where no runner follows that file (an existing job of OCI, a container) it is uploaded from here.
By hand, without that variable, it is printed: ``accuracy=0.91 loss=0.3 step=4``.

Of the processes of a distributed run only the first one reports, so all may call it. That is the
one with ``RANK`` 0 (which counts only beside ``WORLD_SIZE``, as torchrun sets both: a script may
have a hyperparameter ``RANK``), or else with ``NODE_RANK`` and ``LOCAL_RANK`` 0 or not set.

Run side: standard library only, Python 3.8 on. This file stands alone: where tune_jobs is not
installed it is put beside the script, as ``tune_jobs.py``. What it writes, ``records`` reads.
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

MAX_LINE = 64 * 1024
MAX_METRICS = 256
MAX_NAME = 256
MAX_STEP = 2**53

_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def report(
    metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **named: Any
) -> None:
    """Report metrics of this run.

    Args:
        metrics: Numbers by name, for names that are not Python's. A number may be a scalar of
            numpy, torch and the like. NaN and infinity are reported as they are.
        step: The epoch, iteration or the like; the intermediate values of a trial are ordered,
            and runs compared with each other, by it.
        named: Numbers by name.

    Raises:
        TypeError: a value is not a number (a text, true or false, None, several numbers at once),
            or the step is not a whole one.
        ValueError: nothing is reported, a name is given twice or cannot be one, or it is more
            than `MAX_METRICS` metrics.
        OSError: the report cannot be written (a full disk).
    """
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"report() takes a dict, or name=number, not {_shown(metrics)}")
    if not _is_first_process():
        return
    values = _checked_values(metrics or {}, named)
    whole_step = None if step is None else _checked_step(step)
    path = os.environ.get("TUNE_JOBS_METRICS_FILE") or _file_to_upload()
    if path:
        _append(path, _line(values, whole_step))
    else:
        shown = [f"{name}={value!r}" for name, value in values.items()]
        print(*shown, *([] if whole_step is None else [f"step={whole_step}"]), flush=True)


def outputs_dir() -> Path:
    """The folder for what the run leaves (models, predictions), which is kept with the run.

    It exists. By hand, outside of a job run, it is ``./outputs``.
    """
    return _folder("TUNE_JOBS_OUTPUTS_DIR", "outputs")


def checkpoint_dir() -> Path:
    """The folder for checkpoints, from which a run that is started again can go on.

    It exists. By hand, outside of a job run, it is ``./checkpoints``.
    """
    return _folder("TUNE_JOBS_CHECKPOINT_DIR", "checkpoints")


def resume_dir() -> Path:
    """The folder with the checkpoints that this run goes on from; empty: start afresh.

    It exists, and is only to be read. By hand, outside of a job run, it is ``./checkpoints``.
    """
    return _folder("TUNE_JOBS_RESUME_DIR", "checkpoints")


def _file_to_upload() -> str | None:
    """Where reports go in a job run in which nobody follows them."""
    if "TUNE_JOBS_STORE" not in os.environ:
        return None
    from .upload import report_file

    return report_file()


def _folder(variable: str, otherwise: str) -> Path:
    folder = Path(os.environ.get(variable) or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_first_process() -> bool:
    rank = os.environ.get("RANK")
    if rank is not None and "WORLD_SIZE" in os.environ:
        return rank.strip() == "0"
    return all(os.environ.get(name, "0").strip() == "0" for name in ("NODE_RANK", "LOCAL_RANK"))


def _checked_values(metrics: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, float]:
    twice = sorted(name for name in named if name in metrics)
    if twice:
        raise ValueError(f"report() was given {twice[0]!r} twice: in the dict and by name")
    values = {_checked_name(n): _number(n, v) for n, v in {**metrics, **named}.items()}
    if not values:
        raise ValueError("report() was given no metric: report(accuracy=0.91)")
    if len(values) > MAX_METRICS:
        raise ValueError(
            f"report() was given {len(values)} metrics, at most {MAX_METRICS} go in one"
        )
    return values


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a metric's name is a text, not {_shown(name)}")
    if not name.strip() or len(name) > MAX_NAME or _NOT_IN_NAMES.search(name):
        raise ValueError(
            f"a metric cannot be called {name[:60]!r}: a name has 1 to {MAX_NAME} characters, "
            "and none of them is a control character"
        )
    return name


def _number(name: str, value: Any) -> float:
    """The value as a float; a scalar of numpy, torch, jax or tensorflow has ``item`` or is one."""
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
        raise TypeError(f"metric {name!r} must be one number, not {_shown(value)}") from None


def _checked_step(step: Any) -> int:
    """``3``, or what means it: ``numpy.int64(3)``, ``torch.tensor(3)``, ``3.0``."""
    try:
        plain = step.item() if hasattr(step, "item") else step
        if isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        if isinstance(plain, bool):
            raise TypeError
        whole = operator.index(plain)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"step must be a whole number, not {_shown(step)}") from None
    if abs(whole) > MAX_STEP:
        raise ValueError("step must be at most 2**53")
    return whole


def _shown(value: Any) -> str:
    return f"{str(value)[:60]!r} ({type(value).__name__})"


def _line(values: Mapping[str, float], step: int | None) -> bytes:
    fields: dict[str, object] = {"time": round(time.time(), 3)}
    if step is not None:
        fields["step"] = step
    fields["metrics"] = {
        name: value if math.isfinite(value) else str(value) for name, value in values.items()
    }
    line = _encode_json(fields).encode("utf-8")
    if len(line) > MAX_LINE:
        raise ValueError(
            f"the report takes more than {MAX_LINE} bytes: report fewer metrics at once"
        )
    return line + b"\n"


def _append(path: str, line: bytes) -> None:
    """Append the line by one write, which no other thread or process can come between."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        while line:  # only a disk that is nearly full takes a part of it
            line = line[os.write(descriptor, line) :]
    finally:
        os.close(descriptor)
