"""Optuna samplers for studies whose trials are job runs; each folder stands on its own."""

from .job_sampler import FastTPESampler, JobSampler
from .model_classes import ModelClassSampler
from .warm_start import WarmStartSampler

__all__ = ["FastTPESampler", "JobSampler", "ModelClassSampler", "WarmStartSampler"]
