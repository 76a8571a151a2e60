"""Waiting for a process that escapes from its process group."""

import sys


def forever(subprocess):
    code = "import signal; print('waiting', flush=True); signal.pause()"
    subprocess.run(
        [sys.executable, "-c", code, "never-returns"], start_new_session=True, check=True
    )
