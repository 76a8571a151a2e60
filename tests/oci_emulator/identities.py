"""Keys and tokens of those who make requests, by each way to authenticate.

API key           a file, replaced by `Identities.rotate_api_key`
security token    a file with a token and a profile that names it, see `Identities.security_token`
resource principal  variables, or files that `Identities.renew` rewrites
instance principal  metadata service below ``/opc/v2`` and federation at ``/v1/x509``, both here:
                    OCI_METADATA_BASE_URL=ENDPOINT/opc/v2, federation_endpoint=ENDPOINT/v1/x509
"""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from werkzeug import Request, Response

from tests.oci_emulator import signing
from tests.oci_emulator.errors import not_found
from tests.oci_emulator.policies import Principal
from tests.oci_emulator.world import World


class Identities:
    """Keys and tokens that are accepted.

    Attributes:
        token_seconds: Time for which new tokens are valid.
        instance: The instance whose metadata are served.
        in_files: Whether job runs find their principals in files, which `renew` rewrites.
    """

    def __init__(self, world: World, verifier: signing.Verifier) -> None:
        self._world, self._verifier = world, verifier
        self._api_key = signing.private_key()
        self._files: dict[Path, tuple[Principal, rsa.RSAPrivateKey]] = {}
        self._stopped = threading.Event()
        self.token_seconds = 3600.0
        self.in_files = False
        self.user = Principal(world.user)
        self.instance = Principal("ocid1.instance.oc1..emulated", "instance", world.compartment)

    @property
    def _key_id(self) -> str:
        fingerprint = signing.fingerprint(self._api_key)
        return f"{self._world.tenancy}/{self._world.user}/{fingerprint}"

    def config(self) -> dict[str, str]:
        """Return the user's configuration for a client of the SDK."""
        return {
            "tenancy": self._world.tenancy,
            "user": self._world.user,
            "fingerprint": signing.fingerprint(self._api_key),
            "key_file": str(self._world.folder / "key.pem"),
            "region": self._world.region,
        }

    def write_config(self) -> Path:
        """Write the user's configuration and key, which are accepted from now on."""
        folder = self._world.folder
        self._verifier.add(self._key_id, self._api_key.public_key(), self.user)
        # The SDK expects the label after a key.
        _write_private(folder / "key.pem", signing.pem(self._api_key) + "OCI_API_KEY\n")
        lines = "".join(f"{name}={value}\n" for name, value in self.config().items())
        _write_private(folder / "config", f"[DEFAULT]\n{lines}")
        return folder / "config"

    def rotate_api_key(self, *, write: bool = True) -> None:
        """Accept another key instead of the user's, and write it where the first one was."""
        self._verifier.revoke(self._key_id)
        self._api_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if write:
            self.write_config()

    def revoke(self, key_id: str) -> None:
        """Accept a key or a token (``ST$token``) no longer, as when it expires."""
        self._verifier.revoke(key_id)

    def issue(self, principal: Principal, key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> str:
        """Return a token for a principal, who signs with a key; valid for `token_seconds`."""
        expires = time.time() + self.token_seconds
        token = signing.session_token(self._world.tenancy, principal.compartment, expires)
        public = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
        self._verifier.add(f"ST${token}", public, principal, expires)
        return token

    def add_token(self, token: str) -> None:
        """Accept a security token, signed by the user's key."""
        self._verifier.add(f"ST${token}", self._api_key.public_key(), self.user)

    def security_token(self) -> Path:
        """Write a token of a session of the user; return the configuration that names it."""
        folder = self._world.folder
        self._write_token(folder / "token", self.user, self._api_key)
        names = {**self.config(), "security_token_file": str(folder / "token")}
        del names["user"]
        lines = "".join(f"{name}={value}\n" for name, value in names.items())
        _write_private(folder / "session-config", f"[DEFAULT]\n{lines}")
        return folder / "session-config"

    def resource_principal(
        self, principal: Principal | None = None, *, in_files: Path | None = None
    ) -> dict[str, str]:
        """Return the variables by which the SDK finds a resource's principal.

        Args:
            principal: The resource; by default some job run.
            in_files: Folder for files with the token and the key, which `renew` rewrites; None to
                put both into the variables.
        """
        world, key = self._world, signing.run_key()
        who = principal or Principal(
            "ocid1.datasciencejobrun.oc1..some", "datasciencejobrun", world.compartment
        )
        if in_files is None:
            token, pem = self.issue(who, key), signing.pem(key)
        else:
            token, pem = str(in_files / "rpst"), str(in_files / "rpst.pem")
            in_files.mkdir(parents=True, exist_ok=True)
            _write_private(Path(pem), signing.pem(key))
            self._write_token(Path(token), who, key)
        return {
            "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
            "OCI_RESOURCE_PRINCIPAL_RPST": token,
            "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": pem,
            "OCI_RESOURCE_PRINCIPAL_REGION": world.region,
        }

    def renew(self) -> None:
        """Write a new token into every file of tokens, as OCI's agents do."""
        for path, (principal, key) in list(self._files.items()):
            self._write_token(path, principal, key)

    def keep_renewing(self) -> None:
        """Renew the files of tokens from now on, each before it expires."""
        threading.Thread(target=self._renew_until_closed, daemon=True).start()

    def close(self) -> None:
        """Renew no more."""
        self._stopped.set()

    def _renew_until_closed(self) -> None:
        while not self._stopped.wait(self.token_seconds / 2.0):
            self.renew()

    def _write_token(self, path: Path, principal: Principal, key: rsa.RSAPrivateKey) -> None:
        _write_private(path, self.issue(principal, key))
        self._files[path] = (principal, key)

    # -- instance principals ----------------------------------------------------------------------

    prefixes: tuple[str, ...] = ("/opc/v2", "/v1/x509")

    def operation(self, request: Request) -> str:
        """See `Service.operation`."""
        return "federate" if request.path == "/v1/x509" else "get_metadata"

    def handle(self, request: Request, body: bytes) -> Response:
        """Answer as the metadata service of an instance, or exchange its certificate for a token.

        Raises:
            ServiceError: If there is no such document.
        """
        if request.path == "/v1/x509":
            der = json.loads(body)["publicKey"]
            pem = f"-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n"
            public = serialization.load_pem_public_key(pem.encode())
            assert isinstance(public, rsa.RSAPublicKey)
            answer = json.dumps({"token": self.issue(self.instance, public)})
            return Response(answer, content_type="application/json")
        certificate, key = _instance_certificate(self._world.tenancy)
        realm = {
            "realmKey": "oc1",
            "realmDomainComponent": "oraclecloud.com",
            "regionKey": "IAD",
            "regionIdentifier": self._world.region,
        }
        documents = {
            "identity/cert.pem": certificate,
            "identity/intermediate.pem": certificate,
            "identity/key.pem": key,
            "instance/region": self._world.region,
            "instance/regionInfo": json.dumps(realm),
        }
        name = request.path.removeprefix("/opc/v2/").strip("/")
        if name not in documents:
            raise not_found(request.path)
        kind = "application/json" if name.endswith("Info") else "text/plain"
        return Response(documents[name], content_type=kind)


@cache
def _instance_certificate(tenancy: str) -> tuple[str, str]:
    """Return certificate and key of an instance, which name its tenancy."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "ocid1.instance.oc1..emulated"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"opc-tenant:{tenancy}"),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _write_private(path: Path, content: str) -> None:
    """Write a file atomically, for its owner only."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(content)
    os.chmod(part, 0o600)
    part.replace(path)
