"""Why a job run failed, as far as its log tells, and what to change.

Every hint is a statement that was verified: a file that is said to exist does exist. A failure
without a known cause has no hint; its log is shown anyway.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.core.attempts import Attempt
from tune_jobs.script.rejections import explain_rejection
from tune_jobs.tuning.spec import TuningSpec

LAST_LINES = 60
"""Lines at the end of a log that hints are found in."""

USAGE_LINES = 500
"""Lines at the end of a log that may be a script's usage message."""

_MAX_LINE = 2000


@dataclass(frozen=True)
class FailedRun:
    """A job run that failed, and where it ran.

    Args:
        cause: What the backend says about its end.
        log: The end of what it printed.
        argv: The arguments after the entry point.
        names: Names of the parameters.
        command: The words in front of the arguments.
        backend: Name of the backend.
        folders: The user's folders, in which files of the project may be: the first is the one
            that relative paths of the definition start from.
        work: The working folder of the run; None if it is on another machine.
        max_parallel: How many runs may be live at once.
    """

    cause: str
    log: str
    argv: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    command: tuple[str, ...] = ()
    backend: str = "local"
    folders: tuple[Path, ...] = ()
    work: Path | None = None
    max_parallel: int = 1

    @property
    def is_local(self) -> bool:
        """Whether it ran on this machine, where files can be linked into its folder."""
        return self.backend == "local"


def describe_failure(
    spec: TuningSpec, attempt: Attempt, cause: str, log: str, work: Path
) -> FailedRun:
    """Return a failed run as far as this process knows it.

    Args:
        spec: What is tuned, and how.
        attempt: The attempt that failed.
        cause: What the backend says about its end.
        log: The end of what it printed.
        work: Its working folder, as it sees it.
    """
    folders, command = [Path.cwd()], list[str]()
    if isinstance(spec.backend, LocalBackend):
        entry_point = spec.backend.entry_point
        command = entry_point.command(spec.backend.python)
        scripts = [Path(word).parent for word in command[1:] if os.path.isabs(word)]
        folders = [Path(entry_point.root), *folders, *scripts]
    return FailedRun(
        cause=cause,
        log=log,
        argv=attempt.invocation.argv,
        names=frozenset(spec.space.names),
        command=tuple(command),
        backend=spec.backend.name,
        folders=tuple(dict.fromkeys(folders)),
        work=work if isinstance(spec.backend, LocalBackend) else None,
        max_parallel=1 if attempt.trial is None else spec.options.max_parallel,  # 1: a check
    )


def find_hint(run: FailedRun) -> str:
    """Return the reason for a failure with its fix; an empty string if it is not known.

    Of several messages in the log the last one counts.
    """
    lines = [line[:_MAX_LINE] for line in run.log.replace("\r", "\n").splitlines()]
    rejection = explain_rejection("\n".join(lines[-USAGE_LINES:]), run.argv, run.names)
    if rejection:
        return rejection
    text = "\n".join([run.cause, *lines[-LAST_LINES:]])
    found = [(m.start(), m, explain) for p, explain in _RULES for m in p.finditer(text)]
    for _, match, explain in sorted(found, key=lambda each: each[0], reverse=True):
        if hint := explain(match, run):
            return hint
    return ""


# -- files ------------------------------------------------------------------------------------

_QUOTED = re.compile(r"(?<!\w)'([^']+)'|\"([^\"]+)\"|‘([^’]+)’")
_BARE = re.compile(r"[^\s'\"`,;:()\[\]{}<>=]+")
_PATH_LIKE = re.compile(r"[./]")


def _explain_missing_file(match: re.Match[str], run: FailedRun) -> str:
    line = match[0]
    if re.search(r"command not found|: \d+: \S+: not found$|No module named", line):
        return ""  # a program, or a module
    own = {os.path.basename(word) for word in run.command}
    for path in _find_paths(line):
        inside = _relative_to_work(path, run)
        if inside is None or path in own:
            continue
        for folder in run.folders:
            if (folder / inside).exists() and not _exists_in_work(inside, run):
                return _describe_missing_file(inside, folder, run)
        if hint := _explain_missing_folder(inside, line, run):
            return hint
    return ""


def _find_paths(line: str) -> Iterator[str]:
    """Yield what may be a path in a message, quoted ones first."""
    for match in _QUOTED.finditer(line):
        yield next(filter(None, match.groups()))
    for match in _BARE.finditer(_QUOTED.sub(" ", line)):
        word = match[0].rstrip(".!")
        if _PATH_LIKE.search(word):
            yield word


