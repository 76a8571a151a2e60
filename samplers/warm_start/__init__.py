"""A study that begins with what earlier ones have found."""

from .sampler import WarmStartSampler

__all__ = ["WarmStartSampler"]
