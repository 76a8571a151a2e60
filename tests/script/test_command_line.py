"""Styles of parameters, their places, and every rejection."""

from __future__ import annotations

import json
import pickle
import textwrap
from typing import Any

import pytest
import yaml

from tune_jobs.core.job_runs import RunPaths
from tune_jobs.errors import CommandLineError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.fixed_arguments import PARAMETERS
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


# --- Documents ----------------------------------------------------------------------------------


def test_fields_of_a_json_argument_fill_its_template() -> None:
    template = {"layers": [{"units": 1}, {"units": 2}], "out": "{outputs}/{{x}}", "keep": None}
    line = CommandLine(
        ["{param:lr}", "fixed", PARAMETERS],
        {"lr": JsonField("--h", "opt.lr"), "units": JsonField("--h", "layers.1.units")},
        json_templates={"--h": template, "--only-fixed": {}},
    )
    first, fixed, last = line.render({"lr": 1e-05, "units": 64, "x": "{outputs}"}, PATHS).argv[:3]
    assert (fixed, last) == ("fixed", "--x={outputs}")
    assert json.loads(first.removeprefix("--h=")) == {
        "layers": [{"units": 1}, {"units": 64}],
        "out": "/run/outputs/{x}",
        "keep": None,
        "opt": {"lr": 1e-05},
    }
    # The template is written even without fields, and is not modified.
    assert line.render({}, PATHS).argv[-1] == "--only-fixed={}"
    assert line.json_templates["--h"] == template


def test_a_value_in_a_document_is_never_substituted() -> None:
    line = CommandLine(parameters={"x": JsonField("--h")}, json_templates={"--h": {"x": "{work}"}})
    assert line.render({"x": "{work}"}, PATHS).argv == ('--h={"x": "{work}"}',)


def test_a_yaml_configuration_file() -> None:
    line = CommandLine(
        ["--config={config}", PARAMETERS],
        {"lr": ConfigField("opt.lr"), "name": ConfigField()},
        config_file=ConfigFile("conf/run.yaml", {"opt": {"kind": "adam"}, "dir": "{checkpoints}"}),
    )
    invocation = line.render({"lr": 1e-05, "name": "yes", "seed": 3}, PATHS)
    assert invocation.argv == ("--config=/run/w/conf/run.yaml", "--seed=3")
    assert invocation.files == {
        "conf/run.yaml": textwrap.dedent(
            """\
            opt:
              kind: adam
              lr: 1.0e-05
            dir: "/run/checkpoints"
            name: "yes"
            """
        )
    }


@pytest.mark.parametrize("text", ["1e5", "yes", "0x1f", "12:30", "null", "~", "a: b", "\0\u2028"])
def test_yaml_texts_that_look_like_something_else_stay_texts(text: str) -> None:
    line = CommandLine(["{config}"], default=ConfigField(), config_file=ConfigFile())
    (written,) = line.render({"x": text}, PATHS).files.values()
    assert written.startswith('x: "')
    assert yaml.safe_load(written) == {"x": text}


def test_a_json_configuration_file() -> None:
    line = CommandLine(["{config}"], default=ConfigField(), config_file=ConfigFile("run.json"))
    invocation = line.render({"a.b": 1.0, "c": None}, PATHS)
    assert json.loads(invocation.files["run.json"]) == {"a": {"b": 1.0}, "c": None}
    with pytest.raises(CommandLineError, match=r"'run.json' contains the lone surrogate '\\ud800'"):
        line.render({"x": "\ud800"}, PATHS)


# --- Fixed arguments and places -----------------------------------------------------------------


def test_fixed_arguments_before_between_and_after() -> None:
    line = CommandLine(
        [
            *("--verbose", "{param:device}", "train", PARAMETERS, "--out={outputs}"),
            *("{param:last}", "--save", "{checkpoints}/{{step}}.pt", "--work={work}"),
        ],
        {"last": Positional(), "device": Option("-d"), "b": Option("--bb")},
    )
    params: dict[str, Any] = {"a": 1, "b": 2, "last": "x", "device": "cpu"}
    assert line.render(params, PATHS).argv == (
        *("--verbose", "-d", "cpu", "train"),
        *("--bb=2", "--a=1"),
        *("--out=/run/outputs", "x", "--save", "/run/checkpoints/{step}.pt", "--work=/run/w"),
    )
    # A conditional parameter may be absent.
    assert line.render({"a": 1}, PATHS).argv[:3] == ("--verbose", "train", "--a=1")


