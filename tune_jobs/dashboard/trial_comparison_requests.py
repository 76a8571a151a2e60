"""Requests about comparisons of trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Request, Response

from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.drawing import finite
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.run_requests import RunRequests
from tune_jobs.dashboard.trial_comparison import (
    Compared,
    draw_curves,
    parse_trials,
    trials_comparison_view,
)
from tune_jobs.dashboard.trial_view import find_trial
from tune_jobs.errors import StudyError
from tune_jobs.runtime.records import Record, decode

MAX_BYTES = 2 << 20
"""Bytes of the metrics of a run that curves against seconds are drawn from."""


class TrialComparisonRequests:
    """Answers requests about comparisons of trials.

    Args:
        read_study: Returns a study by its key, or raises `NotFound`.
        runs: Finds runs and their stores.
    """

    def __init__(self, read_study: Callable[[str], Study], runs: RunRequests) -> None:
        self._read_study, self._runs = read_study, runs

    def get_view(self, request: Request) -> Response:
        """Return facts about trials side by side."""
        view = trials_comparison_view(self._find(request), request.args.get("version", ""))
        return _json(view)

    def get_curves(self, request: Request, axis: str) -> Response:
        """Return the learning curves against steps or seconds."""
        trials = self._find(request)
        if axis not in ("steps", "seconds"):
            raise NotFound
        records = None
        if axis == "seconds":
            records = {i: self._read_records(trial) for i, trial in enumerate(trials)}
        return _json(draw_curves(trials, records))

    def _find(self, request: Request) -> list[Compared]:
        try:
            return [
                Compared(key, find_trial(self._read_study(key), number))
                for key, number in parse_trials(request.args.getlist("trial"))
            ]
        except StudyError as error:
            raise NotFound(str(error)[:1000]) from None

    def _read_records(self, trial: Compared) -> Sequence[Record]:
        """Return the first records of a trial's last run; none if the store is unknown."""
        if trial.run is None or trial.study.store is None:
            return ()
        run, store = self._runs.find_run(trial.key, trial.run.name)
        part = store.read_part(f"metrics/{run.name}.jsonl", 0, MAX_BYTES)
        return () if part is None else decode(part.data).records


def _json(content: object) -> Response:
    return Response(encode_json(finite(content)), content_type="application/json")
