"""Copy the runtime into an artifact: ``python -m tune_jobs.runtime DIR``.

With DIR on PYTHONPATH, scripts can use ``from tune_jobs import report``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_RUNTIME = Path(__file__).parent


def copy_runtime(folder: Path) -> None:
    """Copy the runtime into ``folder``, as a package ``tune_jobs``."""
    target = folder / "tune_jobs"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_RUNTIME.parent / "__init__.py", target / "__init__.py")
    shutil.copytree(
        _RUNTIME,
        target / _RUNTIME.name,
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )
