"""How OCI is reached: who asks, in which region, at which address.

The ways to authenticate are those of ADS, and so are the variables that choose one where nothing
is said: ``OCI_IAM_TYPE``, ``OCI_CONFIG_LOCATION``, ``OCI_CONFIG_PROFILE``. Inside a notebook
session or a job run, where ``OCI_RESOURCE_PRINCIPAL_VERSION`` is set, it is the resource principal.

Every client that tune_jobs makes is made here, because two defaults of the SDK are wrong for a
tuner: its circuit breaker is one for the whole process, so a storm of 429 on one service closes
all of them; and its retries may keep a call for ten minutes, while the loop has other things to do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from tune_jobs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

Auth = Literal["api_key", "security_token", "resource_principal", "instance_principal"]

ENDPOINT_VARIABLE = "TUNE_JOBS_OCI_ENDPOINT"
"""One address for every service, for private endpoints and for tests."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to read."""

_Client = TypeVar("_Client")


@dataclass(frozen=True)
class Connection:
    """How to reach OCI. Holds no secret: keys are read from where the configuration says they are.

    Args:
        auth: ``api_key``, ``security_token``, ``resource_principal`` or ``instance_principal``; by
            default as ADS chooses.
        config_file: The configuration file of ``api_key`` and ``security_token``.
        profile: The profile in it.
        region: Another region than the one of the profile, or of the principal.
        endpoint: One address for every service, instead of the region's own.
    """

    auth: Auth | None = None
    config_file: str | os.PathLike[str] | None = None
    profile: str | None = None
    region: str | None = None
    endpoint: str | None = None
    _made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.auth is not None and self.auth not in get_args(Auth):
            raise ConfigError(
                f"auth {self.auth!r} is not known: use one of {', '.join(get_args(Auth))}"
            )

    def client(self, kind: Callable[..., _Client]) -> _Client:
        """A client of the ``oci`` package, such as ``oci.data_science.DataScienceClient``.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        name = getattr(kind, "__name__", str(kind))
        if name not in self._made:
            self._made[name] = kind(**self.client_arguments())
        made: _Client = self._made[name]
        return made

    def client_arguments(self) -> dict[str, Any]:
        """What a client is made with; also what ADS passes on to its own.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        import oci

        config, signer = self._identity
        arguments: dict[str, Any] = {
            "config": config,
            "retry_strategy": oci.retry.NoneRetryStrategy(),
            "circuit_breaker_strategy": oci.circuit_breaker.NoCircuitBreakerStrategy(),
            "timeout": TIMEOUT,
        }
        if signer is not None:
            arguments["signer"] = signer
        endpoint = self.endpoint or os.environ.get(ENDPOINT_VARIABLE)
        if endpoint:
            arguments["service_endpoint"] = endpoint
        return arguments

    @property
    def region_in_use(self) -> str:
        """The region's name.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        return str(self._identity[0].get("region", ""))

    @property
    def kind(self) -> Auth:
        """The way to authenticate that is in use."""
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
        """The configuration, and the signer where the client would not make the right one."""
        if self.kind in ("api_key", "security_token"):
            return self._from_file(self.kind)
        import oci

        try:
            if self.kind == "resource_principal":
                signer = oci.auth.signers.get_resource_principals_signer()
            else:
                signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner()
        except Exception as error:  # the SDK raises whatever went wrong underneath
            raise ConfigError(
                f"auth {self.kind!r} does not work here: {error}. It works inside OCI (a notebook "
                "session, a job run, an instance); elsewhere use auth='api_key'"
            ) from error
        region = self.region or getattr(signer, "region", None)
        return ({"region": region} if region else {}), signer

    def _from_file(self, kind: Auth) -> tuple[dict[str, Any], Any]:
        import oci

        file = self.config_file or os.environ.get("OCI_CONFIG_LOCATION", "~/.oci/config")
        profile = self.profile or os.environ.get("OCI_CONFIG_PROFILE", "DEFAULT")
        try:
            config = oci.config.from_file(os.path.expanduser(file), profile)
            if self.region:
                config["region"] = self.region
            if kind == "api_key":
                oci.config.validate_config(config)
                return config, oci.signer.Signer.from_config(config)
            token = Path(config["security_token_file"]).expanduser().read_text().strip()
            key = oci.signer.load_private_key_from_file(
                os.path.expanduser(config["key_file"]), config.get("pass_phrase")
            )
            return config, oci.auth.signers.SecurityTokenSigner(token, key)
        except Exception as error:  # the SDK's own errors, and those of files and keys
            missing = " has no entry" if isinstance(error, KeyError) else ""
            raise ConfigError(
                f"OCI configuration {file}, profile {profile!r}{missing}: {error}. Run `oci setup "
                "config`, or say where it is: Connection(config_file=..., profile=...)"
            ) from error
