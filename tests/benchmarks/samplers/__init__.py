"""Benchmark of samplers with many pending trials, in virtual time."""
