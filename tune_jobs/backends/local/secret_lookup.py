"""Values of secrets on this machine, for local runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec

from tune_jobs.errors import ConfigError
from tune_jobs.runtime.secret_values import UnusableSecret, check_value

SERVICE = "tune_jobs"
"""Service in the system's keyring; the name of the variable is the user."""


def find_values(names: Iterable[str]) -> dict[str, str]:
    """Return the values of secrets by the names of their variables.

    Raises:
        ConfigError: If one is neither in the environment nor in the keyring, or cannot be used.
    """
    return {name: _find_value(name) for name in names}


def _find_value(name: str) -> str:
    value = os.environ.get(name) or _ask_keyring(name)
    if value is None:
        raise ConfigError(
            f"env[{name!r}] is a secret whose value is not known on this machine: set the variable "
            f"{name} in the environment of the tuner, or store it in the system's keyring once: "
            f"pip install 'tune_jobs[keyring]', keyring set {SERVICE} {name}"
        )
    try:
        return check_value(value)
    except UnusableSecret as error:
        raise ConfigError(f"env[{name!r}] is a secret that cannot be used: {error}") from None


def _ask_keyring(name: str) -> str | None:
    """Return a password of the keyring; None if there is none, or no keyring."""
    if find_spec("keyring") is None:
        return None
    import keyring

    try:
        return keyring.get_password(SERVICE, name)
    except keyring.errors.NoKeyringError:
        return None
    except keyring.errors.KeyringError as error:
        raise ConfigError(
            f"env[{name!r}] is a secret, and the system's keyring cannot be read: {error}. Unlock "
            f"it, or set the variable {name} in the environment of the tuner"
        ) from error
