"""Copy the runtime into an artifact: ``python -m tune_jobs.runtime DIR``."""

import sys
from pathlib import Path

from tune_jobs.runtime.package import copy_runtime

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tune_jobs.runtime DIR")
    copy_runtime(Path(sys.argv[1]))
