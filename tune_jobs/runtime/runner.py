"""The runner: the program in a job run that starts the script and uploads its results.

It starts the script with the arguments of the job run, collects its metrics and output, uploads
both while the script runs, uploads its files at the end, and exits with the script's exit code.

Environment variables, set by the tuner on the job and on the run, configure it:

    TUNE_JOBS_COMMAND         JSON list: first words of the script's command; ``{python}`` is this
                              interpreter, ``{here}`` the unpacked artifact
    TUNE_JOBS_HERE            folder of the unpacked artifact
    TUNE_JOBS_WORK_DIR        working directory of the script; ``{here}`` as above
    TUNE_JOBS_STORE           URI of the study's folder in the metric store
    TUNE_JOBS_RUN             name of the run
    TUNE_JOBS_SOURCES         JSON: sources of metrics, see `Follower`
    TUNE_JOBS_REQUEST         "1": arguments and files are in STORE/runs/NAME/request.json
    TUNE_JOBS_RESUME_FROM     names of earlier runs: the checkpoints of the first one that has any
                              are downloaded
    TUNE_JOBS_SECRETS         JSON: OCIDs of secrets by the names of the script's variables
    TUNE_JOBS_EXPAND          names of further variables whose values contain the run's folders
    TUNE_JOBS_UPLOAD_SECONDS  minimum time between two uploads of metrics (5)
    TUNE_JOBS_UPLOAD_RATE     maximum bytes of metrics and log per second (1e6)
    TUNE_JOBS_LOG_SECONDS     minimum time between two uploads of the log (30)
    TUNE_JOBS_WORK_BYTES      maximum bytes of its working directory that are kept (2**30)
    TUNE_JOBS_GRACE           seconds between SIGTERM and SIGKILL (10)

In arguments, files and the variables of TUNE_JOBS_EXPAND, $TUNE_JOBS_OUTPUTS_DIR,
$TUNE_JOBS_CHECKPOINT_DIR, $TUNE_JOBS_RESUME_DIR and $TUNE_JOBS_WORK_DIR are replaced by paths.
The runner writes

    STORE/metrics/NAME.jsonl
    STORE/runs/NAME/{log.txt, run.jsonl, usage.jsonl, outputs/, checkpoints/, work/}

work/ has the files that the script left in its working directory, unless it was stopped: those that
are new or changed, up to the limits of `left_files`; omitted.json says what is above them.

usage.jsonl is what it used, see `usage`. run.jsonl, the history, is written last; its event
"ended" says how many bytes of metrics there are.

STORE/runs/NAME/begun.json is written first. Uploads of results are repeated with new credentials
for minutes before they are given up.

Exit codes: the script's own; 128 + n if signal n ended it; 127 if it could not be started; 70 if
its metrics or files could not be uploaded; those of `refusals` if the store or a secret cannot be
used, before the script is started.
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
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from .follow import Follower
from .left_files import find_left_files, portable_name, take_snapshot
from .nodes import complete_environment, find_node
from .refusals import begin, persist
from .secret_values import NAMES, mask_values, note_unmasked, resolve_secrets
from .steady_time import read_time
from .upload import GrowingFile, open_place
from .usage import UsageMeter, explain_kill, measure_container, summarize_child

NOT_UPLOADED = 70
NOT_STARTED = 127
POLL_SECONDS = 0.5
PIPE_SECONDS = 5.0
"""Seconds to wait, after the script's end, for the output of its children."""

_PATHS = (
    *("TUNE_JOBS_WORK_DIR", "TUNE_JOBS_OUTPUTS_DIR"),
    *("TUNE_JOBS_CHECKPOINT_DIR", "TUNE_JOBS_RESUME_DIR"),
)
_OURS = (
    *("COMMAND", "HERE", "SOURCES", "REQUEST", "RESUME_FROM", "EXPAND", "SECRETS"),
    *("UPLOAD_SECONDS", "UPLOAD_RATE", "LOG_SECONDS", "WORK_BYTES"),
)


