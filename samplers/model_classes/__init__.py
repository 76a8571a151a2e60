"""Which kind of model? A sampler that shares trials out among classes."""

from .sampler import ModelClassSampler

__all__ = ["ModelClassSampler"]
