"""Run the command line program: ``python -m tune_jobs.cli``."""

import sys

from tune_jobs.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
