"""A sampler that distributes trials among competing model classes."""

from .sampler import ModelClassSampler

__all__ = ["ModelClassSampler"]
