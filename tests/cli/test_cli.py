"""The command line program."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tune_jobs.cli.main import main
from tune_jobs.cli.output import make_printable
from tune_jobs.tuner import Tuner

STUDY = """\
study: digits
direction: maximize
command: [sh, train.sh]
metric: value
parameters:
  x: {type: float, low: 0, high: 1}
  n: [0, 1, 2]
n_trials: 4
max_parallel: 2
sampler: {name: job, seed: 1}
final:
  arguments: {epochs: 3}
"""

TRAIN = (
    'for a in "$@"; do case $a in --x=*) x=${a#--x=};; esac; done; echo started; echo value=$x\n'
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on study.yaml; return exit code, stdout and stderr."""
    (tmp_path / "train.sh").write_text(TRAIN)
    (tmp_path / "study.yaml").write_text(STUDY)

    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        before = signal.getsignal(signal.SIGTERM)
        try:
            code = main([command, "study.yaml", *arguments])
        finally:
            signal.signal(signal.SIGTERM, before)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_study_from_check_to_final_run(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("check")
    assert (code, out.count("ok  ")) == (0, 5)
    assert not (tmp_path / "digits.db").exists()

    code, out, _ = run("preview", "-n", "2")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert f"sh {tmp_path}/train.sh --x=0." in out

    code, out, err = run("run")
    assert code == 0
    assert out.startswith("digits: 4 complete\nbest: trial ")
    assert "4 of 4 done" in err

    code, out, _ = run("run", "--n-trials", "6", "--json")
    assert json.loads(out)["trials"] == {"COMPLETE": 6}

    code, out, _ = run("show", "2", "--json")
    shown = json.loads(out)
    assert shown["values"] == [shown["params"]["x"]]
    assert [a["name"] for a in shown["attempts"]] == ["trial-000002-1"]
    code, out, _ = run("show", "2")
    assert "trial-000002-1: SUCCEEDED" in out
    assert f"--x={shown['params']['x']!r}" in out

    code, out, _ = run("logs", "2")
    assert out == f"started\nvalue={shown['params']['x']!r}\n"

    code, out, _ = run("train-best", "--json")
    final = json.loads(out)
    assert (code, final["arguments"]) == (0, {"epochs": 3})
    code, out, _ = run("train-best", "--set", "epochs=7", "--trial", "1")
    assert (code, "arguments   epochs=7" in out) == (0, True)
    code, out, _ = run("logs", "final-1-1", "-f")
    assert out.startswith("started")
    code, out, _ = run("status")
    assert "final-2-1: trial 1, succeeded" in out


def test_run_does_nothing_once_the_study_has_its_trials(run: Run) -> None:
    run("run")
    code, out, _ = run("run")
    assert (code, out.startswith("digits: 4 complete")) == (0, True)


def test_run_stops_orphaned_job_runs_once_the_study_has_its_trials(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "train.sh").write_text(f"echo $$ > {tmp_path}/started; exec sleep 120\n")
    command = [sys.executable, "-m", "tune_jobs.cli", "run", "study.yaml", "--n-trials", "1"]
    tuning = subprocess.Popen(command, cwd=tmp_path)
    started = tmp_path / "started"
    while not (started.exists() and started.read_text()):
        os.sched_yield()
    tuning.kill()
    tuning.wait(30)
    optuna.load_study(study_name="digits", storage="sqlite:///digits.db").tell(0, 0.5)
    code, out, _ = run("run", "--n-trials", "1")
    assert (code, out.startswith("digits: 1 complete")) == (0, True)
    run_process = Path("/proc", started.read_text().strip())
    deadline = time.monotonic() + 30
    while run_process.exists() and time.monotonic() < deadline:
        os.sched_yield()
    assert not run_process.exists()


def test_paths_are_relative_to_the_file(run: Run, tmp_path: Path, monkeypatch: object) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert main(["run", "../study.yaml"]) == 0
    assert (tmp_path / "digits.db").exists()
    assert (tmp_path / "runs").is_dir()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_logs_of_a_live_run_are_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(
        f"echo started; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo value=0.5\n"
    )
    command = [sys.executable, "-m", "tune_jobs.cli"]
    tuning = subprocess.Popen([*command, "run", "study.yaml", "--n-trials", "1"], cwd=tmp_path)
    log = tmp_path.glob("runs/*/runs/trial-000000-1/log.txt")
    while not any(path.read_text() for path in log):
        log = tmp_path.glob("runs/*/runs/trial-000000-1/log.txt")
        os.sched_yield()
    following = subprocess.Popen(
        [*command, "logs", "study.yaml", "0", "-f"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    assert following.stdout.readline() == "started\n"
    (tmp_path / "go").touch()
    assert following.stdout.read() == "value=0.5\n"
    assert (following.wait(30), tuning.wait(30)) == (0, 0)
    following.stdout.close()


def test_a_terminated_run_can_be_resumed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(f": > {tmp_path}/started; sleep 60; echo value=0.5\n")
    tuning = subprocess.Popen(
        [sys.executable, "-m", "tune_jobs.cli", "run", "study.yaml"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "started").exists():
        os.sched_yield()
    tuning.send_signal(signal.SIGTERM)
    _, err = tuning.communicate(timeout=30)
    assert tuning.returncode == 130
    assert "run the same command again to resume" in err
    (tmp_path / "train.sh").write_text(TRAIN)
    code, out, _ = run("run")
    assert (code, "digits: 4 complete" in out) == (0, True)


def left(run: Run, tmp_path: Path, number: int) -> None:
    """Leave two runs behind by a signal to their tuner."""
    (tmp_path / "train.sh").write_text(f"echo > {tmp_path}/started.$$; exec sleep 60\n")
    command = [sys.executable, "-m", "tune_jobs.cli", "run", "study.yaml"]
    tuning = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while len(list(tmp_path.glob("started.*"))) < 2:
        os.sched_yield()
    assert "2 running" in run("status")[1]
    tuning.send_signal(number)
    tuning.wait(30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_status_of_what_was_left_behind(number: int, run: Run, tmp_path: Path) -> None:
    left(run, tmp_path, number)
    code, out, _ = run("status")
    assert code == 0
    assert out.startswith("digits: 2 left behind\nleft behind: trial-000000-1, trial-000001-1: no")
    assert "The next `tune-jobs run study.yaml` adopts the runs that continue" in out
    assert "running" not in out
    assert "live runs" not in out
    facts = json.loads(run("status", "--json")[1])
    assert facts["trials"] == {"LEFT_BEHIND": 2}
    assert facts["left_behind"] == ["trial-000000-1", "trial-000001-1"]
    assert facts["costs"]["committed"]["hours"] == 0
    assert ", left behind: the next call looks for its run" in run("show", "0")[1]
    code, _, err = run("logs", "0", "--follow")
    assert (code, "trial-000000-1 was left behind, and no process is tuning" in err) == (0, True)
    monitor = Tuner.attach("digits", f"sqlite:///{tmp_path}/digits.db")
    assert "left behind: trial-000000-1" in repr(monitor)
    milliseconds = sum(sum(trace.x) for trace in monitor.figure("timeline").data)
    assert milliseconds < 60_000, "what is left behind does not grow"

    (tmp_path / "train.sh").write_text(TRAIN)
    for process in tmp_path.glob("started.*"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process.suffix[1:]), signal.SIGKILL)
    code, out, _ = run("run", "-q")
    assert "left behind" not in out


# -- errors -----------------------------------------------------------------------------------


def test_unknown_key_is_reported_with_its_line_and_the_closest_key(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("max_parallel", "max_paralel"))
    code, _, err = run("run")
    assert code == 2
    assert "study.yaml:9: " in err
    assert "'max_paralel' (did you mean 'max_parallel'?)" in err


def test_unknown_key_of_the_backend(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY + "backend: {time_limt: 30}\n")
    code, _, err = run("run")
    assert code == 2
    assert "unknown key 'time_limt' (did you mean 'time_limit'?)" in err


@pytest.mark.parametrize("command", ["status", "show", "logs", "train-best"])
def test_commands_that_read_do_not_create_the_study(command: str, run: Run, tmp_path: Path) -> None:
    code, _, err = run(command, *(["1"] if command in ("show", "logs") else []))
    assert code == 3
    assert "there is no study 'digits' yet: `tune-jobs run study.yaml` creates it" in err
    assert not (tmp_path / "digits.db").exists()


def test_a_storage_whose_folder_cannot_be_created(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(f"{file.read_text()}storage: sqlite:///train.sh/runs/s.db\n")
    code, _, err = run("run")
    assert code == 3
    assert "storage: the folder" in err
    assert "train.sh/runs cannot be created: Not a directory" in err


def test_reading_a_study_creates_no_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY + "storage: sqlite:///deep/down/s.db\n")
    assert run("status")[0] == 3
    assert not (tmp_path / "deep").exists()
    assert run("run")[0] == 0
    assert (tmp_path / "deep/down/s.db").exists()


@pytest.mark.parametrize("command", ["run", "status"])
def test_a_storage_that_is_no_url_is_reported_with_the_fix(
    command: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY + "storage: journal.log\n")
    code, _, err = run(command)
    assert code == 2
    assert "study.yaml:13: storage: 'journal.log' is not the URL of a database: write sql" in err
    assert "JournalStorage(JournalFileBackend('journal.log'))" in err


def test_unknown_trials(run: Run) -> None:
    run("run")
    code, out, _ = run("show", "--where", "number < 1", "--json")
    assert (code, [t["trial"] for t in json.loads(out)["trials"]]) == (0, [0])
    code, out, _ = run("show", "--where", "number > 98")
    assert (code, " match" in out) == (1, True)
    code, _, err = run("show", "--where", "seconds_ > 1")
    assert (code, "seconds" in err) == (2, True)
    assert run("show", "99")[::2] == (3, "tune-jobs: study 'digits' has no trial 99\n")
    assert run("logs", "99")[0] == 3
    assert run("train-best", "--trial", "99")[0] == 3
    assert run("train-best", "--set", "epochs")[0] == 2


def test_check_of_a_script_that_rejects_the_flags(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--y')\np.parse_args()\n"
    )
    text = STUDY.replace("command: [sh, train.sh]", "script: train.py")
    (tmp_path / "study.yaml").write_text(text)
    code, out, _ = run("check")
    assert code == 1
    assert "FAIL  script: it rejects --x=0." in out
    assert "Describe its interface with CommandLine" in out


def test_check_of_a_metric_that_is_not_printed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text("echo val_value=0.5\n")
    code, out, _ = run("check")
    assert code == 1
    assert "has 'val_value' instead: name the metric 'val_value'" in out


def test_check_of_constraints_that_refuse_everything(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY + "constraints: [x > 2]\n")
    code, out, _ = run("check")
    assert code == 1
    assert "configurations in a row were refused" in out


def test_check_of_a_script_that_hangs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY + "backend: {time_limit: 1, grace: 1}\n")
    (tmp_path / "train.sh").write_text("sleep 60\n")
    code, out, _ = run("check")
    assert code == 1
    assert "time limit of 1 s reached" in out


def test_run_stops_if_all_trials_fail(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text("echo no data; exit 4\n")
    code, _, err = run("run", "--n-trials", "50")
    assert code == 1
    assert "the first 5 trials all failed" in err or "trials all failed" in err
    assert "exit code 4\nno data" in err


@pytest.mark.parametrize("flag", ["", "-q", "-v"])
def test_a_run_without_a_complete_trial_fails_with_the_causes(
    flag: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "train.sh").write_text(
        f"mkdir {tmp_path}/first 2>&- && exit 7\n"
        'echo Traceback; echo "ValueError: bad x at $$"; exit 3\n'
    )
    code, out, err = run("run", "--n-trials", "4", *filter(None, [flag]))
    assert code == 1
    text = "best: none: no trial is complete yet (4 failed):\n  3 trials, such as trial"
    assert text in out
    assert out.index("exit code 3\n    Traceback\n    ValueError: bad x at") < out.index("code 7")
    assert "no trial is complete yet (4 failed):\n" in err
    assert ("FAIL  exit code 3: ValueError: bad x at" in err) == (flag != "-q")
    assert ("trial-000000-1: starting --x=0." in err) == (flag == "-v")

    code, out, err = run("run", "--n-trials", "4", "--json")
    facts = json.loads(out)
    assert code == 1, "also if nothing was left to do"
    assert [group["count"] for group in facts["failures"]] == [3, 1]
    assert facts["best"] == []
    assert run("status")[0] == 0
    code, _, err = run("train-best")
    assert code == 3
    assert "no best trial: no trial is complete yet (4 failed):\n  3 trials, such as" in err
    assert "optimize()" not in err

    (tmp_path / "train.sh").write_text(TRAIN)
    code, out, err = run("run", "--n-trials", "5", *filter(None, [flag]))
    assert code == 0
    assert ("best: trial 4  value=" in err) == (flag != "-q")


def test_the_reason_of_an_early_end_is_in_the_facts(run: Run) -> None:
    code, out, err = run("run", "--n-trials", "50", "--target", "0", "--json")
    assert (code, "target=0 is reached with" in json.loads(out)["ended"]) == (0, True)
    assert "ended: target=0 is reached" in err
    assert json.loads(run("run", "--n-trials", "1", "--json")[1])["ended"] is None


def test_study_exists_with_another_direction(run: Run, tmp_path: Path) -> None:
    run("run")
    (tmp_path / "study.yaml").write_text(STUDY.replace("maximize", "minimize"))
    code, _, err = run("run")
    assert code == 3
    assert "study.yaml:2: study 'digits' exists with direction maximize, not minimize" in err


def test_run_requires_a_budget(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("n_trials: 4\n", ""))
    code, _, err = run("run")
    assert (code, "study.yaml: no budget: add n_trials:" in err) == (2, True)


def test_help_lists_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    for word in ("run", "status", "show", "logs", "train-best", "preview", "check", "exit codes"):
        assert word in out


def test_importing_the_main_module_runs_nothing() -> None:
    # Documentation tools and `pkgutil.walk_packages` import every module.
    assert importlib.import_module("tune_jobs.cli.__main__").main is main


BOUNDED = """\
study: bounded
direction: maximize
command: [sh, train.sh]
metric: value
metric_constraints: {memory: "<= 50"}
parameters:
  x: [0.2, 0.4, 0.6]
n_trials: 3
max_parallel: 1
sampler: {name: grid}
"""

MEMORY = (
    'for a in "$@"; do case $a in --x=*) x=${a#--x=};; esac; done\n'
    'echo "value=$x memory=$((${x#0.} * 10 + $more))"\n'
)


def test_infeasible_trials_are_shown_and_are_not_the_best(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(BOUNDED)
    (tmp_path / "train.sh").write_text(f"more=0\n{MEMORY}")
    code, out, err = run("run")
    assert code == 0
    assert "best value 0.4" in err
    assert "bounded: 3 complete\ncomplete, but cannot be the best: 1 infeasible\n" in out
    assert next(line for line in out.splitlines() if line.startswith("best")).endswith("x=0.4")
    facts = json.loads(run("status", "--json")[1])
    assert facts["not_best"] == {"infeasible": 1}
    assert [b["params"]["x"] for b in facts["best"]] == [0.4]
    assert facts["no_best"] is None
    shown = [run("show", str(n))[1].splitlines()[0] for n in range(3)]
    assert sorted(line.partition(": ")[2] for line in shown) == [
        "COMPLETE 0.2",
        "COMPLETE 0.4",
        "COMPLETE 0.6  (infeasible: memory by 10)",
    ]
    facts = [json.loads(run("show", str(n), "--json")[1]) for n in range(3)]
    assert {f["params"]["x"]: f["standing"] for f in facts} == {
        0.2: "candidate",
        0.4: "candidate",
        0.6: "infeasible",
    }
    code, out, err = run("train-best", "--pick", "knee")
    assert code == 2
    assert "pick='knee'" in err


def test_a_study_without_a_feasible_trial(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(BOUNDED)
    (tmp_path / "train.sh").write_text(f"more=90\n{MEMORY}")
    why = "memory <= 50 is violated by at least 60 in 3 of 3"
    code, out, err = run("run")
    assert code == 0
    assert "best value no trial is feasible yet (3 complete)" in err
    assert f"best: none: no trial is feasible yet (3 complete): {why}" in out
    facts = json.loads(run("status", "--json")[1])
    assert facts["best"] == []
    assert why in facts["no_best"]
    code, out, err = run("train-best")
    assert code == 3
    assert why in err


def test_nothing_that_a_terminal_would_act_on_is_printed() -> None:
    written = "\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07tab\there\nnext \ud800 \x9b2J"
    assert make_printable(written) == "red\ufffd tab\there\nnext ? \ufffd2J"
