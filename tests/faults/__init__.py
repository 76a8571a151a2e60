"""A deterministic fault harness: the tuner is killed before and after every call to the outside.

    python -m tests.faults.kill --backend local --kills 1000

See `kill`.
"""
