"""What a run left is listed and downloaded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.conftest import MakeTuner
from tests.metric_store.conftest import FtpFolder, ftp_folder, ftp_server  # noqa: F401
from tests.study_files import SMALL_STUDY
from tune_jobs.cli.main import main
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation, select_attempt
from tune_jobs.errors import ConfigError, StoreError, StudyError
from tune_jobs.metric_store.outputs import Outputs, read_outputs
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.styles import ConfigField, ConfigFile

LEAVES = """
mkdir -p plots/deep "$TUNE_JOBS_OUTPUTS_DIR"
echo weights > model.pt; echo x > "plots/deep/a b.png"; echo kept > "$TUNE_JOBS_OUTPUTS_DIR/kept"
echo "value=$x"
"""


def names(outputs: Outputs) -> list[str]:
    return [file.name for file in outputs]


def read_tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# -- runs of a tuner --------------------------------------------------------------------------


def test_what_a_run_left_is_listed_and_downloaded(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(LEAVES)
    tuner.optimize(n_trials=1)
    outputs = tuner.outputs(0)
    assert names(outputs) == ["kept", "model.pt", "plots/deep/a b.png"]
    assert [file.size for file in outputs] == [5, 8, 2]
    assert abs((outputs[1].modified or 0) - Path(outputs.uri(outputs[1])).stat().st_mtime) < 1
    assert "8 B" in str(outputs)
    paths = outputs.download(tmp_path / "out", "plots", "*.pt")
    assert paths == [tmp_path / "out/model.pt", tmp_path / "out/plots/deep/a b.png"]
    assert read_tree(tmp_path / "out") == {"model.pt": "weights\n", "plots/deep/a b.png": "x\n"}


def test_the_project_s_files_are_not_outputs(make_tuner: MakeTuner, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/big.csv").write_text("1\n")
    line = CommandLine(
        ["--config={config}", "{parameters}"],
        {"n": ConfigField()},
        config_file=ConfigFile("conf/run.yaml", {"a": 1}),
    )
    backend = {"link": [tmp_path / "data"]}
    tuner = make_tuner(
        'cat conf/run.yaml; echo y > data/new; mkfifo p; ln -s conf l; echo "value=$x"',
        command_line=line,
        backend_options=backend,
    )
    tuner.optimize(n_trials=1)
    assert names(tuner.outputs(0)) == []
    assert str(tuner.outputs(0)) == "trial-000000-1 left no files"
    changes = make_tuner(
        'echo "b: 2" >> conf/run.yaml; echo "value=$x"', command_line=line, backend_options=backend
    )
    changes.optimize(n_trials=1)
    assert names(changes.outputs(1)) == ["conf/run.yaml"]


def test_a_file_in_both_folders_is_listed_twice(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(
        'mkdir -p "$TUNE_JOBS_OUTPUTS_DIR/work" work; echo 1 > m; echo 2 > work/m; '
        'cd "$TUNE_JOBS_OUTPUTS_DIR"; echo 3 > m; echo 4 > work/m; '
        'echo "value=$x"'
    )
    tuner.optimize(n_trials=1)
    outputs = tuner.outputs(0)
    assert names(outputs) == ["/".join([*["work"] * depth, "m"]) for depth in range(4)]
    outputs.download(tmp_path / "out")
    assert sorted(read_tree(tmp_path / "out").values()) == ["1\n", "2\n", "3\n", "4\n"]


def test_a_final_run_shows_what_it_left(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('echo weights > model.pt; echo "value=$x"')
    tuner.optimize(n_trials=1)
    final = tuner.train_best()
    assert (final.files, final.left) == ((), ("model.pt",))
    assert Path(final.work, "model.pt").read_text() == "weights\n"
    assert "none" not in str(final)
    assert f"{final.work}: model.pt" in str(final)
    assert str(tuner.train_best()) == str(final), "as its provenance says"
    for name in ("final-1-1", "final-1", "final"):
        assert names(tuner.outputs(name)) == ["model.pt"]


def make_attempt(name: str) -> Attempt:
    kind, number, attempt = name.split("-")
    trial = int(number) if kind == "trial" else 7
    return Attempt(name, trial, int(attempt), "local", AttemptState.SUCCEEDED, Invocation(), 0.0)


@pytest.mark.parametrize(
    ("wanted", "attempt", "name"),
    [
        (7, None, "trial-000007-2"),
        ("7", 1, "trial-000007-1"),
        ("trial-000007-1", None, "trial-000007-1"),
        ("final-1", None, "final-1-2"),
        ("final-1", 1, "final-1-1"),
        ("final", None, "final-2-1"),
        ("final-2-1", None, "final-2-1"),
    ],
)
def test_the_attempt_that_is_meant(wanted: int | str, attempt: int | None, name: str) -> None:
    attempts = list(
        map(
            make_attempt,
            ["trial-000007-1", "trial-000007-2", "final-1-1", "final-1-2", "final-2-1"],
        )
    )
    assert select_attempt(attempts, wanted, attempt).name == name
    with pytest.raises(StudyError, match=r"7 has no attempt 5: it has 1, 2"):
        select_attempt(attempts, 7, 5)
    with pytest.raises(StudyError, match="no job run for '70'"):
        select_attempt(attempts, 70)


@pytest.mark.filterwarnings("ignore")  # of the FTP client's sockets
def test_outputs_in_another_place(
    make_tuner: MakeTuner,
    ftp_folder: FtpFolder,  # noqa: F811
    tmp_path: Path,
) -> None:
    tuner = make_tuner(
        f"{LEAVES}head -c 5000 /dev/zero > large; ln -s large link; mkfifo pipe",
        store=ftp_folder.uri,
        backend_options={"env": {"TUNE_JOBS_WORK_BYTES": "1000"}},
    )
    tuner.optimize(n_trials=1)
    outputs = tuner.outputs(0)
    assert names(outputs) == ["kept", "model.pt", "plots/deep/a b.png"]
    assert outputs.omitted.startswith("1 more files (5 kB) in its working folder were not kept: ")
    assert outputs.omitted in str(outputs)
    outputs.download(tmp_path / "out")
    assert read_tree(tmp_path / "out")["plots/deep/a b.png"] == "x\n"


# -- files in a store -------------------------------------------------------------------------


Stored = Callable[..., Outputs]


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Write files of a run into a store, and list them."""
    store = MetricStore(str(tmp_path / "store"), "s")

    def write(**files: str) -> Outputs:
        for name, content in files.items():
            path = tmp_path / "store/s/runs/trial-000000-1/outputs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return read_outputs(store, make_attempt("trial-000000-1"))

    return write


