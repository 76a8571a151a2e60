"""A sampler for many pending trials, and TPE for thousands of finished ones."""

from .fast_tpe import FastTPESampler
from .sampler import JobSampler

__all__ = ["FastTPESampler", "JobSampler"]
