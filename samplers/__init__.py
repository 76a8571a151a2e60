"""Optuna samplers for studies whose trials are job runs.

Each folder is a self-contained OptunaHub package: it imports none of the others.
"""

from .job_sampler import FastTPESampler, JobSampler
from .model_classes import ModelClassSampler
from .warm_start import WarmStartSampler

__all__ = ["FastTPESampler", "JobSampler", "ModelClassSampler", "WarmStartSampler"]