def test_existing_files_are_not_overwritten(stored: Stored, tmp_path: Path) -> None:
    outputs = stored(a="new a", b="new b")
    out = tmp_path / "out"
    out.mkdir()
    (out / "b").write_text("mine")
    with pytest.raises(ConfigError, match=r"would overwrite .*/b: choose another folder"):
        outputs.download(out)
    assert read_tree(out) == {"b": "mine"}
    outputs.download(out, overwrite=True)
    assert read_tree(out) == {"a": "new a", "b": "new b"}


def test_what_was_downloaded_before_is_skipped(stored: Stored, tmp_path: Path) -> None:
    outputs = stored(a="a", b="b")
    outputs.download(tmp_path / "out", "a")
    before = (tmp_path / "out/a").stat()
    assert len(outputs.download(tmp_path / "out")) == 2
    assert (tmp_path / "out/a").stat().st_ino == before.st_ino
    assert (tmp_path / "out/a").stat().st_mtime == pytest.approx(outputs[0].modified, abs=1e-3)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_download_leaves_no_half_files(
    error: BaseException, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = stored(a="a", b="b")
    download = MetricStore.download

    def interrupted(store: MetricStore, path: str, target: BinaryIO) -> None:
        download(store, path, target)
        if path.endswith("/b"):
            raise error

    monkeypatch.setattr(MetricStore, "download", interrupted)
    with pytest.raises((KeyboardInterrupt, ConfigError)):
        outputs.download(tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a": "a"}
    monkeypatch.undo()
    outputs.download(tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a": "a", "b": "b"}


def test_a_file_that_is_shorter_than_listed_is_an_error(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = stored(a="12345")
    monkeypatch.setattr(MetricStore, "download", lambda store, path, target: target.write(b"12"))
    with pytest.raises(StoreError, match="a has 5 bytes, but only 2 could be read"):
        outputs.download(tmp_path / "out")
    assert read_tree(tmp_path / "out") == {}


def test_links_and_pipes_in_the_outputs_are_not_followed(stored: Stored, tmp_path: Path) -> None:
    stored(a="a")
    folder = tmp_path / "store/s/runs/trial-000000-1/outputs"
    (folder / "secret").symlink_to("/etc/passwd")
    (folder / "folder").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    assert names(stored()) == ["a"]


def test_odd_names_are_safe(stored: Stored, tmp_path: Path) -> None:
    outputs = stored(**{"a\nb": "1", "-o": "2", "*": "3", "c\\..\\d": "4", "e/\x1b[31m": "5"})
    assert "\n" not in "".join(names(outputs))
    assert "\x1b" not in str(outputs)
    outputs.download(tmp_path / "out")
    assert sorted(read_tree(tmp_path / "out").values()) == ["1", "2", "3", "4", "5"]
    assert names(outputs.select("*")) == names(outputs), "a name and a pattern"


@pytest.mark.parametrize("target", ["file/below", "file"])
def test_a_folder_that_cannot_be_written(target: str, stored: Stored, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written: (Not a directory|File exists)"):
        stored(a="a").download(tmp_path / target)


def test_a_pattern_without_a_match_names_the_files(stored: Stored) -> None:
    with pytest.raises(StudyError, match=r"matches 'modle' \(did you mean 'model'"):
        stored(model="x").select("modle")


# -- the program ------------------------------------------------------------------------------

STUDY = SMALL_STUDY + "n_trials: 1\n"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `tune-jobs outputs` on a study that was tuned."""
    (tmp_path / "train.sh").write_text("x=1\n" + LEAVES)
    (tmp_path / "study.yaml").write_text(STUDY)
    assert main(["run", "study.yaml"]) == 0
    capsys.readouterr()

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["outputs", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_outputs_from_the_command_line(run: Callable[..., Any], tmp_path: Path) -> None:
    code, out, _ = run("study.yaml", "0")
    assert (code, [line.split("  ")[-1] for line in out.splitlines()]) == (
        0,
        ["kept", "model.pt", "plots/deep/a b.png"],
    )
    code, out, _ = run("s.db::s", "0", "--json")
    assert [file["bytes"] for file in json.loads(out)["files"]] == [5, 8, 2]
    code, out, _ = run("study.yaml", "trial-000000-1", "-o", "out", "*.pt", "--json", "plots")
    assert json.loads(out)["downloaded"] == ["out/model.pt", "out/plots/deep/a b.png"]
    assert not any(path.stat().st_mode & 0o077 for path in (tmp_path / "out").rglob("*"))
    code, _, err = run("study.yaml", "0", "--attempt", "2")
    assert (code, "0 has no attempt 2" in err) == (3, True)
    (tmp_path / "out/model.pt").write_text("mine")
    code, _, err = run("study.yaml", "0", "-o", "out")
    assert (code, "would overwrite out/model.pt" in err) == (2, True)
    assert not (tmp_path / "out/kept").exists()
    assert run("study.yaml", "0", "-o", "out", "--overwrite")[0] == 0
    assert (tmp_path / "out/model.pt").read_text() == "weights\n"


def test_a_study_without_outputs(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text("echo value=1\n")
    assert main(["run", "study.yaml", "--n-trials", "2"]) == 0
    assert run("study.yaml", "1")[0] == 0
    code, _, err = run("study.yaml", "1", "-o", "out")
    assert (code, "nothing to download" in err) == (3, True)
