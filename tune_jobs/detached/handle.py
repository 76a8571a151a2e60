"""A detached study, as its launcher follows it."""

from __future__ import annotations

from tune_jobs.arguments.calls import strict_types
from tune_jobs.core.controllers import ControllerRecord
from tune_jobs.detached.following import ControllerFollower
from tune_jobs.detached.launching import Launched
from tune_jobs.notebook.monitor import StudyMonitor


class DetachedStudy(StudyMonitor):
    """A study that a controller tunes; `Tuner.detach` returns one.

    The same study is seen from any other process by ``Tuner.attach(study_name, storage)``.

    Args:
        study_name: Name of the study.
        launched: Its controller.
    """

    def __init__(self, study_name: str, launched: Launched) -> None:
        super().__init__(study_name, launched.storage.open())
        self._follower = ControllerFollower(launched.place, launched.rows, launched.record.name)
        self.storage = str(launched.storage)

    @property
    def controller(self) -> ControllerRecord:
        """The controller: its name, place, process or job run, log, and times."""
        return self._follower.read_record()

    @strict_types
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the controller has ended, with what follows the tuning.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            Whether it has ended.
        """
        return self._follower.follow(timeout)

    @strict_types
    def logs(self, *, follow: bool = False) -> str:
        """Return what the controller has printed.

        Args:
            follow: Whether to print it as well, until the controller has ended.
        """
        if follow:
            self._follower.follow(show=True)
        return self._follower.read_log().decode("utf-8", "replace")

    def _more_facts(self) -> list[tuple[str, str]]:
        record = self.controller
        state = "ended" if record.finished else "running" if record.started else "starting"
        return [("controller", f"{record.name}, {state}; log {record.log}")]
