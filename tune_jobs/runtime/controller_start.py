"""Start a controller in a job run: copied into its artifact, Python 3.8, standard library only.

It installs the wheels that travel with it, and becomes the runner, which starts the controller and
uploads its log. A container gets the artifact as a zip, which it unpacks first.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile

STARTED = "TUNE_JOBS_CONTROLLER_STARTED"
"""Variable with the time of the start, from which the controller is paid for."""

WRONG_ENVIRONMENT = 3


def main() -> int:
    """Install what is needed and become the runner; returns only if that is not possible."""
    started = time.time()
    here = unpack(os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(here, "recipe.json"), encoding="utf-8") as file:
        launched = json.load(file)["installation"]
    wheels = sorted(glob.glob(os.path.join(here, "wheels", "*.whl")))
    path = [os.path.join(here, "code")]
    if wheels:
        problem = check_python(launched["python"]) or install(wheels, os.path.join(here, "site"))
        if problem:
            print("tune_jobs: " + problem, file=sys.stderr)
            return WRONG_ENVIRONMENT
        path.insert(0, os.path.join(here, "site"))
    path += filter(None, [os.environ.get("PYTHONPATH")])
    command = ["{python}", "-m", "tune_jobs.cli.controller", "{here}"]
    environment = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join(path),
        TUNE_JOBS_COMMAND=json.dumps(command),
        TUNE_JOBS_HERE=here,
        **{STARTED: repr(started)},
        TUNE_JOBS_WORK_DIR=tempfile.mkdtemp(prefix="tune_jobs-"),
    )
    program = "import sys; from tune_jobs.runtime.runner import main; sys.exit(main([]))"
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-c", program], environment)


def unpack(here: str) -> str:
    """Return the folder of the artifact, which is unpacked if it is a zip."""
    if not zipfile.is_zipfile(here):
        return here
    folder = tempfile.mkdtemp(prefix="tune_jobs-")
    with zipfile.ZipFile(here) as archive:
        archive.extractall(folder)
    return folder


def check_python(wanted: str) -> str:
    """Return why the wheels do not fit this interpreter; empty if they do."""
    found = ".".join(map(str, sys.version_info[:2]))
    if found == wanted:
        return ""
    return (
        "the wheels of this controller are for Python {0}, and its environment has {1}: name a "
        "conda environment with Python {0}, such as `controller: {{conda: "
        "generalml_p{2}_cpu_x86_64_v1}}`".format(wanted, found, wanted.replace(".", ""))
    )


def install(wheels: list[str], target: str) -> str:
    """Install wheels without an index; return what is wrong, or an empty string."""
    options = ["--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", target, *wheels]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return ""
    return "the wheels of this controller cannot be installed: " + done.stdout.decode(
        "utf-8", "replace"
    )


if __name__ == "__main__":
    sys.exit(main())
