"""Environment variables whose values are secrets, which only the run of a script gets to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tune_jobs.errors import ConfigError

_OCID = re.compile(r"ocid1\.vaultsecret\.[\w.-]+")


@dataclass(frozen=True)
class Secret:
    """Value of an environment variable that is a secret, such as a token or a password.

    A job run of OCI reads it from the Vault when it starts, by its own principal: always the
    version whose stage is CURRENT. A local run gets the variable of the same name of the tuner's
    environment, or the password of that user of service ``tune_jobs`` in the system's keyring.
    The value itself is in the script's environment only, and masked in what the script prints.

    Args:
        ocid: OCID of the secret in the Vault.

    Raises:
        ConfigError: If it is not such an OCID.
    """

    ocid: str

    def __post_init__(self) -> None:
        # What is no OCID is not shown: it may be the value itself.
        if not isinstance(self.ocid, str) or not _OCID.fullmatch(self.ocid):
            raise ConfigError(
                "a secret is named by its OCID, ocid1.vaultsecret..., and not by its value or "
                "name: see `oci vault secret list --compartment-id <ocid>`"
            )


def split_secrets(
    env: Mapping[str, str | Secret] | None,
) -> tuple[dict[str, str], dict[str, Secret]]:
    """Return the plain variables and the secrets of an environment.

    Raises:
        ConfigError: If a variable cannot be passed to a process, or a secret has a name that
            tune_jobs or the interpreter needs.
    """
    plain: dict[str, str] = {}
    secrets: dict[str, Secret] = {}
    for name, value in (env or {}).items():
        shown = value if isinstance(value, str) else ""
        if not name or "=" in name or "\0" in name + shown:
            raise ConfigError(f"env[{name!r}]={shown!r}: the kernel cannot pass such a variable")
        if isinstance(value, str):
            plain[name] = value
        elif name == "PYTHONPATH" or name.startswith(("TUNE_JOBS_", "OCI_RESOURCE_PRINCIPAL_")):
            raise ConfigError(f"env[{name!r}]: this variable cannot be a secret: use another name")
        else:
            secrets[name] = value
    return plain, secrets


def describe_environment(
    plain: Mapping[str, str], secrets: Mapping[str, Secret]
) -> dict[str, dict[str, object]]:
    """Return what is kept of a backend's environment: names, and references to secrets.

    Values of plain variables are left out, too: some are secrets all the same. Empty without any.
    """
    if not plain and not secrets:
        return {}
    references = {name: secret.ocid for name, secret in sorted(secrets.items())}
    return {"environment": {"names": sorted(plain), "secrets": references}}


def find_conflict(names: Mapping[str, object], secrets: Mapping[str, object]) -> str:
    """Return what is wrong if a run sets variables that are secrets; empty if nothing is."""
    both = sorted(names.keys() & secrets.keys())
    if not both:
        return ""
    return (
        f"the environment variable {both[0]} is a secret of the backend (env) and carries a "
        "parameter or an argument of the command line: use another name for one of them"
    )
