"""How busy the GPUs of this machine are, by ``nvidia-smi``. Python 3.8 on.

The program is started rarely and never waited for: it needs a second, and hangs with some drivers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

LEAST_PAUSE = 30.0
"""Seconds between two calls, at least."""

PAUSE_SHARE = 200.0
"""The pause between two calls, as a multiple of what the last one took: 0.5 % of a core."""

PATIENCE = 10.0
"""Seconds after which a call is killed."""

_QUERY = (
    "--query-gpu=index,uuid,utilization.gpu,memory.used,memory.total",
    "--format=csv,noheader,nounits",
)
_MOST_OUTPUT = 1 << 16
_MEBIBYTE = 1 << 20


class Gpu(NamedTuple):
    """A GPU at some time.

    Args:
        number, uuid: How ``CUDA_VISIBLE_DEVICES`` names it.
        busy: Share of the time in which it was busy.
        memory, total: Bytes that are in use, and that it has.
    """

    number: str
    uuid: str
    busy: float
    memory: int
    total: int


class GpuProbe:
    """Calls of ``nvidia-smi``, one after the other.

    Args:
        program: Its path; by default it is searched for. Without it there are no GPUs.

    Attributes:
        latest: The GPUs as the last call has seen them; None before its answer, and without GPUs.
        answers: Number of answers.
    """

    def __init__(self, program: str | None = None) -> None:
        self._program = program or shutil.which("nvidia-smi")
        self._process: subprocess.Popen[bytes] | None = None
        self._output = b""
        self._began = 0.0
        self._next = 0.0
        self.latest: Sequence[Gpu] | None = None
        self.answers = 0

    def poll(self, now: float) -> None:
        """Start a call if one is due, or take the answer of the last one; never waits.

        Args:
            now: Monotonic seconds.
        """
        if self._program is None:
            return
        if self._process is None:
            if now >= self._next:
                self._start(now)
        elif self._read() or now - self._began > PATIENCE:
            self._end(now)

    def _start(self, now: float) -> None:
        self._began, self._output = now, b""
        try:
            process = subprocess.Popen(
                [str(self._program), *_QUERY],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            self._next = now + PAUSE_SHARE * LEAST_PAUSE  # perhaps no processes may be started now
            return
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._process = process

    def _read(self) -> bool:
        """Read what there is, and return whether that was the end."""
        assert self._process is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            while len(self._output) < _MOST_OUTPUT:
                data = os.read(self._process.stdout.fileno(), 4096)
                if not data:
                    return True
                self._output += data
            return True
        return False

    def _end(self, now: float) -> None:
        process, self._process = self._process, None
        assert process is not None
        assert process.stdout is not None
        process.stdout.close()
        with contextlib.suppress(OSError):
            process.kill()  # it has ended, unless it hangs
        process.poll()
        self._next = now + max(LEAST_PAUSE, PAUSE_SHARE * (now - self._began))
        found = parse_gpus(self._output.decode("utf-8", "replace"))
        if found:
            self.latest, self.answers = found, self.answers + 1


def parse_gpus(output: str) -> list[Gpu]:
    """Return the GPUs that ``nvidia-smi`` lists; lines that say something else are skipped."""
    found = []
    for line in output.splitlines()[:64]:
        words = [word.strip() for word in line.split(",")]
        with contextlib.suppress(ValueError):
            number, uuid, *numbers = words
            busy, used, total = map(float, numbers)
            if 0 <= busy <= 100 and 0 <= used <= total < float("inf"):
                memory = (int(used * _MEBIBYTE), int(total * _MEBIBYTE))
                found.append(Gpu(number, uuid, busy / 100.0, *memory))
    return found


def select_visible(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """Return the GPUs that ``CUDA_VISIBLE_DEVICES`` shows; all without the variable."""
    if visible is None:
        return list(gpus)
    wanted = [word.strip() for word in visible.split(",") if word.strip()]
    return [gpu for gpu in gpus if any(w == gpu.number or gpu.uuid.startswith(w) for w in wanted)]
