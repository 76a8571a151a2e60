"""Errors of OCI: a status, a code and a message."""

from __future__ import annotations


class ServiceError(Exception):
    """Error response of a service."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = headers or {}


def not_found(what: str = "") -> ServiceError:
    """Return the error for a resource that does not exist, or that is not permitted."""
    message = "Authorization failed or requested resource not found."
    return ServiceError(
        404, "NotAuthorizedOrNotFound", f"{message[:-1]}: {what}" if what else message
    )


def etag_mismatch() -> ServiceError:
    """Return the error for an ``if-match`` that names another version."""
    return ServiceError(412, "NoEtagMatch", "the etag of if-match is not the resource's")


def invalid(message: str) -> ServiceError:
    """Return the error for an invalid request."""
    return ServiceError(400, "InvalidParameter", message)


def incorrect_state(message: str) -> ServiceError:
    """Return the error for a request that the resource's state does not permit."""
    return ServiceError(409, "IncorrectState", message)


def not_authenticated(message: str) -> ServiceError:
    """Return the error for an invalid signature."""
    return ServiceError(401, "NotAuthenticated", message)
