"""The mutants: deliberate faults of the protocol, by the package that they are in."""

from __future__ import annotations

from tests.mutants.model import Mutant

STORAGE = (
    Mutant(
        name="lease-never-verified",
        breaks="only the owner writes: a suspended owner that wakes up acts no more",
        file="tune_jobs/tuning/engine.py",
        old="        self._session.verify()\n",
        new="",
        tests=("tests/tuning/test_protocol.py",),
    ),
    Mutant(
        name="lease-fence-ignored",
        breaks="only the owner writes",
        file="tune_jobs/storage/lease.py",
        old="        if written.rowcount != 1:\n            self._token = 0\n",
        new="        if False:\n            self._token = 0\n",
        tests=("tests/storage", "tests/tuning/test_protocol.py"),
    ),
)

LOCAL = (
    Mutant(
        name="local-signal-leader-only",
        breaks="no run is live after its end: a run's whole process group is stopped",
        file="tune_jobs/backends/local/run.py",
        old="        os.killpg(pid, number)\n",
        new="        os.kill(pid, number)\n",
        tests=("tests/backends/test_local.py", "tests/backends/test_local_run.py"),
    ),
)

MUTANTS: tuple[Mutant, ...] = (*STORAGE, *LOCAL)