def test_parameters_come_last_when_they_are_given_no_place() -> None:
    line = CommandLine(["train", "--epochs=5"])
    assert line.render({"lr": 1}, PATHS).argv == ("train", "--epochs=5", "--lr=1")


def test_positional_arguments_stand_in_the_order_of_the_description() -> None:
    line = CommandLine(parameters={"a": Positional(), "b": Positional(), "c": Positional()})
    assert line.render({"c": 3, "b": 2, "a": 1}, PATHS).argv == ("1", "2", "3")
    assert line.render({"b": 2, "a": 1}, PATHS).argv == ("1", "2")
    with pytest.raises(CommandLineError, match="'b' has no value, so the script would read 'c'"):
        line.render({"a": 1, "b": None, "c": 3}, PATHS)


def test_unused_names_what_is_described_but_never_came() -> None:
    line = CommandLine(["{param:lr}"], {"epochs": Option("-e"), "seed": Option()})
    assert line.unused(["seed", "other"]) == ["epochs", "lr"]


# --- Overrides ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "overrides", "expected"),
    [
        (["train"], {"epochs": 50}, "train --lr=1 --epochs=50"),
        (["train"], {"lr": 2}, "train --lr=2"),
        (["--epochs=5", "train"], {"epochs": 50}, "--epochs=50 train --lr=1"),
        (["--epochs", "5", "train"], {"epochs": 50}, "--epochs=50 train --lr=1"),
        (["--epochs", "-5", "train"], {"epochs": 50}, "--epochs=50 train --lr=1"),
        (["--epochs", "--quick"], {"epochs": 50}, "--epochs=50 --quick --lr=1"),
        (["--epochs", PARAMETERS], {"epochs": 50}, "--epochs=50 --lr=1"),
        (["--epochs=5", "--epochs=6"], {"epochs": 50}, "--epochs=50 --lr=1"),
        (["--epochs=5", "train"], {"epochs": None}, "train --lr=1"),
        (["--epochs=5", "{param:epochs}"], {"epochs": 50}, "--epochs=50 --lr=1"),
        (["--verbose", "train"], {"verbose": False}, "train --lr=1"),
        (["--verbose", "train"], {"verbose": True}, "--verbose train --lr=1"),
        (["-n", "5", "x"], {"n": 6}, "-n 6 x --lr=1"),
        (["--layers", "1", "2", "--x"], {"layers": [3, 4]}, "--layers 3 4 --x --lr=1"),
        (["data.path=a", "b"], {"path": "c"}, "data.path=c b --lr=1"),
        (["++data.path=a", "b"], {"path": "c"}, "data.path=c b --lr=1"),
    ],
)
def test_an_override_takes_the_place_of_what_is_fixed(
    arguments: list[str], overrides: dict[str, Any], expected: str
) -> None:
    line = CommandLine(
        arguments,
        {
            "verbose": Switch("--verbose"),
            "n": Option("-n"),
            "layers": Option(many="spread"),
            "path": KeyValue("data.path"),
        },
    )
    assert " ".join(line.render({"lr": 1}, PATHS, overrides).argv) == expected


def test_an_override_is_written_in_the_style_of_its_parameter() -> None:
    line = CommandLine(
        ["{config}"],
        {"epochs": ConfigField("train.epochs"), "seed": Environment("SEED")},
        config_file=ConfigFile("run.json", {"train": {"epochs": 5}}),
    )
    invocation = line.render({"seed": 1}, PATHS, {"epochs": 50, "seed": 2})
    assert json.loads(invocation.files["run.json"]) == {"train": {"epochs": 50}}
    assert invocation.env == {"SEED": "2"}


def test_an_override_is_never_dropped_silently() -> None:
    with pytest.raises(CommandLineError, match="parameter 'epochs' is 50: its style is Omit"):
        CommandLine(default=Omit()).render({}, PATHS, {"epochs": 50})


# --- Conflicts ----------------------------------------------------------------------------------

