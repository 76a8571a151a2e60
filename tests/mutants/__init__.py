"""Mutation testing of the protocol: deliberate faults, each of which a test has to catch.

    python -m tests.mutants            (make mutants)

See `tests.mutants.run`.
"""
