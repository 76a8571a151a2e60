"""Connection to OCI: authentication, region and endpoint.

The ways to authenticate are those of ADS, and so are the environment variables that choose the
default: ``OCI_IAM_TYPE``, ``OCI_CONFIG_LOCATION``, ``OCI_CONFIG_PROFILE``. Inside a notebook
session or a job run, where ``OCI_RESOURCE_PRINCIPAL_VERSION`` is set, it is the resource principal.

All clients are made here, since two defaults of the SDK are unsuitable for a tuner: its circuit
breaker is shared by the whole process, so a series of 429 from one service blocks all of them; and
its retries may block a call for ten minutes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from tune_jobs.arguments.calls import strict_types
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.oci_identity import build_signer, renew_on_401, resource_principal_files

if TYPE_CHECKING:
    from collections.abc import Callable

Auth = Literal["api_key", "security_token", "resource_principal", "instance_principal"]

ENDPOINT_VARIABLE = "TUNE_JOBS_OCI_ENDPOINT"
"""Endpoint of every service, for private endpoints and for tests."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect and to read."""

_Client = TypeVar("_Client")


@strict_types
@dataclass(frozen=True)
class Connection:
    """Connection to OCI. It holds no secret: keys are read from the files in the configuration,
    and read again when they are rotated or refused.

    Args:
        auth: ``api_key``, ``security_token``, ``resource_principal`` or ``instance_principal``; by
            default as ADS chooses.
        config_file: The configuration file of ``api_key`` and ``security_token``.
        profile: The profile in it.
        region: The region; by default that of the profile or the principal.
        endpoint: The endpoint of every service; by default those of the region.
    """

    auth: Auth | None = None
    config_file: str | os.PathLike[str] | None = None
    profile: str | None = None
    region: str | None = None
    endpoint: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process can use: no clients, and no keys that were read."""
        kept = {name: value for name, value in self.__dict__.items() if name != "_identity"}
        return {**kept, "_clients": {}}

    def client(self, kind: Callable[..., _Client]) -> _Client:
        """Return a client of the ``oci`` package, such as ``oci.data_science.DataScienceClient``.

        Raises:
            ConfigError: If the configuration cannot be used.
        """
        name = getattr(kind, "__name__", str(kind))
        if name not in self._clients:
            arguments = self.client_arguments()
            self._clients[name] = renew_on_401(kind(**arguments), arguments["signer"])
        client: _Client = self._clients[name]
        return client

    def client_arguments(self) -> dict[str, Any]:
        """Return the arguments of a client, which ADS takes for its own clients as well.

        Raises:
            ConfigError: If the configuration cannot be used.
        """
        import oci

        config, signer = self._identity
        arguments: dict[str, Any] = {
            "config": config,
            "retry_strategy": oci.retry.NoneRetryStrategy(),
            "circuit_breaker_strategy": oci.circuit_breaker.NoCircuitBreakerStrategy(),
            "timeout": TIMEOUT,
            "signer": signer,
        }
        if endpoint := self._endpoint:
            arguments["service_endpoint"] = endpoint
        return arguments

    @property
    def _endpoint(self) -> str | None:
        return self.endpoint or os.environ.get(ENDPOINT_VARIABLE)

    @property
    def region_in_use(self) -> str:
        """Name of the region.

        Raises:
            ConfigError: If the configuration cannot be used.
        """
        return str(self._identity[0].get("region", ""))

    @property
    def kind(self) -> Auth:
        """Way to authenticate that is in use."""
        if self.auth is not None:
            return self.auth
        chosen = os.environ.get("OCI_IAM_TYPE", "")
        if chosen in get_args(Auth):
            return chosen  # type: ignore[return-value]
        if self.config_file is None and "OCI_RESOURCE_PRINCIPAL_VERSION" in os.environ:
            return "resource_principal"
        return "api_key"

    @cached_property
    def _identity(self) -> tuple[dict[str, Any], Any]:
        """Configuration and signer, which reads its credentials again when they change."""
        if self.kind in ("api_key", "security_token"):
            return self._read_identity(self.kind)
        kind = self.kind
        try:
            if kind == "resource_principal":
                signer = build_signer(_find_resource_principal, resource_principal_files())
            else:
                signer = build_signer(self._find_instance_principal)
        except Exception as error:  # the SDK raises errors of many kinds
            raise ConfigError(
                f"auth {kind!r} does not work here: {error}. It works inside OCI (a notebook "
                "session, a job run, an instance); elsewhere use auth='api_key'"
            ) from error
        region = self.region or getattr(signer, "region", None)
        return ({"region": region} if region else {}), signer

    def _find_instance_principal(self) -> Any:
        import oci

        # The identity service has the endpoint of all services, if there is one.
        other = {"federation_endpoint": f"{self._endpoint}/v1/x509"} if self._endpoint else {}
        return oci.auth.signers.InstancePrincipalsSecurityTokenSigner(**other)

    def _read_identity(self, kind: Auth) -> tuple[dict[str, Any], Any]:
        file = self.config_file or os.environ.get("OCI_CONFIG_LOCATION", "~/.oci/config")
        path = os.path.expanduser(file)
        profile = self.profile or os.environ.get("OCI_CONFIG_PROFILE", "DEFAULT")
        try:
            config = self._read_config(path, profile)
            files = [config.get("key_file"), config.get("security_token_file")]
            signer = build_signer(
                lambda: _read_signer(kind, self._read_config(path, profile)),
                [path, *(os.path.expanduser(name) for name in files if name)],
            )
        except Exception as error:  # errors of the SDK, of files and of keys
            missing = " has no entry" if isinstance(error, KeyError) else ""
            raise ConfigError(
                f"OCI configuration {file}, profile {profile!r}{missing}: {error}. Run `oci setup "
                "config`, or use Connection(config_file=..., profile=...)"
            ) from error
        return config, signer

    def _read_config(self, path: str, profile: str) -> dict[str, Any]:
        import oci

        config: dict[str, Any] = oci.config.from_file(path, profile)
        if self.region:
            config["region"] = self.region
        return config


def _find_resource_principal() -> Any:
    import oci

    return oci.auth.signers.get_resource_principals_signer()


def _read_signer(kind: Auth, config: dict[str, Any]) -> Any:
    """Return the signer of a profile.

    Raises:
        Exception: If the profile or one of its files cannot be used.
    """
    import oci

    if kind == "api_key":
        oci.config.validate_config(config)
        return oci.signer.Signer.from_config(config)
    token = Path(config["security_token_file"]).expanduser().read_text().strip()
    key_file = os.path.expanduser(config["key_file"])
    key = oci.signer.load_private_key_from_file(key_file, config.get("pass_phrase"))
    return oci.auth.signers.SecurityTokenSigner(token, key)
