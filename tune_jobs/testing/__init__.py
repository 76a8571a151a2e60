"""Conformance suites for backends and metric stores, for implementations of your own.

They need pytest.
"""

import pytest

pytest.register_assert_rewrite(
    "tune_jobs.testing.backends",
    "tune_jobs.testing.metric_stores",
    "tune_jobs.testing.watching",
)
