"""Connections whose credentials, and those of the job runs, expire again and again."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from tests.oci_emulator import Emulator
from tune_jobs import Connection
from tune_jobs.oci.connection import Auth


@contextmanager
def open_expiring(emulator: Emulator, auth: Auth, seconds: float) -> Iterator[Connection]:
    """Connect in one of the ways; tokens are valid for some seconds, keys are replaced after them.

    Args:
        emulator: The tenancy, which renews the files of tokens from now on.
        auth: The way to authenticate.
        seconds: Time for which a token is valid.
    """
    identities = emulator.identities
    identities.token_seconds, identities.in_files = seconds, True
    config, variables = None, {}
    if auth == "api_key":
        config = emulator.config_file
    elif auth == "security_token":
        config = identities.security_token()
    elif auth == "resource_principal":
        variables = identities.resource_principal(in_files=emulator.world.folder / "tuner")
    else:
        variables = {"OCI_METADATA_BASE_URL": f"{emulator.endpoint}/opc/v2"}
    identities.keep_renewing()
    stopped = threading.Event()

    def rotate() -> None:
        while not stopped.wait(seconds):
            identities.rotate_api_key()

    thread = threading.Thread(target=rotate)
    with mock.patch.dict(os.environ, variables):
        if auth == "api_key":
            thread.start()
        try:
            yield Connection(auth=auth, config_file=config, endpoint=emulator.endpoint)
        finally:
            stopped.set()
            if thread.is_alive():
                thread.join()
