"""OCI's services on a loopback port, for the real SDKs: Data Science jobs, Object Storage, Logging.

A clean room: nothing of tune_jobs is used here. What the services do is taken from the SDK's models
and documentation; what could not be known is marked "[assumed]".

    python -m tests.oci_emulator --folder /tmp/oci        starts one to try by hand
"""

from tests.oci_emulator.faults import Fault as Fault
from tests.oci_emulator.server import Emulator as Emulator
from tests.oci_emulator.world import Delays as Delays