def _relative_to_work(path: str, run: FailedRun) -> str | None:
    """Return a path relative to the run's working folder; None if it is elsewhere."""
    if "\0" in path or "://" in path or len(path) > 1000:
        return None
    if os.path.isabs(path):
        if run.work is None or not path.startswith(f"{run.work}{os.sep}"):
            return None
        path = os.path.relpath(path, run.work)
    normal = os.path.normpath(path)
    return None if normal == "." else normal


def _exists_in_work(path: str, run: FailedRun) -> bool:
    return run.work is not None and (run.work / path).exists()


def _describe_missing_file(path: str, folder: Path, run: FailedRun) -> str:
    if not run.is_local:
        return (
            f"{path} is in {folder}, but not in the job's artifact: upload the folder with "
            "DataScienceBackend.from_script(..., source=...), in study.yaml backend: {source: .}"
        )
    problem = f"{path} is in {folder}, but a run works in a folder of its own"
    first = Path(path).parts[0]
    if first == "..":
        return f"{problem}: pass an absolute path to the script"
    return f"{problem}: {_describe_link(folder / first, run)}"


def _describe_link(path: Path, run: FailedRun) -> str:
    root = run.folders[0]
    link = os.path.relpath(path, root) if root in path.parents else str(path)
    return f'LocalBackend(link=["{link}"]), in study.yaml backend: {{link: ["{link}"]}}'


def _explain_missing_folder(path: str, line: str, run: FailedRun) -> str:
    """Return why a file is not found, or cannot be created, in a folder of the project."""
    parent = os.path.dirname(path)
    is_certain = "No such file or directory" in line and run.work is not None
    if not is_certain or not parent or parent.startswith("..") or _exists_in_work(parent, run):
        return ""
    for folder in run.folders:
        if (folder / parent).is_dir():
            return (
                f"a run works in a folder of its own, which has no {parent}: create it in the "
                "script if it writes there, or link it if it reads there: "
                f"{_describe_link(folder / Path(parent).parts[0], run)}"
            )
    return ""


# -- modules and programs ---------------------------------------------------------------------

