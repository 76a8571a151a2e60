"""Interpretation of a script's source on values that are partly unknown, without executing it."""
