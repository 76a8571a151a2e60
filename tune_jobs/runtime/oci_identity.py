"""Credentials that are read again when they change or are refused. Python 3.8 on.

Tokens expire and keys are rotated while a study runs. `build_signer` returns a signer for the SDK
that reads its files again when they have changed, and `renew_on_401` lets a client repeat a request
once with new credentials. Whatever cannot be read keeps the credentials that were read last: files
are replaced one after another.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any


def find_identity(oci: Any) -> Any:
    """Return configuration and signer of a run, chosen as ADS does."""
    principal = "OCI_RESOURCE_PRINCIPAL_VERSION" in os.environ
    if principal and os.environ.get("OCI_IAM_TYPE") != "api_key":
        find = oci.auth.signers.get_resource_principals_signer
        signer = build_signer(find, resource_principal_files())
        return {"region": signer.region}, signer
    location = os.path.expanduser(os.environ.get("OCI_CONFIG_LOCATION", "~/.oci/config"))
    profile = os.environ.get("OCI_CONFIG_PROFILE", "DEFAULT")
    config = oci.config.from_file(location, profile)
    files = [location, os.path.expanduser(config.get("key_file") or location)]

    def read() -> Any:
        return oci.signer.Signer.from_config(oci.config.from_file(location, profile))

    return config, build_signer(read, files)


def build_signer(build: Callable[[], Any], files: Sequence[str] = ()) -> Any:
    """Return a signer for clients of the SDK whose credentials are renewed.

    Args:
        build: Reads the credentials and returns a signer.
        files: Files that it reads. When one of them has changed, they are read again.

    Raises:
        Exception: What ``build`` raises at first.
    """
    return _signer_class()(build, files)


def resource_principal_files() -> list[str]:
    """Return the files that hold the resource principal, if its variables are paths."""
    prefix = "OCI_RESOURCE_PRINCIPAL_"
    values = [value for name, value in os.environ.items() if name.startswith(prefix)]
    return [value for value in values if os.path.isabs(value) and "\n" not in value]


def renew_on_401(client: Any, signer: Any) -> Any:
    """Let a client of the SDK renew its credentials and repeat a request that got 401, once."""
    import oci

    base = client.base_client
    request = base.request

    def request_again(call: Any, *arguments: Any, **named: Any) -> Any:
        start = _tell(call.body)
        used = signer.generation
        try:
            return request(call, *arguments, **named)
        except oci.exceptions.ServiceError as error:
            if error.status != 401 or not signer.renew(used) or not _rewind(call.body, start):
                raise
        return request(call, *arguments, **named)

    base.request = request_again
    return client


@lru_cache(maxsize=None)
def _signer_class() -> type[Any]:
    import oci

    class RenewingSigner(oci.auth.signers.SecurityTokenSigner):  # type: ignore[misc]
        """Signer that signs with the newest credentials.

        It is a signer of tokens for the SDK, which then asks for no user in the configuration.

        Attributes:
            generation: Number of times that the credentials were read.
        """

        def __init__(self, build: Callable[[], Any], files: Sequence[str]) -> None:
            self._build, self._files = build, list(files)
            self._lock = threading.Lock()
            self._stamp = self._read_stamp()
            self._signer = build()
            self.generation = 1

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__") or name == "_signer":
                raise AttributeError(name)
            return getattr(self._signer, name)

        def __call__(self, request: Any, enforce_content_headers: bool = True) -> Any:
            if self._files:
                self._follow_files()
            return self._signer(request, enforce_content_headers)

        def do_request_sign(self, request: Any, enforce_content_headers: bool = True) -> Any:
            return self._signer.do_request_sign(request, enforce_content_headers)

        def renew(self, used: int) -> bool:
            """Read the credentials again, unless that was done since generation ``used``."""
            with self._lock:
                return self.generation > used or self._read()

        def _follow_files(self) -> None:
            stamp = self._read_stamp()
            if stamp != self._stamp:
                with self._lock:
                    if self._read():
                        self._stamp = stamp

        def _read(self) -> bool:
            try:
                self._signer = self._build()
            except Exception:  # of files, keys and services; the old ones may still be valid
                return False
            self.generation += 1
            return True

        def _read_stamp(self) -> list[Any]:
            stamps: list[Any] = []
            for file in self._files:
                try:
                    status = os.stat(file)
                    stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
                except OSError:
                    stamps.append(None)
            return stamps

    return RenewingSigner


def _tell(body: Any) -> int | None:
    try:
        return int(body.tell())
    except Exception:  # not a stream, or one that has no position
        return None


def _rewind(body: Any, start: int | None) -> bool:
    """Return whether a body can be sent again."""
    if body is None or isinstance(body, (bytes, str, dict, list)):
        return True
    if start is None:
        return False
    try:
        body.seek(start)
    except Exception:  # whatever the stream raises
        return False
    return True
