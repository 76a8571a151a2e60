"""The part of the API that changes something: commands, enqueued trials, notes, final runs.

It answers only if control is allowed, and only to the server's own page, or to a program that sends
the control key; the token and the origin were checked before.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Request, Response

from tune_jobs.core.commands import LIMITS, check_command, explain_unanswered, find_cancel_problem
from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.access import CONTROL_HEADER, is_equal, refuse
from tune_jobs.dashboard.drawing import finite
from tune_jobs.dashboard.enqueue_form import decode_params, form_view, open_space
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.not_found import StudyNotFound
from tune_jobs.dashboard.source import Source
from tune_jobs.dashboard.training import Trainer
from tune_jobs.dashboard.views import bounded
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.notes import NoteConflict, write_note
from tune_jobs.storage.sqlite_files import find_file_refusal
from tune_jobs.storage.waiting_trials import (
    SameConfiguration,
    enqueue_configuration,
    withdraw_trial,
)

CONTROLS = ("pause", "resume", "stop", "cancel", "set")

MAX_REQUEST = 64
"""Characters of the identifier of a request."""

_NO_CONTROL = "control is off: start the dashboard with --allow-control"
_STALE = (
    "the page is of an earlier server: reload it, and try again; a program sends the study's "
    f"control_key in {CONTROL_HEADER}"
)

Endpoint = Callable[..., Response]


@dataclass(frozen=True)
class Reader:
    """How the server reads studies.

    Args:
        read: Returns a study by its key, perhaps a moment old.
        find_source: Returns the storage of a study.
        forget: Forgets what was read of a study.
    """

    read: Callable[[str], Study]
    find_source: Callable[[str], Source]
    forget: Callable[[str], None]


class ControlApi:
    """Endpoints that change something.

    Args:
        reader: Reads studies.
        trainer: Starts final runs.
        allowed: Whether control is allowed.

    Attributes:
        key: What the header of each command has to contain; None if control is off.
    """

    def __init__(self, reader: Reader, trainer: Trainer, *, allowed: bool) -> None:
        self._reader, self._trainer = reader, trainer
        self.key = secrets.token_urlsafe(24) if allowed else None

    def rules(self) -> list[tuple[str, str, Endpoint]]:
        """Return method, path and function of each endpoint."""
        study = "api/studies/<key>"
        return [
            ("POST", f"{study}/control", self._guarded(self._post_command)),
            ("GET", f"{study}/control/<int(max=999999999):number>", self._get_command),
            ("GET", f"{study}/enqueue", self._get_form),
            ("POST", f"{study}/enqueue", self._guarded(self._post_configuration)),
            ("POST", f"{study}/withdraw", self._guarded(self._post_withdrawal)),
            ("GET", f"{study}/note", self._get_note),
            ("POST", f"{study}/note", self._guarded(self._post_note)),
            ("GET", f"{study}/train/<int(max=999999999):trial>", self._get_training),
            ("POST", f"{study}/train", self._guarded(self._post_training)),
        ]

    def _guarded(self, answer: Callable[[str, dict[str, Any]], Response]) -> Endpoint:
        """Return an endpoint that answers authorized requests with a JSON object."""

        def respond(request: Request, key: str) -> Response:
            if self.key is None:
                return refuse(_NO_CONTROL, 403)
            if request.mimetype != "application/json":  # forms of other pages cannot send JSON
                return refuse("the request body must be JSON", 415)
            if not is_equal(request.headers.get(CONTROL_HEADER, ""), self.key):
                return refuse(_STALE, 403)
            try:
                return answer(key, _read_object(request))
            finally:
                self._reader.forget(key)

        return respond

    def _open(self, key: str) -> optuna.Study:
        try:
            return self._reader.find_source(key).open(key)
        except KeyError:
            raise StudyNotFound(key) from None

    # -- commands -------------------------------------------------------------------------------

    def _post_command(self, key: str, content: dict[str, Any]) -> Response:
        command = content.get("command")
        if command not in CONTROLS:
            raise ValueError(f"command must be one of {', '.join(CONTROLS)}")
        arguments = _select_arguments(command, content)
        check_command(command, arguments)
        study, engine = self._reader.read(key), self._reader.find_source(key).engine(key)
        if study.owner is None or study.uid is None or engine is None:
            raise ValueError("no process is tuning this study")
        if command == "cancel":
            trial = arguments["trial"]
            states = {t.number: t.state for t in study.trials}
            if problem := find_cancel_problem(trial, states.get(trial), study.runs):
                raise ValueError(problem)
        if refusal := find_file_refusal(str(engine.url), write=True):
            raise ValueError(refusal)
        number = Controls(engine, study.uid).request(command, **arguments)
        return _json({"asked": number, "changes": _describe_changes(study, arguments)})

    def _get_command(self, request: Request, key: str, number: int) -> Response:
        study, engine = self._reader.read(key), self._reader.find_source(key).engine(key)
        if engine is None or study.uid is None:
            raise NotFound
        controls = Controls(engine, study.uid)
        command = controls.find_command(number)
        if command is None:
            raise NotFound(f"no command {number} to this study")
        done = controls.is_done(number)
        if done:
            self._reader.forget(key)  # so that the page shows what it changed
        waiting = "" if done else explain_unanswered(command, study.owner)
        return _json({"done": done, "waiting": waiting, "ended": study.owner is None})

    # -- trials that wait -----------------------------------------------------------------------

    def _get_form(self, request: Request, key: str) -> Response:
        study = self._reader.read(key)
        space = open_space(study, self._open(key))
        wanted = request.args.get("from", "")
        return _json(finite(form_view(study, space, wanted)))

    def _post_configuration(self, key: str, content: dict[str, Any]) -> Response:
        opened = self._open(key)
        study = self._reader.read(key)
        space = open_space(study, opened)
        params = decode_params(space, content.get("params"))
        request = content.get("request", "")
        if not isinstance(request, str) or len(request) > MAX_REQUEST:
            raise ValueError(f"request must be a string of at most {MAX_REQUEST} characters")
        try:
            enqueued = enqueue_configuration(
                opened, space, params, again=content.get("again") is True, request=request
            )
        except SameConfiguration as error:
            return _json({"error": str(error), "same_as": error.trial}, 409)
        starts = (
            "one of the next trials to start runs it"
            if study.owner
            else "it waits until a process tunes the study"
        )
        return _json({"trial": enqueued.trial, "starts": starts})

    def _post_withdrawal(self, key: str, content: dict[str, Any]) -> Response:
        trial = _read_trial(content)
        is_tuned = self._reader.read(key).owner is not None
        withdraw_trial(self._open(key), trial, is_tuned=is_tuned)
        return _json({"withdrawn": trial})

    # -- notes ----------------------------------------------------------------------------------

    def _get_note(self, request: Request, key: str) -> Response:
        study = self._reader.read(key)
        trial = request.args.get("trial", type=int)
        note = study.note if trial is None else study.notes.get(trial)
        if note is None:
            return _json({"text": "", "version": 0})
        return _json({"text": note.text, "version": note.version})

    def _post_note(self, key: str, content: dict[str, Any]) -> Response:
        trial = None if content.get("trial") is None else _read_trial(content)
        text, version = content.get("text"), content.get("version")
        if not isinstance(text, str) or type(version) is not int or version < 0:
            raise ValueError("text must be a string, and version that of the note it replaces")
        try:
            note = write_note(self._open(key), text, version, trial)
        except NoteConflict as error:
            present = {"text": error.note.text, "version": error.note.version}
            return _json({"error": str(error), **present}, 409)
        return _json({"text": note.text, "version": note.version})

    # -- final runs -----------------------------------------------------------------------------

    def _get_training(self, request: Request, key: str, trial: int) -> Response:
        return _json(finite(self._trainer.describe(self._reader.read(key), trial)))

    def _post_training(self, key: str, content: dict[str, Any]) -> Response:
        trial = _read_trial(content)
        return _json(self._trainer.start(self._reader.read(key), trial))


def _select_arguments(command: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command; the page may send others, which it does not need."""
    if command == "stop":
        return {"runs": "cancel" if content.get("runs") == "cancel" else "finish"}
    if command == "cancel":
        return {"trial": _read_trial(content)}
    if command == "set":
        return {name: content[name] for name in LIMITS if content.get(name) is not None}
    return {}


def _describe_changes(study: Study, arguments: Mapping[str, Any]) -> str:
    """Return what a ``set`` command changes, such as ``max_parallel 4 → 8``."""
    limits = study.definition.get("limits", {})
    return ", ".join(
        f"{name} {bounded(limits.get(name) or 'unlimited')} → {arguments[name]}"
        for name in LIMITS
        if name in arguments
    )


def _read_trial(content: Mapping[str, Any]) -> int:
    trial = content.get("trial")
    if type(trial) is not int:
        raise ValueError("trial must be the number of a trial")
    return trial


def _read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    Raises:
        ValueError: If it is none.
        HTTPException: If it is no JSON, or too large.
    """
    try:
        content = request.get_json()
    except RecursionError:
        content = None
    if not isinstance(content, dict):
        raise ValueError("the request body must be a JSON object")
    return content


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(encode_json(content), status=status, content_type="application/json")
