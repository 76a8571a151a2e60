"""Objects that show the study that they have: in a line, as HTML, and live in a notebook."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import optuna

from tune_jobs.core.formatting import abbreviate
from tune_jobs.errors import StudyError
from tune_jobs.notebook.environment import in_notebook
from tune_jobs.notebook.html import draw_state
from tune_jobs.notebook.live import LiveView
from tune_jobs.notebook.state import Shower, StudyState
from tune_jobs.storage.activity import find_patience
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.database import find_ledger_engine

if TYPE_CHECKING:
    from tune_jobs.dashboard.model import Study


class ShownStudy:
    """An object that shows its study: the tuner, or one who follows it."""

    _shower: ClassVar[Shower]

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._reader: Callable[[], Study] | None = None
        self._seen: Study | None = None
        self._view: LiveView | None = None

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        raise NotImplementedError

    def _more_facts(self) -> Sequence[tuple[str, str]]:
        """Return what else is shown."""
        return ()

    def _read(self) -> Study:
        """Return the study as the dashboard reads it; what has finished is read once."""
        from tune_jobs.notebook.reader import open_reader

        with self._reading:  # a view reads it in its thread
            if self._reader is None:
                self._reader = open_reader(self.study)
            self._seen = self._reader()
            return self._seen

    def _look(self) -> StudyState:
        from tune_jobs.notebook.describing import describe_study

        study, command = self._read(), None
        if study.owner is not None and study.uid is not None:
            command = Controls(find_ledger_engine(self.study), study.uid).read_last()
        return describe_study(study, self._shower, command=command, more=self._more_facts())

    def _is_awaited(self) -> bool:
        """Return whether the study may be tuned although it has no owner."""
        controllers = self._seen.controllers if self._seen is not None else ()
        return find_patience(controllers, time.time()) != 0.0

    def _send(self, command: str, argument: Mapping[str, Any]) -> None:
        """Send a command to the process that tunes the study.

        Raises:
            StudyError: If there is none.
        """
        study = self._read()
        if study.owner is None or study.uid is None:
            raise StudyError(f"no process is tuning study {self.study.study_name!r}")
        Controls(find_ledger_engine(self.study), study.uid).request(command, **argument)

    def _show(self) -> None:
        """Display the study in a notebook, and follow it while it is tuned."""
        if self._view is None:
            self._view = LiveView(self._look, self._send, self._is_awaited)
        self._view.show()

    def _describe(self) -> str:
        """Return the state in a line; the reason if the study cannot be read."""
        try:
            return self._look().line()
        except Exception as error:  # a repr is for looking at what does not work, too
            name = self.study.study_name
            return f"{name}: cannot be read: {type(error).__name__}: {abbreviate(str(error))}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._describe()})"

    def _repr_html_(self) -> str:
        return draw_state(self._look())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        state = self._look()
        return {"text/plain": repr(self), "text/html": draw_state(state)}

    def _ipython_display_(self) -> None:
        if not in_notebook():
            raise NotImplementedError  # IPython then takes the repr
        self._show()
