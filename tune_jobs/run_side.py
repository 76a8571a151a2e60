"""The part of tune_jobs that is inside a job run: standard library only, Python 3.8 on.

    python -m tune_jobs.run_side DIR        put it into an artifact of your own

With DIR on PYTHONPATH, ``from tune_jobs import report`` works there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_HERE = Path(__file__).parent
MODULES = (
    "__init__.py",
    "metrics/__init__.py",
    "metrics/extract.py",
    "metrics/files.py",
    "metrics/follow.py",
    "metrics/records.py",
    "metrics/report.py",
    "metrics/runner.py",
    "metrics/upload.py",
)


def copy_run_side(folder: Path) -> None:
    """Put these modules below ``folder``, as a package ``tune_jobs``."""
    for module in MODULES:
        target = folder / "tune_jobs" / module
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_HERE / module, target)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tune_jobs.run_side DIR")
    copy_run_side(Path(sys.argv[1]))
