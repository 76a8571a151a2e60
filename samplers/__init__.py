"""Optuna samplers for studies whose trials are job runs; each folder stands on its own."""

from .job_sampler import JobSampler

__all__ = ["JobSampler"]
