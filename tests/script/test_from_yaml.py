"""Command lines from YAML, and their preview."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from tune_jobs.core.attempts import Invocation
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.errors import ConfigError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.fixed_arguments import PARAMETERS
from tune_jobs.script.invocation_text import format_invocation
from tune_jobs.script.styles import (
    ConfigField,
    ConfigFile,
    Environment,
    Hydra,
    JsonField,
    KeyValue,
    Omit,
    Option,
    Positional,
    Switch,
)

PATHS = RunPaths("/run/w", "/run/outputs", "/run/checkpoints", "/run/resume")


# --- From YAML ----------------------------------------------------------------------------------


def test_everything_can_be_said_in_yaml() -> None:
    text = """
        naming: underscore
        booleans: yes/no
        arguments: [train, "{parameters}", "--config={config}"]
        default: hydra
        parameters:
          batch_size: -b
          data: positional
          aug: {switch: --aug, off: --no-aug}
          quiet: {off: --loud, switch: null}
          layers: {option: --layer, many: repeat}
          bn: {option: , booleans: "1/0", none: None}
          opt.lr: {hydra: +optimizer.lr}
          mode: {key: mode, many: comma}
          seed: {environment: SEED}
          home: environment
          dropout: {json: --hparams, field: model.dropout}
          wd: {config: optimizer.weight_decay}
          a.b: {config: [a.b]}
          derived: omit
        json_templates: {--hparams: {model: {kind: cnn}}}
        config_file: {name: run.yaml, template: {a: 1}}
    """
    assert CommandLine.from_dict(yaml.safe_load(text)) == CommandLine(
        naming="underscore",
        booleans="yes/no",
        arguments=["train", PARAMETERS, "--config={config}"],
        default=Hydra(),
        parameters={
            "batch_size": Option("-b"),
            "data": Positional(),
            "aug": Switch("--aug", off="--no-aug"),
            "quiet": Switch(off="--loud"),
            "layers": Option("--layer", many="repeat"),
            "bn": Option(booleans="1/0", none="None"),
            "opt.lr": Hydra("+optimizer.lr"),
            "mode": KeyValue("mode", many="comma"),
            "seed": Environment("SEED"),
            "home": Environment(),
            "dropout": JsonField("--hparams", "model.dropout"),
            "wd": ConfigField("optimizer.weight_decay"),
            "a.b": ConfigField(["a.b"]),
            "derived": Omit(),
        },
        json_templates={"--hparams": {"model": {"kind": "cnn"}}},
        config_file=ConfigFile("run.yaml", {"a": 1}),
    )


def test_a_short_description_in_yaml() -> None:
    assert CommandLine.from_dict({}) == CommandLine()
    mapping = {"arguments": ["{config}"], "config_file": "run.json", "default": "config"}
    assert CommandLine.from_dict(mapping).config_file == ConfigFile("run.json")
    assert CommandLine.from_dict({"config_file": None, "parameters": None}) == CommandLine()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"argument": []}, "command line: unknown key 'argument' .did you mean 'arguments'"),
        ({"zzz": 1}, "command line: unknown key 'zzz' .known: arguments, booleans, config"),
        (
            {"parameters": {"a": {"optoin": "-b"}}},
            "parameters: a: unknown key 'optoin' .*'option'",
        ),
        ({"parameters": {"a": "postional"}}, "parameters: a: unknown key .* mean 'positional'"),
        (
            {"parameters": {"a": {"option": "-b", "mny": "comma"}}},
            "parameters: a: unknown key 'mny' .did you mean 'many'",
        ),
        (
            {"parameters": {"a": {"option": "-b", "key": "k"}}},
            "use exactly one of the keys option, ",
        ),
        (
            {"parameters": {"a": {}}},
            "parameters: a is {}: use exactly one of the keys option, switch",
        ),
        ({"parameters": {"a": 5}}, "parameters: a is 5: it must be a mapping"),
        ({"parameters": {"a": {"option": "b"}}}, "parameters: a: Option: flag is 'b'"),
        ({"parameters": {"a": {"option": 5}}}, "parameters: a: Option: flag is 5"),
        ({"parameters": {"a": {"positional": 1}}}, "parameters: a: positional is 1: this style"),
        ({"parameters": {True: "-b"}}, "parameters: the key is True: .* in YAML, quote it"),
        ({"default": {"hydra": "x"}}, "it writes every parameter as key x"),
        ({"default": "hidra"}, "default: unknown key 'hidra' .did you mean 'hydra'"),
        ({"config_file": {"nam": "a.json"}}, "config_file: unknown key 'nam' .* 'name'"),
        ([], r"command line is \[\]: it must be a mapping"),
    ],
)
def test_a_mistake_in_yaml_is_named(mapping: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CommandLine.from_dict(mapping)


# --- Preview ------------------------------------------------------------------------------------


def test_the_preview_is_a_line_for_a_shell_with_the_files_below() -> None:
    line = CommandLine(
        ["--config={config}", PARAMETERS],
        {
            "seed": Environment("SEED"),
            "note": Environment("NOTE"),
            "token": Environment("api_token"),
            "lr": ConfigField(),
        },
        config_file=ConfigFile("run.yaml", {"a": 1}),
    )
    params: dict[str, Any] = {
        "seed": 3,
        "note": "a b",
        "token": "hunter2",
        "lr": 0.1,
        "name": "it's",
    }
    assert format_invocation(["python", "my train.py"], line.render(params, PATHS)) == (
        "SEED=3 NOTE='a b' api_token='***' "
        "python 'my train.py' --config=/run/w/run.yaml '--name=it'\"'\"'s'\n"
        "# run.yaml:\n"
        "#   a: 1\n"
        "#   lr: 0.1"
    )


def test_a_shell_expands_the_folders_of_a_run() -> None:
    argv = ("--out=$TUNE_JOBS_OUTPUTS_DIR/it's", "--price=$5")
    text = format_invocation(["python", "train.py"], Invocation(argv, {}, {}))
    shown = subprocess.run(
        ["sh", "-c", text.replace("python train.py", "printf '%s,'")],
        env={"TUNE_JOBS_OUTPUTS_DIR": "/a folder"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "--out=/a folder/it's,--price=$5,"


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS", "KEY", "my_password", "HfToken"])
def test_the_preview_masks_what_looks_secret(name: str) -> None:
    assert "hidden" not in format_invocation(["x"], Invocation((), {name: "hidden"}, {}))
