"""Attempts as rows of the ledger's table, and the statements that write them.

The parameters of a statement are named otherwise than the columns, as SQLAlchemy requires.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row, Select, Update, bindparam, delete, insert, null, select, update

from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.core.resource_usage import ResourceUsage
from tune_jobs.core.strict_json import encode_json
from tune_jobs.storage.schema import attempts, usage

_ALWAYS = ("argv", "env", "files")
"""Fields of an invocation that are written even if empty; the others only if they are set."""


def _update_one() -> Update:
    return update(attempts).where(
        attempts.c.study == bindparam("of_study"), attempts.c.name == bindparam("of_name")
    )


# Built once: SQLAlchemy then finds their compiled form by identity.
INSERT = insert(attempts)
SET_SUBMITTED = (
    _update_one()
    .where(attempts.c.state == AttemptState.INTENDED.value)
    .values(state=AttemptState.SUBMITTED.value, run_id=bindparam("run"), accepted=bindparam("at"))
)
SET_STARTED = _update_one().values(started=bindparam("at"))
SET_PRUNING = _update_one().values(state=AttemptState.PRUNING.value, cause=bindparam("why"))
SET_ENDED = _update_one().values(
    state=bindparam("new_state"),
    run_id=bindparam("run"),
    shape=bindparam("on"),
    started=bindparam("start"),
    finished=bindparam("finish"),
    told=bindparam("at"),
    cause=bindparam("why"),
    exit_code=bindparam("code"),
)

DELETE_USAGE = delete(usage).where(
    usage.c.study == bindparam("of_study"), usage.c.name == bindparam("of_name")
)
INSERT_USAGE = insert(usage)
_SAME = (usage.c.study == attempts.c.study) & (usage.c.name == attempts.c.name)


def select_attempts(study: str, *, has_usage: bool = True) -> Select[Any]:
    """Return the query of a study's attempts, for `decode_attempt`.

    Args:
        study: The study's uid.
        has_usage: Whether the database has the table of their usage, which earlier versions of
            tune_jobs did not know.
    """
    if not has_usage:
        return select(attempts, null().label("used")).where(attempts.c.study == study)
    joined = attempts.outerjoin(usage, _SAME)
    return select(attempts, usage.c.used).select_from(joined).where(attempts.c.study == study)


def encode_usage(study: str, attempt: Attempt) -> dict[str, Any] | None:
    """Return the row of what an attempt used, for `INSERT_USAGE`; None if that is not known."""
    if attempt.usage is None:
        return None
    return {"study": study, "name": attempt.name, "used": attempt.usage.encode()}


def encode_attempt(study: str, attempt: Attempt) -> dict[str, Any]:
    """Return the row of an attempt that is intended, for `INSERT`."""
    return {
        "study": study,
        "name": attempt.name,
        "trial": attempt.trial,
        "attempt": attempt.attempt,
        "backend": attempt.backend,
        "state": attempt.state.value,
        "invocation": _encode_invocation(attempt.invocation),
        "digest": attempt.invocation.digest,
        "intended": attempt.intended,
    }


def encode_end(attempt: Attempt, reported: float) -> dict[str, Any]:
    """Return the parameters of `SET_ENDED`, except for the row's key."""
    return {
        "new_state": attempt.state.value,
        "run": attempt.run_id,
        "on": attempt.shape,
        "start": attempt.started,
        "finish": attempt.finished,
        "at": reported,
        "why": attempt.cause,
        "code": attempt.exit_code,
    }


def decode_attempt(row: Row[Any]) -> Attempt:
    """Return the attempt of a row."""
    return Attempt(
        name=row.name,
        trial=row.trial,
        attempt=row.attempt,
        backend=row.backend,
        state=AttemptState(row.state),
        invocation=_decode_invocation(row.invocation),
        intended=row.intended,
        run_id=row.run_id,
        shape=row.shape,
        accepted=row.accepted,
        started=row.started,
        finished=row.finished,
        told=row.told,
        cause=row.cause,
        exit_code=row.exit_code,
        usage=ResourceUsage.decode(row.used),
    )


def _encode_invocation(invocation: Invocation) -> str:
    values = vars(invocation)  # asdict would copy every argument
    return encode_json({k: v for k, v in values.items() if k in _ALWAYS or v not in (None, (), {})})


def _decode_invocation(encoded: str) -> Invocation:
    values: dict[str, Any] = json.loads(encoded)
    return Invocation(
        argv=tuple(values.get("argv", ())),
        env=values.get("env", {}),
        files=values.get("files", {}),
        budget=values.get("budget"),
        resume=tuple(values.get("resume", ())),
        resources=values.get("resources", {}),
        key=values.get("key"),
    )
