"""Run the command line program: ``python -m tune_jobs.cli``."""

import sys

from tune_jobs.cli.main import main

sys.exit(main())
