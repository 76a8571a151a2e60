"""Emulator of OCI for the real SDKs: Data Science jobs, Object Storage and Logging on loopback.

It uses nothing of tune_jobs. Its behavior follows the models and the documentation of the SDK, and
implements the register of assumptions (`tune_jobs.backends.oci_runs.assumptions`): it deviates from
the entries in `Emulator.world.deviations`. Details that no code relies on are marked "[assumed]".

    python -m tests.oci_emulator --folder /tmp/oci        starts one for manual tests
"""

from tests.oci_emulator.faults import Fault as Fault
from tests.oci_emulator.server import Emulator as Emulator
from tests.oci_emulator.world import Delays as Delays
