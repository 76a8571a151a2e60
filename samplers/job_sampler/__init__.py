"""A TPE sampler for studies whose controller may be restarted."""

from .sampler import JobSampler

__all__ = ["JobSampler"]
