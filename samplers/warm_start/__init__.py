"""A sampler that starts a study from the results of earlier ones."""

from .sampler import WarmStartSampler

__all__ = ["WarmStartSampler"]
