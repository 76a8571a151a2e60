"""The metric store as the tuner sees it."""