_DISTRIBUTIONS = {
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def _explain_missing_module(match: re.Match[str], run: FailedRun) -> str:
    module = match[1].strip("'")
    for folder in run.folders:
        for place in (folder, folder / "src"):
            path = place.joinpath(*module.split("."))
            if path.with_suffix(".py").is_file() or any(path.glob("*.py")):
                return _describe_module(module, place, run)
    if not run.is_local:
        return f"the job's environment has no module {module}: choose another conda environment"
    return "" if "." in module else _describe_package(module, run)


def _describe_package(name: str, run: FailedRun) -> str:
    """Return why a package is not installed where it is needed."""
    python = run.command[0] if run.command else ""
    if not os.path.basename(python).startswith("python"):
        return f"the Python that the run starts has no module {name}: install it there"
    if not _is_installed(name):
        distribution = _DISTRIBUTIONS.get(name, name)
        return f"{python} has no module {name}: {python} -m pip install {distribution}"
    if os.path.abspath(python) == os.path.abspath(sys.executable):
        return ""
    return (
        f"{python} has no module {name}, but {sys.executable} has: "
        f'LocalBackend(python="{sys.executable}"), in study.yaml python: {sys.executable}'
    )


def _describe_module(module: str, place: Path, run: FailedRun) -> str:
    if not run.is_local:
        return (
            f"module {module} is in {place}, but not in the job's artifact: upload the folder with "
            "DataScienceBackend.from_script(..., source=...), in study.yaml backend: {source: .}"
        )
    return (
        f"module {module} is in {place}, where the run does not look for it: "
        f'LocalBackend(env={{"PYTHONPATH": "{place}"}}), '
        f"in study.yaml backend: {{env: {{PYTHONPATH: {place}}}}}"
    )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _explain_missing_program(match: re.Match[str], run: FailedRun) -> str:
    program = match[1]
    hint = f"the program {program} is not on the run's PATH"
    if program in ("python", "python3") and run.is_local:
        return f"{hint}: write {sys.executable} in the script"
    return f"{hint}: install it, or write its absolute path"


def _explain_not_startable(match: re.Match[str], run: FailedRun) -> str:
    error, path = match[1], Path(match[2])
    if not path.is_file():
        missing = error == "2" and "/" not in match[2]
        return f"the program {path} is not on PATH: install it" if missing else ""
    return {
        "2": f"the interpreter in the first line of {path} does not exist: correct the line",
        "8": f"{path} names no interpreter: add a first line such as #!/usr/bin/env python3",
        "13": f"{path} is not executable: chmod +x {path}",
    }.get(error, "")


def _explain_permission(match: re.Match[str], run: FailedRun) -> str:
    for folder in filter(None, [run.work, *run.folders]):
        found = folder / match[1]  # or the path itself, if it is absolute
        may_write = os.access(found, os.R_OK | os.W_OK)
        if found.is_file() and may_write and not os.access(found, os.X_OK):
            return f"{found} is not executable: chmod +x {found}"
    return ""


# -- resources --------------------------------------------------------------------------------


def _explain_memory(match: re.Match[str], run: FailedRun) -> str:
    return f"it ran out of memory: {_use_less(run)}"


def _explain_kill(match: re.Match[str], run: FailedRun) -> str:
    return f"if this machine ran out of memory: {_use_less(run)}" if run.is_local else ""


def _explain_gpu_memory(match: re.Match[str], run: FailedRun) -> str:
    return f"the GPU ran out of memory: {_use_less(run)}"


def _use_less(run: FailedRun) -> str:
    smaller = "bound what the space asks for (batch sizes, widths)"
    if run.is_local and run.max_parallel > 1:
        live = f"up to {run.max_parallel} runs share this machine"
        return f"lower max_parallel ({live}), or {smaller}"
    return smaller


def _explain_busy_port(match: re.Match[str], run: FailedRun) -> str:
    if not run.is_local or run.max_parallel < 2:
        return ""
    return (
        "its port is in use, perhaps by another run on this machine: let the script choose a free "
        "port (0), or set max_parallel to 1"
    )


def _say(hint: str) -> Callable[[re.Match[str], FailedRun], str]:
    return lambda match, run: hint


_Explain = Callable[[re.Match[str], FailedRun], str]
_FILE_PROBLEMS = (
    r"no such file|not found|does not exist|doesn't exist|"
    r"(?:cannot|can't|could not|couldn't|unable to|failed to) (?:open|find|read|load|locate)"
)
_MESSAGES: Sequence[tuple[str, _Explain]] = (
    (r"could not be started: \[Errno (\d+)\] [^:]+: '(.+)'", _explain_not_startable),
    (
        r"(?m)^(?:(?:ModuleNotFoundError|ImportError): |\S*python[\d.]*: )"
        r"No module named ('?[\w.]+'?)$",
        _explain_missing_module,
    ),
    (r"\(ModuleNotFoundError: No module named '([\w.]+)'\)", _explain_missing_module),
    (r"(?m)^(?:.*: )?([\w.+-]+): command not found$", _explain_missing_program),
    (r"(?m)^\S*sh: \d+: ([\w.+-]+): not found$", _explain_missing_program),
    (r"(?m)^(?:.*: )?(\S+): Permission denied$", _explain_permission),
    (r"Permission denied: '([^']+)'", _explain_permission),
    (r"CUDA out of memory|OutOfMemoryError: CUDA|CUBLAS_STATUS_ALLOC_FAILED", _explain_gpu_memory),
    (r"RESOURCE_EXHAUSTED: Out of memory", _explain_gpu_memory),
    (
        r"no CUDA-capable device|Found no NVIDIA driver|Torch not compiled with CUDA enabled|"
        r"CUDA error: invalid device ordinal",
        _say(
            "the run does not see the GPU that the script asks for: let it run on the CPU, or "
            "correct the device"
        ),
    ),
    (r"(?m)^[\w.]*MemoryError\b|std::bad_alloc|Cannot allocate memory", _explain_memory),
    (
        r"No space left on device",
        _say("the disk is full: free space, or use another store (store=)"),
    ),
    (r"Address already in use", _explain_busy_port),
    (
        r"(?m)^EOFError: EOF when reading a line",
        _say("it asks for input, but a run has no terminal: pass the answer as an argument"),
    ),
    (
        r"no display name and no \$DISPLAY|cannot connect to X server|could not connect to display",
        _say(
            'it opens a window, but a run has no display: set env={"MPLBACKEND": "Agg"} for '
            "matplotlib"
        ),
    ),
    (rf"(?mi)^.*(?:{_FILE_PROBLEMS}).*$", _explain_missing_file),
    (r"\Akilled by signal SIGKILL", _explain_kill),
    (r"\(out of memory: killed at", _explain_memory),
)
_RULES = tuple((re.compile(pattern), explain) for pattern, explain in _MESSAGES)
