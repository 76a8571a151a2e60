"""Deterministic fault injection: processes are killed or suspended at every outside call.

    python -m tests.faults.kill --list

See `tests.faults.kill`.
"""
