"""Errors of databases in words: what is wrong, and the fix where it is known."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tune_jobs.storage.sqlite_files import find_file_refusal

_FIXES = (
    ("locked", "another process holds it: wait until it has ended, or end it"),
    ("unable to open database file", "check that its folder exists and that you may write there"),
    ("file is not a database", "the path is that of another file: correct it"),
    ("readonly database", "you may only read it: check the permissions of the file"),
    ("could not connect", "check that the server runs, and its host and port"),
    ("connection refused", "check that the server runs, and its host and port"),
    ("no such table", "Optuna has not created its tables there: check the path"),
)
"""Parts of drivers' messages, and what to do."""

_OF_BUCKET = "database is locked: "
"""Begin of messages of `tune_jobs.storage.bucket`, which continue with the reason."""

_DRIVERS = {
    "MySQLdb": "pip install pymysql, and write mysql+pymysql://",
    "pymysql": "pip install pymysql",
    "psycopg": "pip install 'psycopg[binary]'",
    "psycopg2": "pip install 'psycopg[binary]', and write postgresql+psycopg://",
}


def is_database_error(error: BaseException) -> bool:
    """Return whether an error, or one that it was raised from, is that of a database."""
    return any(isinstance(each, SQLAlchemyError) for each in _causes(error))


def explain_database_error(error: BaseException, url: str | None = None) -> str:
    """Return the message of an error of a database, without its statement, and the fix.

    Args:
        error: The error.
        url: URL of the database, with or without its password, if it is known.
    """
    for cause in _causes(error):
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            fix = _DRIVERS.get(cause.name, f"pip install {cause.name}")
            return f"its driver {cause.name!r} is not installed: {fix}"
        if isinstance(cause, NoSuchModuleError):
            return (
                f"{str(cause).rpartition(':')[2]!r} is not a kind of database: write sqlite:///, "
                "postgresql+psycopg://, mysql+pymysql:// or oci://"
            )
        if isinstance(cause, ArgumentError):
            return f"{str(cause).partition(chr(10))[0]}: write sqlite:///study.db"
    message = next(
        (str(orig) for each in _causes(error) if (orig := getattr(each, "orig", None))), str(error)
    ).strip()
    if message.startswith(_OF_BUCKET):
        return message.removeprefix(_OF_BUCKET)
    if url is not None and (refusal := find_refusal_behind(message, url)):
        return refusal
    fixes = [fix for part, fix in _FIXES if part in message.lower()]
    return f"{message}: {fixes[0]}" if fixes else message


def find_refusal_behind(message: str, url: str) -> str:
    """Return whose file refuses this user if that is what SQLite means; else an empty string."""
    if "readonly database" in message or "unable to open database file" in message:
        return find_file_refusal(url, write=False) or find_file_refusal(url, write=True)
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__
