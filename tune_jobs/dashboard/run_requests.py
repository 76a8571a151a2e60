"""Requests about single trials and job runs: their view, metrics, usage, log and files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Request, Response

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.drawing import finite
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.recent import Recent
from tune_jobs.dashboard.run_files import (
    log_view,
    outputs_view,
    search_log,
    send_log,
    send_output,
)
from tune_jobs.dashboard.run_metrics import RunCurves, metrics_view
from tune_jobs.dashboard.trial_view import (
    Subject,
    count_nodes,
    final_name,
    find_compared,
    find_final_run,
    find_trial,
    trial_view,
)
from tune_jobs.dashboard.usage_view import usage_view
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.metric_store.store import MetricStore, study_folder

_Result = TypeVar("_Result")

MAX_SEARCH = 200
"""Characters of a text to search for."""

_STORES_IN_MEMORY = 20
"""Metric stores that are kept open."""

_RUNS_IN_MEMORY = 4
"""Runs whose metrics are kept, to read only what is new."""


class RunRequests:
    """Answers requests about single trials and job runs.

    Args:
        read_study: Returns a study by its key, or raises `NotFound`.
        control: Whether the page may act on studies.
        find_options: Returns the options of a study's metric store, see `MetricStore`.
    """

    def __init__(
        self,
        read_study: Callable[[str], Study],
        *,
        control: bool = False,
        find_options: Callable[[Study], Mapping[str, object]] = lambda study: {},
    ) -> None:
        self._read_study, self._control = read_study, control
        self._find_options = find_options
        self._stores: Recent[tuple[str, str], MetricStore] = Recent(_STORES_IN_MEMORY)
        self._curves: Recent[tuple[Any, ...], RunCurves] = Recent(_RUNS_IN_MEMORY)
        self._lock = threading.Lock()

    def get_trial(self, request: Request, key: str, number: int) -> Response:
        """Return what the page of a trial shows."""
        return self._view(request, _found(find_trial, self._read_study(key), number))

    def get_final(self, request: Request, key: str, name: str) -> Response:
        """Return what the page of a final run shows."""
        return self._view(request, _found(find_final_run, self._read_study(key), name))

    def _view(self, request: Request, subject: Subject) -> Response:
        attempt = request.args.get("attempt", type=int)
        beside = request.args.get("beside", type=int)
        view = _found(trial_view, subject, attempt, beside)
        return _answer(request, {**view, "control": self._control})

    def get_metrics(self, request: Request, key: str, name: str) -> Response:
        """Return figures of all metrics of a run."""
        study = self._read_study(key)
        run, store = self.find_run(key, name)
        subject = _find_subject(study, run)
        other = find_compared(subject, request.args.get("beside", type=int))
        with self._lock:
            curves = self._curves.get((*study.identity, name), lambda: RunCurves(name))
            curves.read(store)
            view = metrics_view(curves, subject.trial, other, study.metrics)
        return _answer(request, view)

    def get_log(self, request: Request, key: str, name: str) -> Response:
        """Return a part of a run's output: its end, or what is around an offset."""
        run, store = self.find_run(key, name)
        start, before = (request.args.get(name, type=int) for name in ("from", "before"))
        if min(start or 0, before or 0) < 0:
            raise ValueError("from and before must be offsets of at least 0")
        nodes = count_nodes(self._read_study(key), run)
        rank = self._rank(request, key, run)
        part = log_view(store, run, start=start, before=before, rank=rank)
        return _json({**part, "nodes": nodes})

    def get_matches(self, request: Request, key: str, name: str) -> Response:
        """Return the lines of a run's output that contain a text."""
        run, store = self.find_run(key, name)
        text = request.args.get("text", "")
        if not 0 < len(text) <= MAX_SEARCH:
            raise ValueError(f"text must have 1 to {MAX_SEARCH} characters")
        return _json(search_log(store, run, text, self._rank(request, key, run)))

    def get_whole_log(self, request: Request, key: str, name: str) -> Response:
        """Return a run's output as a file."""
        run, store = self.find_run(key, name)
        return send_log(store, run, self._rank(request, key, run))

    def get_outputs(self, request: Request, key: str, name: str) -> Response:
        """Return the list of files that a run left."""
        run, store = self.find_run(key, name)
        return _answer(request, outputs_view(store, run))

    def get_output(self, request: Request, key: str, name: str) -> Response:
        """Return a file that a run left."""
        run, store = self.find_run(key, name)
        return send_output(store, run, request.args.get("name", ""))

    def get_usage(self, request: Request, key: str, name: str) -> Response:
        """Return what a run uses."""
        run, store = self.find_run(key, name)
        return _json(finite(usage_view(run, store.read_usage_lines(name))))

    def _rank(self, request: Request, key: str, run: Attempt) -> int:
        rank: int = request.args.get("rank", 0, type=int)
        if not 0 <= rank < count_nodes(self._read_study(key), run):
            raise NotFound(f"{run.name} has no node of rank {rank}")
        return rank

    def find_run(self, key: str, name: str) -> tuple[Attempt, MetricStore]:
        """Return a run of a study, and the study's metric store.

        Raises:
            NotFound: If there is no such run, or the store is unknown.
        """
        study = self._read_study(key)
        run = next((run for run in study.runs if run.name == name), None)
        if run is None:
            raise NotFound
        if study.store is None or study.uid is None:
            raise NotFound("the metric store of this study is unknown")
        place = (study.store, study_folder(study.name, study.uid))
        with self._lock:
            store = self._stores.get(place, lambda: self._open_store(study, *place))
        return run, store

    def _open_store(self, study: Study, uri: str, folder: str) -> MetricStore:
        options = self._find_options(study)
        try:
            return MetricStore(uri, folder, options)
        except ConfigError as error:
            hint = "" if options else ". Or start the dashboard with the study.yaml of this study"
            raise ConfigError(f"metric store {uri}: {error}{hint}") from None


def _find_subject(study: Study, run: Attempt) -> Subject:
    if run.is_final:
        return _found(find_final_run, study, final_name(run))
    return _found(find_trial, study, run.trial)


def _found(find: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return what a function finds; what a study does not have is not found."""
    try:
        return find(*arguments)
    except StudyError as error:
        raise NotFound(str(error)[:1000]) from None


def _answer(request: Request, view: dict[str, Any]) -> Response:
    """Return a view with its version, or the version alone if the page has that already."""
    encoded = encode_json(finite(view))
    version = hashlib.sha256(encoded.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if request.args.get("known") == version:
        return _json({"version": version})
    return _json({"version": version, "view": finite(view)})


def _json(content: dict[str, Any]) -> Response:
    return Response(encode_json(content), content_type="application/json")
