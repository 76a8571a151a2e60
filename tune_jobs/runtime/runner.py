"""The runner: the small program inside a job run that starts the script and tells of it.

It starts the script with the arguments of the job run, follows what it prints, reports and writes,
uploads that as it comes, uploads what the script left at its end, and ends with its exit code.

What it needs to know is in environment variables, set by the tuner on the job and on the run:

    TUNE_JOBS_COMMAND         JSON list: the first words of the script's command; ``{python}`` is
                              this interpreter, ``{here}`` the unpacked artifact
    TUNE_JOBS_HERE            that folder
    TUNE_JOBS_WORK_DIR        where the script starts; the same ``{here}``
    TUNE_JOBS_STORE           URI of the study's folder in the metric store
    TUNE_JOBS_RUN             the run's name
    TUNE_JOBS_SOURCES         JSON: what `Follower` looks for
    TUNE_JOBS_REQUEST         "1": arguments and files are in STORE/runs/NAME/request.json
    TUNE_JOBS_RESUME_FROM     names of earlier runs: the checkpoints of the first that left some
                              are downloaded
    TUNE_JOBS_EXPAND          further variables whose values name the run's folders
    TUNE_JOBS_UPLOAD_SECONDS  least time between two uploads of metrics (5)
    TUNE_JOBS_UPLOAD_RATE     bytes of metrics and log a second, at most (1e6)
    TUNE_JOBS_LOG_SECONDS     least time between two uploads of the log (30)
    TUNE_JOBS_GRACE           seconds between TERM and KILL (10)

In arguments, in files and in the variables of TUNE_JOBS_EXPAND the texts $TUNE_JOBS_OUTPUTS_DIR,
$TUNE_JOBS_CHECKPOINT_DIR, $TUNE_JOBS_RESUME_DIR and $TUNE_JOBS_WORK_DIR are replaced by the paths.
It leaves

    STORE/metrics/NAME.jsonl    STORE/runs/NAME/{log.txt, run.jsonl, outputs/, checkpoints/}

Exit codes: the script's own; 128 + n if a signal ended it; 127 if it could not be started; 70 if
what it reported or left could not be uploaded.

Run side: standard library only, Python 3.8 on; the ``oci`` package where the store is ``oci://``.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from .follow import Follower
from .upload import GrowingFile, open_place

NOT_UPLOADED = 70
NOT_STARTED = 127
POLL_SECONDS = 0.5
PIPE_SECONDS = 5.0
"""Seconds to wait for what children of the script still print after its end."""

_PATHS = (
    *("TUNE_JOBS_WORK_DIR", "TUNE_JOBS_OUTPUTS_DIR"),
    *("TUNE_JOBS_CHECKPOINT_DIR", "TUNE_JOBS_RESUME_DIR"),
)
_OURS = (
    *("COMMAND", "HERE", "SOURCES", "REQUEST", "RESUME_FROM", "EXPAND"),
    *("UPLOAD_SECONDS", "UPLOAD_RATE", "LOG_SECONDS"),
)


def main(argv: List[str]) -> int:
    """Run the script with these arguments; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="tune_jobs-") as scratch:
        run = _Run(os.environ, scratch)
        try:
            argv = run.prepare(argv)
        except Exception as error:  # whatever the store's client raises
            print(f"tune_jobs: the run cannot be prepared: {error}", file=sys.stderr)
            return NOT_UPLOADED
        return run.run(argv)


