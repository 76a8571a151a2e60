"""An FTP server on loopback."""

from __future__ import annotations

import secrets
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class FtpFolder:
    """An empty folder of the server: its URI, and where its files are."""

    uri: str
    path: Path


@pytest.fixture(scope="module")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpFolder]:
    """The root of the server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.servers import ThreadedFTPServer

    served = tmp_path_factory.mktemp("served")
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(served), perm="elradfmwMT")

    class Handler(FTPHandler):  # type: ignore[misc]
        pass

    Handler.authorizer = authorizer
    server = ThreadedFTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"handle_exit": False})
    thread.start()
    yield FtpFolder(f"ftp://127.0.0.1:{server.address[1]}", served)
    server.close_all()
    thread.join()


@pytest.fixture
def ftp_folder(ftp_server: FtpFolder) -> FtpFolder:
    """An empty folder of the server."""
    name = f"runs-{secrets.token_hex(4)}"
    return FtpFolder(f"{ftp_server.uri}/{name}", ftp_server.path / name)