def main(argv: list[str]) -> int:
    """Run the script with these arguments; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="tune_jobs-") as scratch:
        secrets, refused = resolve_secrets(os.environ, open_place)
        if refused:
            return refused
        name = os.environ["TUNE_JOBS_RUN"] + find_node(os.environ).folder
        place, refused = begin(open_place, os.environ["TUNE_JOBS_STORE"], name)
        if refused:
            return refused
        try:
            env = {**os.environ, **complete_environment(os.environ)}
            run = _Run(env, scratch, place, secrets)
            argv = run.prepare(argv)
        except Exception as error:  # whatever the store's client raises
            print(f"tune_jobs: preparing the run failed: {error}", file=sys.stderr)
            return NOT_UPLOADED
        return run.run(argv)


class _Run:
    """Run of the script."""

    def __init__(
        self, env: Mapping[str, str], scratch: str, place: Any, secrets: Mapping[str, str]
    ) -> None:
        here = env.get("TUNE_JOBS_HERE", os.getcwd())
        self._name = env["TUNE_JOBS_RUN"]
        self._node = find_node(env)
        self._root = f"runs/{self._name}{self._node.folder}"
        words = {"{python}": sys.executable, "{here}": here}
        self._command = [_replace(w, words) for w in json.loads(env["TUNE_JOBS_COMMAND"])]
        self._work = os.path.abspath(_replace(env.get("TUNE_JOBS_WORK_DIR", "."), words))
        self._place = place
        self._env, self._scratch = env, scratch
        self._secrets, self._masking = secrets, mask_values(secrets)
        self._log = os.path.join(scratch, "log.txt")
        self._metrics = os.path.join(scratch, "metrics.jsonl")
        self._reported = os.path.join(scratch, "reported.jsonl")
        self._used = os.path.join(scratch, "usage.jsonl")
        self._meter: UsageMeter | None = None
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
        self._history: list[dict[str, Any]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._before: Any = {}
        self._stopped = False
        self._done = threading.Event()

    @property
    def _is_root(self) -> bool:
        """Whether the script works in the root folder, as in an image that names no other."""
        return os.path.dirname(self._work) == self._work

    def prepare(self, argv: list[str]) -> list[str]:
        """Create folders and files; return the arguments with the run's paths."""
        for folder in (*self._folders.values(), self._paths["TUNE_JOBS_RESUME_DIR"]):
            os.makedirs(folder)
        self._download_checkpoints()
        os.makedirs(self._work, exist_ok=True)
        if self._env.get("TUNE_JOBS_REQUEST") == "1":
            request = json.loads(self._place.get(f"runs/{self._name}/request.json"))
            argv = argv if request["argv"] is None else request["argv"]
            for name, content in request["files"].items():
                path = os.path.join(self._work, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(self._insert_paths(content))
        return [self._insert_paths(word) for word in argv]

    def _download_checkpoints(self) -> None:
        """Download the checkpoints of the run to resume from."""
        here = self._paths["TUNE_JOBS_RESUME_DIR"]
        for name in filter(None, self._env.get("TUNE_JOBS_RESUME_FROM", "").split(",")):
            root, found = self._find_checkpoints(f"runs/{name}/checkpoints")
            for relative in found:
                path = os.path.normpath(os.path.join(here, relative))
                if not path.startswith(here + os.sep):
                    raise ValueError(f"invalid path of a checkpoint: {relative!r}")
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._place.get_file(f"{root}/{relative}", path)
            if found:
                return

    def _find_checkpoints(self, root: str) -> tuple[str, list[str]]:
        """Return the folder of an earlier run's checkpoints for this node, and what is in it."""
        for folder in (root + self._node.folder, root):
            found = self._place.find(folder)
            if found:
                return folder, found
        return root, []

    def run(self, argv: list[str]) -> int:
        """Run the script and upload its results; return the exit code."""
        started = read_time()
        command = [*self._command, *argv]
        self._history.append({"event": "accepted", "time": started, "command": command})
        metrics = f"{self._root}/metrics.jsonl"
        if self._node.is_first:
            metrics = f"metrics/{self._name}.jsonl"
        files = (self._metrics, self._log, self._used)
        uploads = _Uploads(self._place, metrics, self._root, files, self._env)
        # Archives and object stores lose the permission to execute.
        if len(self._command) == 1 and os.path.isfile(command[0]):
            os.chmod(command[0], 0o755)
        follower = Follower(
            json.loads(self._env["TUNE_JOBS_SOURCES"]),
            self._log,
            self._reported,
            self._work,
            self._metrics,
            masking=self._masking,
        )
        if not self._is_root:
            self._before = take_snapshot(self._work)
        try:
            process = self._start(command)
        except OSError as error:
            return self._finish(
                NOT_STARTED, f"could not be started: {error}", started, uploads, follower
            )
        self._history.append({"event": "started", "pid": process.pid, "time": started})
        copier = threading.Thread(target=self._copy, args=(process.stdout,), daemon=True)
        copier.start()
        uploads.start()
        self._meter = measure_container(process.pid, self._used, self._env)
        code = self._follow(process, follower, uploads)
        copier.join(PIPE_SECONDS)
        _collect(follower.finish, follower)
        return self._finish(*_classify_exit(code, self._stopped), started, uploads, follower)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
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
        """Collect metrics until the script has ended; return its exit code."""
        threading.Thread(target=self._wait, args=(process,), daemon=True).start()
        while not self._done.wait(POLL_SECONDS):
            if self._meter is not None:
                self._meter.look()
            if _collect(follower.poll, follower):
                uploads.wanted.set()
        return process.returncode

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._done.set()

    def _copy(self, pipe: Any) -> None:
        """Copy the script's output to its log file and, for the service's log, to stdout."""
        stream = self._masking.open_stream()
        with open(self._log, "ab", buffering=0) as log, pipe:
            _print_to(log, note_unmasked(self._secrets).encode())
            while True:
                data = os.read(pipe.fileno(), 1 << 16)
                _print_to(log, stream.feed(data) if data else stream.finish())
                if not data:
                    return

    def _stop(self, number: int, frame: object) -> None:
        """Send SIGTERM to the script, and SIGKILL after the grace period."""
        process = self._process
        if process is None or self._stopped:
            return
        self._stopped = True
        _signal_group(process.pid, signal.SIGTERM)
        grace = float(self._env.get("TUNE_JOBS_GRACE", "10"))
        timer = threading.Timer(grace, _signal_group, (process.pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def _finish(
        self, code: int, cause: str, started: float, uploads: _Uploads, follower: Follower
    ) -> int:
        """Upload everything that remains, the history last; return the exit code."""
        uploads.stop()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = summarize_child(self._meter, usage)
        cause = explain_kill(cause, used)
        state = "CANCELED" if self._stopped else "FAILED" if cause else "SUCCEEDED"
        failed = uploads.finish(self._persist) or self._upload_folders()
        if not failed and not self._stopped and not self._is_root and self._node.is_first:
            self._upload_left_files()
        if failed and code == 0:
            code, state, cause = NOT_UPLOADED, "FAILED", failed
        self._history.append(
            {
                "event": "ended",
                "state": state,
                "exit_code": code,
                "cause": cause,
                "metrics_problem": follower.problem,
                "metrics_bytes": follower.size,
                "started": started,
                "finished": read_time(),
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
                "max_rss_kb": usage.ru_maxrss,
                "usage": used,
            }
        )
        history = "".join(json.dumps(event) + "\n" for event in self._history).encode()
        failed = self._persist(lambda: self._place.put(f"{self._root}/run.jsonl", history))
        if cause:
            print(f"tune_jobs: the script ended: {cause}", flush=True)
        return code or (NOT_UPLOADED if failed else 0)

    def _persist(self, upload: Callable[[], None]) -> str:
        """Upload a result, with patience unless the run is stopped; see `persist`."""
        return persist(upload, lambda: self._stopped)

    def _upload_folders(self) -> str:
        """Upload the script's folders; return an error's message, or an empty string."""
        for folder, root in self._folders.items():
            for path in _files_below(root):
                relative = os.path.relpath(path, root)
                below = f"runs/{self._name}/{folder}{self._node.folder}"
                name = f"{below}/{portable_name(relative)}"
                failed = self._persist(partial(self._place.put_file, name, path))
                if failed:
                    return failed
        return ""

    def _upload_left_files(self) -> None:
        """Upload what the script left in its working directory, as far as that is possible."""
        scratch = self._scratch + os.sep
        left = find_left_files(
            self._work,
            self._before,
            self._env,
            lambda path: os.path.join(self._work, path).startswith(scratch),
        )
        failed = ""
        for path, _ in left.kept:
            name = "/".join(("runs", self._name, "work", portable_name(path)))
            local = os.path.join(self._work, path)
            failed = _try_upload(lambda name=name, local=local: self._place.put_file(name, local))
            if failed:
                break
        omitted = left.describe_omitted()
        if omitted and not failed:
            data = json.dumps(omitted).encode()
            failed = _try_upload(lambda: self._place.put(f"runs/{self._name}/omitted.json", data))
        if failed:
            print(f"tune_jobs: files in the working directory: {failed}", file=sys.stderr)

    def _script_env(self) -> dict[str, str]:
        env = {k: v for k, v in self._env.items() if k not in {f"TUNE_JOBS_{n}" for n in _OURS}}
        for name in filter(None, self._env.get("TUNE_JOBS_EXPAND", "").split(",")):
            env[name] = self._insert_paths(env[name])
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        inherited = env.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join([package, *([inherited] if inherited else [])])
        env["TUNE_JOBS_METRICS_FILE"] = self._reported
        env.setdefault("PYTHONUNBUFFERED", "1")  # else printed metrics would arrive late
        env.update(self._paths)
        env.update(self._secrets)
        if self._secrets:
            env[NAMES] = ",".join(self._secrets)
        return env

    def _insert_paths(self, string: str) -> str:
        return _replace(string, {f"${name}": self._paths[name] for name in _PATHS})


class _Uploads:
    """Uploads of metrics and log while the script runs, at a limited rate.

    Attributes:
        wanted: Event to set when there are new metrics.
    """

    def __init__(
        self,
        place: Any,
        name: str,
        root: str,
        files: tuple[str, str, str],
        env: Mapping[str, str],
    ) -> None:
        metrics, log, used = files
        self._metrics = GrowingFile(place, name, metrics)
        self._log = GrowingFile(place, f"{root}/log.txt", log, shorten=True)
        self._used = GrowingFile(place, f"{root}/usage.jsonl", used)
        self._seconds = float(env.get("TUNE_JOBS_UPLOAD_SECONDS", "5"))
        self._rate = float(env.get("TUNE_JOBS_UPLOAD_RATE", "1e6"))
        self._log_seconds = float(env.get("TUNE_JOBS_LOG_SECONDS", "30"))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._warned = False
        self.wanted = threading.Event()

    def start(self) -> None:
        """Start uploading in a thread, so that a slow store delays nothing else."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, after the upload that it may be doing."""
        self._stopping.set()
        self.wanted.set()
        if self._thread.is_alive():
            self._thread.join()

    def finish(self, persist: Callable[[Callable[[], None]], str]) -> str:
        """Upload both for the last time; return an error's message, or an empty string."""
        _try_upload(self._used.upload)  # nothing to fail a run for
        return persist(self._metrics.upload) or persist(self._log.upload)

    def _work(self) -> None:
        next_log = time.monotonic() + self._log_seconds
        while not self._stopping.is_set():
            if self.wanted.wait(max(0.0, next_log - time.monotonic())):
                self.wanted.clear()
                self._warn(_try_upload(self._metrics.upload))
            if time.monotonic() >= next_log:
                self._warn(_try_upload(self._log.upload) or _try_upload(self._used.upload))
                next_log = time.monotonic() + self._log_seconds
            # Files are uploaded as a whole, so large ones less often.
            size = self._metrics.uploaded + self._log.uploaded
            self._stopping.wait(max(self._seconds, size / self._rate))

    def _warn(self, failed: str) -> None:
        if failed and not self._warned:
            self._warned = True
            print(f"tune_jobs: {failed}; retrying", file=sys.stderr, flush=True)


def _print_to(log: Any, data: bytes) -> None:
    """Write output to the log file and to stdout."""
    log.write(data)
    with contextlib.suppress(OSError):  # a closed stdout must not end the run
        os.write(sys.stdout.fileno(), data)


def _collect(read: Callable[[float], int], follower: Follower) -> int:
    """Collect metrics; what cannot be read must not end the run before its script."""
    try:
        return read(time.time())
    except OSError as error:
        follower.problem = f"its metrics could not be collected: {error}"
        return 0


def _classify_exit(code: int, stopped: bool) -> tuple[int, str]:
    """Return the runner's exit code and the cause of a failure."""
    if code < 0:
        names = {s.value: s.name for s in signal.Signals}
        name = names.get(-code, str(-code))
        if stopped:
            return 128 - code, f"stopped by {name}"
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return 128 - code, f"killed by signal {name}{hint}"
    return code, f"exit code {code}" if code else ""


def _try_upload(upload: Any) -> str:
    """Upload something; return an error's message, or an empty string."""
    try:
        upload()
    except Exception as error:  # whatever the store's client raises
        return f"an upload failed: {error}"
    return ""


def _files_below(root: str) -> Iterator[str]:
    """Yield the paths of all files below a folder, except links that lead out of it."""
    real = os.path.realpath(root)
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = os.path.join(folder, name)
            inside = os.path.realpath(path).startswith(real + os.sep)
            if os.path.isfile(path) and inside:
                yield path


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _replace(string: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        string = string.replace(name, value)
    return string


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
