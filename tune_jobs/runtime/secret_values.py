"""Secrets of a job run: read from OCI's Vault into the script's environment. Python 3.8 on.

    TUNE_JOBS_SECRETS   JSON: OCIDs of secrets by the names of their environment variables

The values are never written, and never part of a message.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .masking import MIN_LENGTH, Masking
from .oci_answers import CONFLICT, INVALID, MISSING, PERMISSION, describe_answer, read_answer
from .oci_identity import find_identity, renew_on_401
from .refusals import (
    NO_CREDENTIALS,
    NO_VAULT,
    SECRET_REFUSED,
    describe_refusal,
    keep_trying,
    lacks_credentials,
)

VARIABLE = "TUNE_JOBS_SECRETS"
NAMES = "TUNE_JOBS_SECRET_NAMES"
"""Variable of the script with the names of those that are secrets, which `report` masks."""

REFUSED = "runs/{run}/refused.json"
"""The object that says which secret was refused, if the run may write it."""

_MAX_BYTES = 131_000  # of a variable, limited by Linux
_NOTE_SECONDS = 10.0


class UnusableSecret(Exception):
    """A secret was read and cannot be the value of a variable."""


def parse_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """Return the OCIDs of a run's secrets by the names of their variables."""
    found: dict[str, str] = json.loads(env.get(VARIABLE) or "{}")
    return found


def resolve_secrets(
    env: Mapping[str, str], open_place: Callable[[str], Any]
) -> tuple[dict[str, str], int]:
    """Read the secrets of a run, before anything else.

    Args:
        env: The run's environment.
        open_place: Opens the store, to note there which secret is refused.

    Returns:
        The values by the names of their variables, and the exit code if one cannot be read.
    """
    secrets, values, vault = parse_secrets(env), {}, _Vault()
    for name, ocid in secrets.items():
        value, code, error = keep_trying(partial(vault.read, ocid), _classify)
        if error is not None:
            problem = str(error) if isinstance(error, UnusableSecret) else ""
            store = env.get("TUNE_JOBS_STORE", "")
            reason = describe_refusal(code, store, {name: ocid}, problem)
            answer = "" if problem else f" ({describe_answer(error)})"
            print(f"tune_jobs: {reason}{answer}", file=sys.stderr, flush=True)
            _note_refusal(env, open_place, {"secret": name, "problem": problem})
            return {}, code
        values[name] = value
    return values, 0


class _Vault:
    """Vault, whose client is made with the first request."""

    def __init__(self) -> None:
        self._client: Any = None

    def read(self, ocid: str) -> str:
        self._client = self._client or open_vault()
        return read_secret(self._client, ocid)


def _classify(error: BaseException) -> int:
    if isinstance(error, UnusableSecret):
        return SECRET_REFUSED
    if read_answer(error).kind in (PERMISSION, MISSING, INVALID, CONFLICT):
        return SECRET_REFUSED
    return NO_CREDENTIALS if lacks_credentials(error) else NO_VAULT


def _note_refusal(
    env: Mapping[str, str], open_place: Callable[[str], Any], note: Mapping[str, str]
) -> None:
    """Write which secret is refused into the store, unless that takes long or is impossible."""

    def write() -> None:
        try:
            path = REFUSED.format(run=env["TUNE_JOBS_RUN"])
            open_place(env["TUNE_JOBS_STORE"]).put(path, json.dumps(note).encode())
        except Exception as error:  # whatever the store's client raises; the exit code says enough
            print(f"tune_jobs: {describe_answer(error)}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(_NOTE_SECONDS)


def open_vault() -> Any:
    """Return a client of the Vault with the identity of this run.

    Raises:
        ImportError: If there is no package ``oci``.
    """
    import oci

    config, signer = find_identity(oci)
    client = oci.secrets.SecretsClient(
        config,
        signer=signer,
        retry_strategy=oci.retry.NoneRetryStrategy(),
        circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
        timeout=(10.0, 20.0),
    )
    return renew_on_401(client, signer)


def read_secret(client: Any, ocid: str) -> str:
    """Return the current value of a secret.

    Raises:
        UnusableSecret: If it cannot be the value of an environment variable.
        Exception: What the SDK raises.
    """
    content = client.get_secret_bundle(ocid, stage="CURRENT").data.secret_bundle_content
    if content is None or content.content_type != "BASE64":
        raise UnusableSecret("its content is not in base64")
    try:
        value = base64.b64decode(content.content or "", validate=True)
    except ValueError:
        raise UnusableSecret("its content is not in base64") from None
    return check_value(os.fsdecode(value))


def check_value(value: str) -> str:
    """Return a value if it can be that of an environment variable.

    Raises:
        UnusableSecret: If it cannot.
    """
    if not value:
        raise UnusableSecret("it is empty")
    if "\0" in value:
        raise UnusableSecret("it has a NUL byte, which no environment variable can have")
    if len(os.fsencode(value)) > _MAX_BYTES:
        raise UnusableSecret(f"it has more than {_MAX_BYTES} bytes, too many for a variable")
    return value


def mask_values(values: Mapping[str, str]) -> Masking:
    """Return what masks the values of secrets."""
    return Masking(map(os.fsencode, values.values()))


def note_unmasked(values: Mapping[str, str]) -> str:
    """Return a line that says what is not masked, and why; empty if everything is."""
    short = []
    for name, value in values.items():
        shown = os.fsencode(value).translate(None, b"\r\n").strip()  # which is compared
        if len(shown) < MIN_LENGTH:
            short.append(name)
    if not short:
        return ""
    return (
        f"tune_jobs: not masked in the output, since shorter than {MIN_LENGTH} bytes: "
        + ", ".join(sorted(short))
        + "\n"
    )
