"""Start an emulator in the foreground."""

import argparse
import signal
import tempfile
from pathlib import Path

from tests.oci_emulator import Emulator

parser = argparse.ArgumentParser(description="Emulate OCI's services on a loopback port.")
parser.add_argument("--port", type=int, default=0)
parser.add_argument(
    "--folder", type=Path, default=None, help="folder for job runs and the configuration"
)
options = parser.parse_args()
folder = options.folder or Path(tempfile.mkdtemp(prefix="oci-"))
with Emulator(folder, port=options.port) as emulator:
    print(f"export TUNE_JOBS_OCI_ENDPOINT={emulator.endpoint}")
    print(f"export OCI_CONFIG_LOCATION={emulator.config_file}")
    print(f"# compartment {emulator.compartment}")
    print(f"# project     {emulator.project}")
    print(f"# store       oci://tune-jobs@{emulator.namespace}/runs", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
