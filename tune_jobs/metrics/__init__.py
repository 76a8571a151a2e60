"""Metrics: how a run reports them (stdlib only, Python 3.8 on) and how the tuner collects them."""
