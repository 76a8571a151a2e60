"""Errors as OCI answers them: a status, a code, and a message."""

from __future__ import annotations


class ServiceError(Exception):
    """An answer that is not the one that was asked for."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = headers or {}


def not_found(what: str = "the resource") -> ServiceError:
    """OCI does not tell what is missing from what is forbidden."""
    return ServiceError(
        404,
        "NotAuthorizedOrNotFound",
        f"Authorization failed or requested resource not found: {what}",
    )


def invalid(message: str) -> ServiceError:
    """A request that can never be right."""
    return ServiceError(400, "InvalidParameter", message)


def incorrect_state(message: str) -> ServiceError:
    """A request at the wrong time."""
    return ServiceError(409, "IncorrectState", message)


def not_authenticated(message: str) -> ServiceError:
    """A signature that does not hold."""
    return ServiceError(401, "NotAuthenticated", message)
