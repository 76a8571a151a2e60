"""Deprecated alias of the command ``python -m tune_jobs.runtime DIR``."""

import warnings

from tune_jobs.runtime.__main__ import main

if __name__ == "__main__":
    warnings.warn(
        "python -m tune_jobs.run_side is deprecated: use python -m tune_jobs.runtime",
        DeprecationWarning,
        stacklevel=1,
    )
    main()