CONFIG: dict[str, Any] = {"arguments": ["{config}"], "config_file": ConfigFile()}


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"parameters": {"a": Option("--x"), "b": Option("--x")}}, "option --x"),
        ({"parameters": {"a": Option("-x"), "b": Switch("-x")}}, "option -x"),
        ({"parameters": {"a": Switch("--a"), "b": Switch("--b", off="--a")}}, "option --a"),
        ({"parameters": {"a-b": Option(), "a_b": Option()}}, "option --a-b"),
        (
            {"parameters": {"x": Option(), "no_x": Option()}, "booleans": "--flag/--no-flag"},
            "option --no-x",
        ),
        ({"parameters": {"a": KeyValue("k"), "b": Hydra("+k")}}, "key k"),
        ({"parameters": {"a": Environment("V"), "b": Environment("V")}}, "environment variable V"),
        ({"parameters": {"a": JsonField("--j", "x"), "x": JsonField("--j")}}, "JSON --j x"),
        ({"parameters": {"a": JsonField("--j", "x"), "b": JsonField("--j", "x.y")}}, "JSON --j x"),
        ({"parameters": {"a": JsonField("--j"), "b": Option("--j")}}, "option --j"),
        (
            {"parameters": {"a": ConfigField("x.y"), "x": ConfigField("x.y")}, **CONFIG},
            "configuration file x.y",
        ),
        (
            {"parameters": {"a": ConfigField([]), "x": ConfigField("x.y")}, **CONFIG},
            "configuration file: describe",
        ),
    ],
)
def test_descriptions_that_clash_are_refused_at_once(settings: Any, where: str) -> None:
    with pytest.raises(CommandLineError, match=f" and .* are both written as {where}"):
        CommandLine(**settings)


@pytest.mark.parametrize("names", [["batch-size", "batch_size"], ["lr", "rate"], ["seed", "SEED"]])
def test_parameters_that_clash_are_refused_when_they_are_known(names: list[str]) -> None:
    described = {"rate": Option("--lr"), "seed": Environment("SEED")}
    line = CommandLine(parameters=described, default=Option())
    if "SEED" in names:
        line = CommandLine(parameters={"seed": Environment("SEED")}, default=Environment())
    with pytest.raises(CommandLineError, match="are both written as"):
        line.check(names)
    with pytest.raises(CommandLineError, match="are both written as"):
        line.render(dict.fromkeys(names, 1), PATHS)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--batch-size=5"], "batch_size"),
        (["--batch-size", "5"], "batch_size"),
        (["-n5", "-n", "5"], "n"),
        (["+key=5"], "key"),
        (["{parameters}", "--out={outputs}"], "out"),
    ],
)
def test_a_tuned_parameter_that_is_fixed_is_refused(arguments: list[str], name: str) -> None:
    line = CommandLine(arguments, {"n": Option("-n"), "key": KeyValue()})
    with pytest.raises(CommandLineError, match=rf"parameter '{name}' is .* remove it from arg"):
        line.render({name: 1}, PATHS)
    assert line.render({}, PATHS, {name: 1}).argv


def test_a_number_is_no_option() -> None:
    assert CommandLine(["--x", "-5", "-.5"]).render({"5": 1}, PATHS).argv[-1] == "--5=1"


# --- Invalid definitions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arguments": "--epochs 5"}, "arguments is '--epochs 5': it must be a list of strings"),
        ({"arguments": ["--epochs", 5]}, "arguments is 5: it must be a string: quote it"),
        ({"arguments": [PARAMETERS, PARAMETERS]}, r"\{parameters\} may occur only once"),
        ({"arguments": ["--x={parameters}"]}, r"\{parameters\} must be an argument of its own"),
        ({"arguments": ["--x={param:a}"]}, r"\{param:a\} must be an argument of its own"),
        ({"arguments": ["{param:a}", "{param:a}"]}, "has two places: remove one"),
        (
            {"arguments": ["{param:a}"], "parameters": {"a": Environment()}},
            "is not written as an argument",
        ),
        (
            {
                "arguments": ["{param:a}", "{param:b}"],
                "parameters": {"a": JsonField("--j"), "b": JsonField("--j")},
            },
            "has two places",
        ),
        (
            {"arguments": ["--out={output}"]},
            r"unknown placeholder '\{output\}' .*\{outputs\}",
        ),
        ({"arguments": ['--x={"a": 1}']}, r"write \{\{ and \}\} for braces"),
        ({"arguments": ["{"]}, r"unknown placeholder '\{'"),
        ({"arguments": ["a\0"]}, "contains a NUL character"),
        ({"arguments": ["{config}"]}, r"\{config\} needs a configuration file"),
        (
            {"parameters": {"a": ConfigField()}},
            r"'a' is a field of the .*add config_file",
        ),
        (
            {"default": ConfigField()},
            "'default' is a field of the configuration file",
        ),
        ({"config_file": ConfigFile()}, r"passes the path of .* 'config.yaml': add '--config="),
        ({"config_file": "run.yaml"}, "config_file is 'run.yaml': it must be a ConfigFile"),
        ({"parameters": {"a": "-b"}}, r"parameters: a is '-b': it must be a style"),
        ({"parameters": [1]}, r"parameters is \[1\]: it must be a mapping"),
        ({"parameters": {1: Option()}}, "parameters: the key is 1: it must be a string"),
        ({"default": "hydra"}, "default is 'hydra': it must be a style"),
        ({"default": Option("--x")}, "it writes every parameter as option --x"),
        ({"default": Switch("--x")}, "it writes every parameter as option --x"),
        ({"naming": "dashes"}, "CommandLine: naming is 'dashes': it must be one of"),
        ({"booleans": "yes"}, "booleans is 'yes': write 'true/false'"),
        ({"booleans": "1/1"}, "booleans is '1/1'"),
        ({"booleans": True}, "CommandLine: booleans is True: it must be a string"),
        ({"json_templates": {"--j": [1]}}, r"json_templates: --j is \[1\]: it must be a mapping"),
        ({"json_templates": {"--j": {"a": {1}}}}, r"json_templates: --j is \{1\}, a set"),
        ({"json_templates": {"--j": {"a": "{x}"}}}, r"unknown placeholder '\{x\}'"),
        (
            {"json_templates": {"--j": {}}, "arguments": ["--j={{}}"]},
            "the JSON argument is written as option --j, which the fixed argument",
        ),
        (
            {"json_templates": {"--j": {"a": 1}}, "parameters": {"x": JsonField("--j", "a.b")}},
            "parameter 'x': its field needs 'b', but the template has 1 there",
        ),
        (
            {"json_templates": {"--j": {"a": [1]}}, "parameters": {"x": JsonField("--j", "a.1")}},
            "parameter 'x': its field needs '1', but the template has",
        ),
        ({"parameters": {"a b": Environment()}}, "parameter 'a b': the variable is 'a b'"),
        ({"parameters": {"a=b": KeyValue()}}, "parameter 'a=b': its key is 'a=b'"),
    ],
)
def test_a_wrong_definition_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(CommandLineError, match=message):
        CommandLine(**settings)


