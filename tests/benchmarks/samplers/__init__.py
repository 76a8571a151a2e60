"""Samplers side by side, in virtual time, with many pending trials."""
