"""An FTP server on loopback."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def ftp_server(tmp_path: Path) -> Iterator[str]:
    """URI of an empty folder; its files are in ``served/runs`` of the test's folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.servers import ThreadedFTPServer

    (tmp_path / "served").mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(tmp_path / "served"), perm="elradfmwMT")

    class Handler(FTPHandler):  # type: ignore[misc]
        pass

    Handler.authorizer = authorizer
    server = ThreadedFTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"handle_exit": False})
    thread.start()
    yield f"ftp://127.0.0.1:{server.address[1]}/runs"
    server.close_all()
    thread.join()
