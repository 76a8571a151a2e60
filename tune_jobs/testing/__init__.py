"""Conformance suites for backends and metric stores, for implementations of your own."""
