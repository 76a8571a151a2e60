"""Command that copies the runtime into an artifact: ``python -m tune_jobs.runtime DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from tune_jobs.runtime.package import copy_runtime


def main() -> None:
    """Copy the runtime into the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tune_jobs.runtime DIR")
    copy_runtime(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
