"""Figures as the API answers them: JSON, drawn once for each version of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.drawing import finite
from tune_jobs.dashboard.figures import KINDS, Choice, figure_names
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.recent import Recent

MAX_DRAWN = 64
"""Figures that are kept."""

CHOICES = ("objective", "constraint", "x", "y")
"""Parameters of a request that choose what a figure shows."""


class DrawnFigures:
    """Figures that were drawn, the latest ones."""

    def __init__(self) -> None:
        self._drawn: Recent[tuple[Any, ...], tuple[str, bytes]] = Recent(MAX_DRAWN)

    def draw(self, study: Study, name: str, query: Mapping[str, str], now: float) -> bytes:
        """Return a figure with the choices that it offers, as JSON.

        Args:
            study: The study.
            name: Name of the figure.
            query: Parameters of the request.
            now: Seconds since the epoch.

        Raises:
            KeyError: If the study has no such figure.
            ValueError: If what the request chooses is no option.
        """
        if name not in figure_names(study):
            raise KeyError(name)
        chosen = {choice: query[choice] for choice in CHOICES if choice in query}
        key = (*study.identity, name, *sorted(chosen.items()))
        version, drawn = self._drawn.find(key) or ("", b"")
        if version != study.version():
            drawn = encode_json(finite(figure_view(study, name, chosen, now))).encode()
            self._drawn.put(key, (study.version(), drawn))
        return drawn


def figure_view(study: Study, name: str, chosen: Mapping[str, str], now: float) -> dict[str, Any]:
    """Return a figure with the choices that it offers."""
    kind = KINDS[name]
    choices = kind.find_choices(study, chosen)
    return {**kind.draw(study, now, chosen), "choices": [_choice_view(c) for c in choices]}


def _choice_view(choice: Choice) -> dict[str, Any]:
    options = [{"value": value, "label": label} for value, label in choice.options]
    shown = {"name": choice.name, "label": choice.label, "value": choice.value}
    return {**shown, "options": options}


def figures_view(study: Study) -> list[dict[str, Any]]:
    """Return the figures that a study has."""
    return [
        {"name": name, "title": KINDS[name].title, "is_main": KINDS[name].is_main}
        for name in figure_names(study)
    ]
