"""The command `init`: its options, its messages, and what it does not touch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.init.conftest import Copy, Run
from tune_jobs.config.study_config import load_study

SCRIPT = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="where the data is")
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()
print("val_loss", args.lr)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script in the working directory."""
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def test_a_file_is_not_overwritten_unless_forced(script: Path, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("mine\n")
    code, _, err = run("init", "train.py", "--no-run")
    assert (code, "study.yaml exists: add --force" in err) == (2, True)
    assert file.read_text() == "mine\n"
    assert run("init", "train.py", "--no-run", "-o", "other.yaml")[0] == 0
    assert run("init", "train.py", "--no-run", "--force")[0] == 0
    assert file.read_text().startswith("# A study of train.py")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other.yaml",
        "study.yaml",
        "train.py",
    ]


def test_stdout_has_the_file_and_nothing_else(script: Path, run: Run, tmp_path: Path) -> None:
    code, out, err = run("init", "train.py", "--no-run", "--stdout")
    assert (code, err) == (0, "")
    assert not (tmp_path / "study.yaml").exists()
    (tmp_path / "copy.yaml").write_text(out.replace("FILL IN", "x.csv"))
    assert load_study(tmp_path / "copy.yaml").space.names == {"lr"}


def test_facts_as_json(script: Path, run: Run) -> None:
    code, out, _ = run("init", "train.py", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["parameters"] == {"lr": "{type: float, low: 0.01, high: 1.0, log: true}"}
    assert (facts["metric"], facts["direction"], facts["step"]) == ("val_loss", "minimize", None)
    assert facts["fill_in"][0]["key"] == "command_line.arguments[0]"
    assert facts["not_tuned"] == ["--data", "--epochs"]


def test_check_names_what_is_to_be_filled_in(script: Path, run: Run, tmp_path: Path) -> None:
    _, out, _ = run("init", "train.py")
    assert "FILL IN    study.yaml:" in out
    assert "next: tune-jobs check study.yaml --set epochs=1" in out
    for command in ("check", "run"):
        code, _, err = run(command, "study.yaml")
        assert code == 2
        assert "command_line.arguments[0]: complete '--data=FILL IN'" in err
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["study.yaml", "train.py"]


def test_blanks_without_a_parser(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("LR = 0.1\nfit(LR)\n")
    assert run("init", "train.py")[0] == 0
    _, _, err = run("check", "study.yaml")
    assert "metric: write the name of the metric" in err
    assert "direction: write maximize or minimize" in err
    assert "parameters: write the parameters to tune" in err


def test_paths_are_relative_to_the_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/train.py").write_text(SCRIPT)
    (tmp_path / "studies").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x.csv").write_text("1\n")
    source = (
        (tmp_path / "src/train.py").read_text().replace("required=True", "default='data/x.csv'")
    )
    (tmp_path / "src/train.py").write_text(source)
    assert run("init", "src/train.py", "-o", "studies/one.yaml")[0] == 0
    config = load_study("studies/one.yaml")
    assert config.script == "../src/train.py"
    assert config.backend.plain() == {"type": "local", "link": ["../data"]}
    assert run("preview", "studies/one.yaml")[0] == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "name a script or, with -m, a module"),
        (["train.py", "-m", "train"], "name a script or, with -m, a module"),
        (["trian.py"], "file not found (did you mean 'train.py'?)"),
        (["."], "is a folder: name one of its scripts (train.py)"),
        (["-m", "nothing"], "module 'nothing'"),
        (["notes.ipynb"], "jupyter nbconvert --to script notes.ipynb"),
        (["conf.yaml"], "is a configuration: name the script that reads it"),
        (["broken.py"], "broken.py: line 2: '(' was never closed: fix it"),
        (["latin.py"], "latin.py: line 1"),
        (["train.py", "-o", "no/such/folder.yaml"], "cannot be written"),
    ],
)
def test_what_cannot_be_done(
    words: list[str], problem: str, script: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "notes.ipynb").write_text("{}")
    (tmp_path / "conf.yaml").write_text("a: 1\n")
    (tmp_path / "broken.py").write_text("x = 1\ny = (\n")
    (tmp_path / "latin.py").write_bytes(b"print('\xe9')\n")
    for extra in ("broken.py", "latin.py"):
        if words == ["."]:
            (tmp_path / extra).unlink()
    code, out, err = run("init", "--no-run", *words)
    assert (code, out) == (2, "")
    assert problem in err
    assert not (tmp_path / "study.yaml").exists()