class _Run:
    """One run of the script."""

    def __init__(self, env: Mapping[str, str], scratch: str) -> None:
        here = env.get("TUNE_JOBS_HERE", os.getcwd())
        self._name = env["TUNE_JOBS_RUN"]
        words = {"{python}": sys.executable, "{here}": here}
        self._command = [_replaced(w, words) for w in json.loads(env["TUNE_JOBS_COMMAND"])]
        self._work = os.path.abspath(_replaced(env.get("TUNE_JOBS_WORK_DIR", "."), words))
        self._place = open_place(env["TUNE_JOBS_STORE"])
        self._env, self._scratch = env, scratch
        self._log = os.path.join(scratch, "log.txt")
        self._metrics = os.path.join(scratch, "metrics.jsonl")
        self._reported = os.path.join(scratch, "reported.jsonl")
        self._folders = {
            "outputs": os.path.join(scratch, "outputs"),
            "checkpoints": os.path.join(scratch, "checkpoints"),
        }
        self._paths = {
            "TUNE_JOBS_WORK_DIR": self._work,
            "TUNE_JOBS_OUTPUTS_DIR": self._folders["outputs"],
            "TUNE_JOBS_CHECKPOINT_DIR": self._folders["checkpoints"],
            "TUNE_JOBS_RESUME_DIR": os.path.join(scratch, "resume"),
        }
        self._history: List[Dict[str, Any]] = []
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._stopped = False
        self._done = threading.Event()

    def prepare(self, argv: List[str]) -> List[str]:
        """Folders and files; returns the arguments with the run's folders in them."""
        for folder in (*self._folders.values(), self._paths["TUNE_JOBS_RESUME_DIR"]):
            os.makedirs(folder)
        self._download_checkpoints()
        os.makedirs(self._work, exist_ok=True)
        if self._env.get("TUNE_JOBS_REQUEST") == "1":
            request = json.loads(self._place.get(f"runs/{self._name}/request.json"))
            argv = argv if request["argv"] is None else request["argv"]
            for name, text in request["files"].items():
                path = os.path.join(self._work, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(self._with_paths(text))
        return [self._with_paths(word) for word in argv]

    def _download_checkpoints(self) -> None:
        """Those of the run that this one goes on from."""
        here = self._paths["TUNE_JOBS_RESUME_DIR"]
        for name in filter(None, self._env.get("TUNE_JOBS_RESUME_FROM", "").split(",")):
            root = f"runs/{name}/checkpoints"
            found = self._place.find(root)
            for relative in found:
                path = os.path.normpath(os.path.join(here, relative))
                if not path.startswith(here + os.sep):
                    raise ValueError(f"a checkpoint is called {relative!r}")
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._place.get_file(f"{root}/{relative}", path)
            if found:
                return

    def run(self, argv: List[str]) -> int:
        """Start the script, follow it to its end, and upload."""
        started = time.time()
        command = [*self._command, *argv]
        self._note({"event": "accepted", "time": started, "command": command})
        uploads = _Uploads(self._place, self._name, self._metrics, self._log, self._env)
        # One that is not readable in the archive any more as a program is made one again.
        if len(self._command) == 1 and os.path.isfile(command[0]):
            os.chmod(command[0], 0o755)
        follower = Follower(
            json.loads(self._env["TUNE_JOBS_SOURCES"]),
            self._log,
            self._reported,
            self._work,
            self._metrics,
        )
        try:
            process = self._start(command)
        except OSError as error:
            return self._finish(
                NOT_STARTED, f"could not be started: {error}", started, uploads, follower
            )
        self._note({"event": "started", "pid": process.pid, "time": started})
        copier = threading.Thread(target=self._copy, args=(process.stdout,), daemon=True)
        copier.start()
        uploads.start()
        code = self._follow(process, follower, uploads)
        copier.join(PIPE_SECONDS)
        follower.finish(time.time())
        return self._finish(*_verdict(code, self._stopped), started, uploads, follower)

    def _start(self, command: List[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            cwd=self._work,
            env=self._script_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._process = process
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        return process

    def _follow(
        self, process: subprocess.Popen[bytes], follower: Follower, uploads: _Uploads
    ) -> int:
        """Until the script has ended; returns its exit code."""
        threading.Thread(target=self._wait, args=(process,), daemon=True).start()
        while not self._done.wait(POLL_SECONDS):
            if follower.poll(time.time()):
                uploads.wanted.set()
        return process.returncode

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._done.set()

    def _copy(self, pipe: Any) -> None:
        """What the script prints goes into its log, and on to ours, for the service's log."""
        out = sys.stdout.fileno()
        with open(self._log, "ab", buffering=0) as log, pipe:
            while True:
                data = os.read(pipe.fileno(), 1 << 16)
                if not data:
                    return
                log.write(data)
                with contextlib.suppress(OSError):  # nobody listens; the run goes on
                    os.write(out, data)

    def _stop(self, number: int, frame: object) -> None:
        """Pass a signal on, and end what does not heed it."""
        process = self._process
        if process is None or self._stopped:
            return
        self._stopped = True
        _signal(process.pid, signal.SIGTERM)
        grace = float(self._env.get("TUNE_JOBS_GRACE", "10"))
        timer = threading.Timer(grace, _signal, (process.pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def _finish(
        self, code: int, cause: str, started: float, uploads: _Uploads, follower: Follower
    ) -> int:
        """Upload all that is left to upload; the history last, with how it ended."""
        uploads.stop()
        state = "CANCELED" if self._stopped else "FAILED" if cause else "SUCCEEDED"
        failed = uploads.last() or self._upload_folders()
        if failed and code == 0:
            code, state, cause = NOT_UPLOADED, "FAILED", failed
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._note(
            {
                "event": "ended",
                "state": state,
                "exit_code": code,
                "cause": cause,
                "metrics_problem": follower.problem,
                "metrics_bytes": follower.size,
                "started": started,
                "finished": time.time(),
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
                "max_rss_kb": usage.ru_maxrss,
            }
        )
        text = "".join(json.dumps(event) + "\n" for event in self._history)
        failed = _tried(lambda: self._place.put(f"runs/{self._name}/run.jsonl", text.encode()))
        if cause:
            print(f"tune_jobs: the script ended: {cause}", flush=True)
        return code or (NOT_UPLOADED if failed else 0)

    def _upload_folders(self) -> str:
        """Everything that the script left in its folders; returns what went wrong."""
        for folder, root in self._folders.items():
            for path in _files_below(root):
                relative = os.path.relpath(path, root)
                name = f"runs/{self._name}/{folder}/{relative}"
                failed = _tried(lambda name=name, path=path: self._place.put_file(name, path))
                if failed:
                    return failed
        return ""

    def _script_env(self) -> Dict[str, str]:
        env = {k: v for k, v in self._env.items() if k not in {f"TUNE_JOBS_{n}" for n in _OURS}}
        for name in filter(None, self._env.get("TUNE_JOBS_EXPAND", "").split(",")):
            env[name] = self._with_paths(env[name])
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        inherited = env.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join([package, *([inherited] if inherited else [])])
        env["TUNE_JOBS_METRICS_FILE"] = self._reported
        env.setdefault("PYTHONUNBUFFERED", "1")  # metrics are to be seen when they are printed
        env.update(self._paths)
        return env

    def _with_paths(self, text: str) -> str:
        return _replaced(text, {f"${name}": self._paths[name] for name in _PATHS})

    def _note(self, event: Dict[str, Any]) -> None:
        self._history.append(event)


class _Uploads:
    """Uploads metrics and log while the script runs, never more often than it should."""

    def __init__(
        self, place: Any, name: str, metrics: str, log: str, env: Mapping[str, str]
    ) -> None:
        self._metrics = GrowingFile(place, f"metrics/{name}.jsonl", metrics)
        self._log = GrowingFile(place, f"runs/{name}/log.txt", log, shorten=True)
        self._seconds = float(env.get("TUNE_JOBS_UPLOAD_SECONDS", "5"))
        self._rate = float(env.get("TUNE_JOBS_UPLOAD_RATE", "1e6"))
        self._log_seconds = float(env.get("TUNE_JOBS_LOG_SECONDS", "30"))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._warned = False
        self.wanted = threading.Event()

    def start(self) -> None:
        """Upload from now on, in a thread: a slow store keeps nothing up."""
        self._thread.start()

    def stop(self) -> None:
        """End that thread, after an upload that it may be doing."""
        self._stopping.set()
        self.wanted.set()
        if self._thread.is_alive():
            self._thread.join()

    def last(self) -> str:
        """The last upload of both; returns what went wrong."""
        return _tried(self._metrics.upload) or _tried(self._log.upload)

    def _work(self) -> None:
        next_log = time.monotonic() + self._log_seconds
        while not self._stopping.is_set():
            if self.wanted.wait(max(0.0, next_log - time.monotonic())):
                self.wanted.clear()
                self._warn(_tried(self._metrics.upload))
            if time.monotonic() >= next_log:
                self._warn(_tried(self._log.upload))
                next_log = time.monotonic() + self._log_seconds
            # A file is uploaded whole: the longer it is, the more seldom.
            size = self._metrics.uploaded + self._log.uploaded
            self._stopping.wait(max(self._seconds, size / self._rate))

    def _warn(self, failed: str) -> None:
        if failed and not self._warned:
            self._warned = True
            print(f"tune_jobs: {failed}; trying again", file=sys.stderr, flush=True)


def _verdict(code: int, stopped: bool) -> Tuple[int, str]:
    """The runner's exit code, and why it is not 0."""
    if code < 0:
        names = {s.value: s.name for s in signal.Signals}
        name = names.get(-code, str(-code))
        if stopped:
            return 128 - code, f"stopped by {name}"
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return 128 - code, f"killed by signal {name}{hint}"
    return code, f"exit code {code}" if code else ""


def _tried(upload: Any) -> str:
    """Do an upload; returns what went wrong."""
    try:
        upload()
    except Exception as error:  # whatever the store's client raises
        return f"an upload failed: {error}"
    return ""


def _files_below(root: str) -> Iterator[str]:
    """All files below a folder; links that lead out of it are left alone."""
    real = os.path.realpath(root)
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = os.path.join(folder, name)
            inside = os.path.realpath(path).startswith(real + os.sep)
            if os.path.isfile(path) and inside:
                yield path


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _replaced(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