@pytest.mark.parametrize(
    ("style", "settings", "message"),
    [
        (Option, {"flag": "batch"}, "Option: flag is 'batch': it must be an option such as"),
        (Option, {"flag": "--a=b"}, "Option: flag is '--a=b'"),
        (Option, {"flag": 5}, "Option: flag is 5: it must be a string"),
        (Option, {"many": "repeated"}, r"Option: many is 'repeated': .*'comma', 'repeat'"),
        (Option, {"booleans": "flag"}, "Option: booleans is 'flag'"),
        (Option, {"none": 0}, "Option: none is 0: it must be a string"),
        (Option, {"separate": "yes"}, "Option: separate is 'yes': it must be True or False"),
        (Positional, {"many": "spread"}, "Positional: many is 'spread'"),
        (Positional, {"allow_dash": 1}, "Positional: allow_dash is 1"),
        (Switch, {}, "Switch: on, like off, is None: give a flag"),
        (Switch, {"on": "--a", "off": "--a"}, "Switch: on, like off, is '--a'"),
        (Switch, {"on": "a"}, "Switch: on is 'a'"),
        (KeyValue, {"key": "a=b"}, "KeyValue: key is 'a=b': it must be a string without '='"),
        (Hydra, {"key": ""}, "Hydra: key is ''"),
        (Environment, {"variable": "A-B"}, "Environment: the variable is 'A-B'"),
        (Environment, {"many": "repeat"}, r"Environment: many is 'repeat': .*\('json', 'comma'\)"),
        (JsonField, {"flag": "j"}, "JsonField: flag is 'j'"),
        (JsonField, {"flag": "--j", "field": "a..b"}, "JsonField: field is 'a..b'"),
        (ConfigField, {"field": 3}, "ConfigField: field is 3: it must be names joined by dots"),
        (ConfigFile, {"name": "run.toml"}, "ConfigFile: name is 'run.toml': .* ends in .json"),
        (ConfigFile, {"name": "../a.json"}, "inside the working directory"),
        (ConfigFile, {"name": "/a.json"}, "inside the working directory"),
        (ConfigFile, {"template": {"a": object()}}, "ConfigFile: template is <object"),
    ],
)
def test_a_wrong_setting_of_a_style_is_refused(style: Any, settings: Any, message: str) -> None:
    with pytest.raises(CommandLineError, match=message):
        style(**settings)


def test_the_description_is_a_copy() -> None:
    arguments, parameters = ["train"], {"a": Option("-a")}
    line = CommandLine(arguments, parameters)
    arguments.append("more")
    parameters["b"] = Option("-a")
    assert line == CommandLine(["train"], {"a": Option("-a")})
    assert pickle.loads(pickle.dumps(line)) == line