def test_a_source_with_a_declared_encoding(run: Run, tmp_path: Path) -> None:
    source = SCRIPT.replace("where the data is", "o\u00f9 sont les donn\u00e9es")
    (tmp_path / "train.py").write_bytes(b"# coding: latin-1\n" + source.encode("latin-1"))
    assert run("init", "train.py")[0] == 0
    assert "o\u00f9 sont les donn\u00e9es" in (tmp_path / "study.yaml").read_text("utf-8")


def test_missing_packages_are_named_and_the_source_suffices(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"import no_such_package\n{SCRIPT}")
    _, out, _ = run("init", "train.py")
    assert "No module named 'no_such_package'" in out
    text = (tmp_path / "study.yaml").read_text()
    assert "No module named 'no_such_package'" in " ".join(text.split("\n# "))
    assert "lr: {type: float, low: 0.01, high: 1.0, log: true}" in text


def test_the_help_is_not_run_if_the_script_trains_first(
    copy: Copy, run: Run, tmp_path: Path
) -> None:
    folder = copy("trains_on_import")
    _, out, _ = run("init", "train.py")
    assert "--help was not run, as the script trains or waits" in out
    assert not (folder / "trained").exists()
    assert "threshold_lr" in (folder / "study.yaml").read_text()


def test_the_help_is_not_run_without_a_parser(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nprint('loss', 1 / x)"
    )
    assert run("init", "train.py")[0] == 0
    assert not (tmp_path / "ran").exists()


def test_what_another_package_adds_is_found_by_the_help(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import importlib\n"
        "parser = importlib.import_module('hid' + 'den').parser()\n"
        "parser.add_argument('--lr', type=float, default=0.1)\n"
        "print('mse', parser.parse_args().lr)\n"
    )
    (tmp_path / "hidden.py").write_text(
        "import argparse\n"
        "def parser():\n"
        "    p = argparse.ArgumentParser()\n"
        "    p.add_argument('--batch-size', type=int, help='images (default: 16)')\n"
        "    return p\n"
    )
    assert run("init", "train.py")[0] == 0
    assert load_study("study.yaml").space.names == {"lr", "batch_size"}
    assert run("init", "train.py", "--no-run", "--force")[0] == 0
    assert load_study("study.yaml").space.names == {"lr"}


def test_another_interpreter(script: Path, run: Run, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    assert run("init", "train.py", "--python", str(python))[0] == 0
    assert f"python: {python}" in (tmp_path / "study.yaml").read_text()


def test_a_parser_in_a_folder_above_the_script(run: Run, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library/__init__.py").touch()
    (tmp_path / "library/options.py").write_text(SCRIPT.partition("args =")[0])
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text(
        "from library.options import parser\nargs = parser.parse_args()\nprint('loss', args.lr)\n"
    )
    assert run("init", "scripts/train.py", "--no-run")[0] == 0
    assert "lr: {type: float" in (tmp_path / "study.yaml").read_text()


def test_transformers_without_the_package(copy: Copy, run: Run) -> None:
    folder = copy("dataclass_transformers")
    assert run("init", "train.py")[0] == 0
    text = (folder / "study.yaml").read_text()
    for line in (
        "metric: eval_loss",
        "  learning_rate: {type: float, low: 5e-6, high: 5e-4, log: true}",
        '    - "--model_name_or_path=FILL IN"',
        '    - "--output_dir={outputs}"',
        "    - --do_train=True",
        "    freeze_encoder: {option: --freeze_encoder, booleans: True/False}",
    ):
        assert f"\n{line}" in text


def test_a_configuration_that_is_a_program(copy: Copy, run: Run) -> None:
    folder = copy("config_program")
    assert run("init", "train.py")[0] == 0
    config = load_study(folder / "study.yaml")
    assert config.space.names == {"config.optimizer.learning_rate", "config.batch_size"}
    text = (folder / "study.yaml").read_text()
    assert "    - --config=configs/default.py" in text
    assert "link: [configs]" in text
