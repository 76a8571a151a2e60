"""Verification of signed requests as OCI does it: key, covered headers and date.

Authorization: Signature version="1",keyId="...",algorithm="rsa-sha256",headers="...",
               signature="..."
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import secrets
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from werkzeug import Request

from tests.oci_emulator.errors import not_authenticated
from tests.oci_emulator.policies import Principal

SKEW = 300.0
"""Seconds by which the date of a request may differ from the server's."""

_FIELD = re.compile(r'(\w+)="([^"]*)"')
# The SDK does not sign the bodies of streams: objects, parts of objects, and artifacts.
_STREAMED = re.compile(r"PUT /n/[^/]+/b/[^/]+/[ou]/|POST /20190101/jobs/[^/]+/artifact$")
_BODY_HEADERS = ("content-length", "content-type", "x-content-sha256")


@cache
def private_key() -> rsa.RSAPrivateKey:
    """Return the user's key, one per process, since generating a key is slow."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def run_key() -> rsa.RSAPrivateKey:
    """Return the key of the resource principals of all job runs."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    """Return a private key in the PEM format."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def fingerprint(key: rsa.RSAPrivateKey) -> str:
    """Return the MD5 of the public key, as the console shows it."""
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashlib.md5(der, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))


def session_token(tenancy: str, compartment: str, expires: float | None = None) -> str:
    """Return a token of a resource principal or a session: a JWT whose claims the SDK reads."""
    claims = {
        "exp": int(expires or time.time() + 3600.0),
        "iat": int(time.time()),
        "jti": secrets.token_hex(8),
        "res_tenant": tenancy,
        "res_compartment": compartment,
    }
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    head = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return f"{head[0]}.{head[1]}.c2lnbmF0dXJl"


@dataclass(frozen=True)
class Key:
    """Key that is known: whose it is, and until when it is accepted."""

    public: rsa.RSAPublicKey
    principal: Principal
    expires: float


class Verifier:
    """Verifier of signatures with the keys that are known."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}

    def add(
        self,
        key_id: str,
        public: rsa.RSAPublicKey,
        principal: Principal,
        expires: float = math.inf,
    ) -> None:
        """Accept signatures of ``key_id``: ``tenancy/user/fingerprint``, or ``ST$token``."""
        self._keys[key_id] = Key(public, principal, expires)

    def revoke(self, key_id: str) -> None:
        """Accept a key no longer."""
        self._keys.pop(key_id, None)

    def verify(self, request: Request, path: str, body: bytes) -> Principal:
        """Verify the signature of a request, and return who signed it.

        Raises:
            ServiceError: If it is invalid, or the key or token has expired (401).
        """
        fields = dict(_FIELD.findall(request.headers.get("authorization", "")))
        key = self._keys.get(fields.get("keyId", ""))
        if key is None or fields.get("algorithm") != "rsa-sha256":
            raise not_authenticated("the required information was not included or is incorrect")
        if key.expires < time.time():
            raise not_authenticated("the security token has expired")
        covered = fields.get("headers", "").split()
        self._check_covered(request, covered, body)
        signed = "\n".join(f"{name}: {_get_header(request, name, path)}" for name in covered)
        try:
            signature = base64.b64decode(fields["signature"])
            key.public.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError, KeyError):
            raise not_authenticated("the signature is wrong") from None
        return key.principal

    def _check_covered(self, request: Request, covered: list[str], body: bytes) -> None:
        required = ["(request-target)", "host"]
        if request.method in ("POST", "PUT") and not _STREAMED.match(
            f"{request.method} {request.path}"
        ):
            required += _BODY_HEADERS
        missing = [name for name in required if name not in covered]
        if missing or not {"date", "x-date"} & set(covered):
            raise not_authenticated(f"the signature does not cover {missing or ['date']}")
        date = request.headers.get("x-date") or request.headers.get("date", "")
        if abs(parsedate_to_datetime(date).timestamp() - time.time()) > SKEW:
            raise not_authenticated("the request's date is too far from now")
        if "x-content-sha256" in covered:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            if request.headers.get("x-content-sha256") != digest:
                raise not_authenticated("the body differs from the one that was signed")


def _get_header(request: Request, name: str, path: str) -> str:
    if name == "(request-target)":
        return f"{request.method.lower()} {path}"
    return request.headers.get(name, "")
