"""Styles of parameters, their places, and every rejection."""

from __future__ import annotations

import json
import pickle
import textwrap
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest
import yaml

from tune_jobs.core.attempts import Invocation
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.errors import CommandLineError, ConfigError
from tune_jobs.script.command_line import CommandLine, format_invocation
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
    Style,
    Switch,
)

PATHS = RunPaths("/run/w", "/run/outputs", "/run/checkpoints", "/run/resume")


def argv(style: Style, value: Any, name: str = "x") -> list[str]:
    return list(CommandLine(parameters={name: style}).render({name: value}, PATHS).argv)


# --- Values -------------------------------------------------------------------------------------


class Color(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (63, "63"),
        (63.0, "63.0"),
        (-1e-05, "-1e-05"),
        (1e-320, "1e-320"),
        (0.1 + 0.2, "0.30000000000000004"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (10**20, "100000000000000000000"),
        (True, "true"),
        (False, "false"),
        ("", ""),
        ("a b", "a b"),
        ("{outputs} {{", "{outputs} {{"),
        ([64, "a", None, True], '[64, "a", null, true]'),
        ((64, 32), "[64, 32]"),
        ({"é": [1e-05]}, '{"é": [1e-05]}'),
        (np.int64(63), "63"),
        (np.float64(0.1), "0.1"),
        (np.float64(64), "64.0"),
        (np.bool_(True), "true"),
        (np.str_("a"), "a"),
        ([np.int64(1), np.float64(0.5)], "[1, 0.5]"),
        (np.array(7), "7"),
        (Color.RED, "red"),
        (Size.BIG, "3"),
    ],
)
def test_a_parameter_is_one_token_with_its_value_in_full(value: Any, text: str) -> None:
    assert CommandLine().render({"x": value}, PATHS).argv == (f"--x={text}",)


def test_none_is_left_out() -> None:
    assert CommandLine().render({"x": None, "y": 1}, PATHS).argv == ("--y=1",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", r"parameter 'x' contains a NUL character, '--x=a\\x00b'"),
        ("x" * 131_068, "parameter 'x' is an argument of 131072 bytes, but Linux passes at most"),
        ("é" * 70_000, "is an argument of 140004 bytes, .* ConfigField"),
        ("\ud800", r"parameter 'x' contains the lone surrogate '\\ud800'"),
        (np.array([1, 2]), r"parameter 'x' is array\(\[1, 2\]\), a ndarray: .* tolist"),
        (np.array([1]), "a ndarray"),
        (object, "parameter 'x' is <class 'object'>, a type"),
        (b"a", "parameter 'x' is b'a', a bytes"),
        ({1: 2}, "parameter 'x': the key is 1: it must be a string"),
        (np.longdouble(1), "a longdouble"),
    ],
)
def test_what_no_command_line_can_carry_is_refused(value: Any, message: str) -> None:
    with pytest.raises(CommandLineError, match=message):
        CommandLine().render({"x": value}, PATHS)


def test_the_longest_argument_that_linux_passes_is_accepted() -> None:
    (token,) = CommandLine().render({"x": "x" * 131_067}, PATHS).argv
    assert len(token) == 131_071


def test_bytes_that_python_could_not_decode_are_passed_on() -> None:
    assert CommandLine().render({"x": "\udcff"}, PATHS).argv == ("--x=\udcff",)


# --- Names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("naming", "name", "flag"),
    [
        ("dash", "batch_size", "--batch-size"),
        ("underscore", "batch-size", "--batch_size"),
        ("underscore", "batch_size", "--batch_size"),
        ("as_is", "batch-size_", "--batch-size_"),
        ("dash", "opt.lr", "--opt.lr"),
        ("dash", "C", "--C"),
    ],
)
def test_a_name_becomes_an_option(naming: Any, name: str, flag: str) -> None:
    assert CommandLine(naming=naming).render({name: 1}, PATHS).argv == (f"{flag}=1",)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "-a", "_a"])
def test_a_name_that_is_no_option_needs_a_description(name: str) -> None:
    with pytest.raises(CommandLineError, match=r"example with Option\('--flag'\)"):
        CommandLine().render({name: 1}, PATHS)
    assert argv(Option("--given"), 1, name) == ["--given=1"]


# --- Styles -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "value", "tokens"),
    [
        (Option("--batch-size"), 64, ["--batch-size=64"]),
        (Option("-lr"), -1e-05, ["-lr=-1e-05"]),
        (Option("-b"), 64, ["-b", "64"]),
        (Option("-b"), -1e-05, ["-b-1e-05"]),
        (Option("-b"), "", ["-b", ""]),
        (Option("-b"), "=x", ["-b", "=x"]),
        (Option("--lr", separate=True), 0.1, ["--lr", "0.1"]),
        (Option("--lr", separate=True), "-", ["--lr", "-"]),
        (Option("--lr", separate=True, allow_dash=True), -0.1, ["--lr", "-0.1"]),
        (Option(booleans="True/False"), True, ["--x=True"]),
        (Option(booleans="1/0"), False, ["--x=0"]),
        (Option(booleans="--flag"), True, ["--x"]),
        (Option(booleans="--flag"), False, []),
        (Option(booleans="--flag"), 3, ["--x=3"]),
        (Option("--use-x", booleans="--flag/--no-flag"), True, ["--use-x"]),
        (Option("--use-x", booleans="--flag/--no-flag"), False, ["--no-use-x"]),
        (Option(none="None"), None, ["--x=None"]),
        (Option("--l", many="json"), [1, 2], ["--l=[1, 2]"]),
        (Option("--l", many="comma"), [64, 0.5, True, "a"], ["--l=64,0.5,true,a"]),
        (Option("--l", many="comma"), [], ["--l="]),
        (Option("--l", many="comma"), {"a": 1}, ['--l={"a": 1}']),
        (Option("--l", many="comma", none="-"), [1, None], ["--l=1,-"]),
        (Option("--l", many="repeat"), [64, "a,b", [1]], ["--l=64", "--l=a,b", "--l=[1]"]),
        (Option("--l", many="repeat"), 64, ["--l=64"]),
        (Option("-l", many="repeat"), [1, -1], ["-l", "1", "-l-1"]),
        (Option("--l", many="spread"), [64, 32], ["--l", "64", "32"]),
        (Option("--l", many="spread"), [], ["--l"]),
        (Option("--l", many="spread"), 64, ["--l=64"]),
        (Option("--l", many="spread"), None, []),
        (Option("--l", many="spread", allow_dash=True), [-1], ["--l", "-1"]),
        (Switch("--x"), True, ["--x"]),
        (Switch("--x"), False, []),
        (Switch("--x"), None, []),
        (Switch("--x", off="--no-x"), False, ["--no-x"]),
        (Switch(off="--no-x"), False, ["--no-x"]),
        (Switch(off="--no-x"), True, []),
        (Switch("--x"), np.bool_(True), ["--x"]),
        (Positional(), "small.csv", ["small.csv"]),
        (Positional(), None, []),
        (Positional(many="repeat"), [1, 2], ["1", "2"]),
        (Positional(allow_dash=True), -1, ["-1"]),
        (KeyValue(), "a b", ["x=a b"]),
        (KeyValue("layers[0].units"), 64, ["layers[0].units=64"]),
        (KeyValue("+optimizer.lr"), 1e-05, ["+optimizer.lr=1e-05"]),
        (KeyValue(many="repeat"), [1, 2], ["x=1", "x=2"]),
        (KeyValue(), None, []),
        (JsonField("--json"), "a", ['--json={"x": "a"}']),
        (JsonField("--json", "a.b"), None, ['--json={"a": {"b": null}}']),
        (JsonField("--json", ["a.b"]), 1, ['--json={"a.b": 1}']),
        (JsonField("--json", []), [1, "a"], ['--json=[1, "a"]']),
        (JsonField("-j", []), -1, ["-j-1"]),
        (JsonField(), True, ['{"x": true}']),
        (Omit(), 1, []),
    ],
)
def test_a_style_writes(style: Style, value: Any, tokens: list[str]) -> None:
    assert argv(style, value) == tokens


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # Verified with Hydra 1.3.8, as were 35,000 random values.
        (1e-05, "1e-05"),
        (None, "null"),
        (True, "true"),
        (float("inf"), "inf"),
        ("resnet-18", "resnet-18"),
        ("true", "'true'"),
        ("1e5", "'1e5'"),
        ("", "''"),
        ("a,b", "'a,b'"),
        ("it's", r"'it\'s'"),
        ("a\\b", r"'a\b'"),
        ("a\\'", r"'a\\\''"),
        ("a\\", r"'a\\'"),
        ([1, "a b", None], "[1,'a b',null]"),
        ({"a-b": {"c": 0.5}}, "{a-b:{c:0.5}}"),
    ],
)
def test_hydra_reads_values_in_its_own_grammar(value: Any, text: str) -> None:
    assert argv(Hydra("+opt.x"), value) == [f"+opt.x={text}"]


@pytest.mark.parametrize(
    ("style", "value", "message"),
    [
        (
            Option("--lr", separate=True),
            -0.1,
            r"argument '-0.1' as an option.*=value, or .*allow_dash",
        ),
        (
            Option(many="spread"),
            ["-a"],
            "read the separate argument '-a' as an option",
        ),
        (Positional(), -1, r"'--' and '\{param:x\}' to arguments and set allow_dash=True"),
        (
            Option(many="comma"),
            ["a,b"],
            r"'x' is \['a,b'\], which would be ambiguous",
        ),
        (Option(many="comma"), [""], "many='json' or many='repeat'"),
        (Option(many="repeat"), [], "parameter 'x' is an empty list, which many='repeat' cannot"),
        (Option(many="repeat"), [None], "parameter 'x' has None in a list: .* none='None'"),
        (Switch("--x"), 1, "parameter 'x' is 1: a Switch accepts True, False or None"),
        (Hydra(), "${a}", r"parameter 'x' is '\$\{a\}', but Hydra interpolates"),
        (Hydra(), {"a b": 1}, "parameter 'x': the key is 'a b': Hydra cannot quote keys"),
        (Environment(), "a\0", "parameter 'x' contains a NUL character"),
        (Environment(), "x" * 131_070, "parameter 'x' is an argument of 131072 bytes"),
    ],
)
def test_a_style_refuses_what_would_be_read_as_something_else(
    style: Style, value: Any, message: str
) -> None:
    with pytest.raises(CommandLineError, match=message):
        argv(style, value)


def test_environment_variables() -> None:
    line = CommandLine(
        parameters={
            "seed": Environment("SEED"),
            "lr": Environment(),
            "layers": Environment(many="comma"),
            "on": Environment("ON", booleans="1/0"),
            "off": Environment(),
        },
        booleans="--flag",
    )
    params: dict[str, Any] = {"seed": 3, "lr": "a=b", "layers": [1, 2], "on": True, "off": None}
    invocation = line.render(params, PATHS)
    assert invocation == Invocation((), {"SEED": "3", "lr": "a=b", "layers": "1,2", "ON": "1"}, {})


def test_a_text_in_place_of_a_flag_keeps_words_when_booleans_are_flags() -> None:
    line = CommandLine(parameters={"k": KeyValue()}, booleans="--flag/--no-flag")
    assert line.render({"k": True, "a": True, "b": False}, PATHS).argv == (
        "k=true",
        "--a",
        "--no-b",
    )


@pytest.mark.parametrize(
    ("default", "token"),
    [
        (Hydra(), "opt.lr='0.1'"),
        (KeyValue(), "opt.lr=0.1"),
        (Option(separate=True), "--opt.lr"),
        (JsonField("--json"), '--json={"opt": {"lr": "0.1"}}'),
        (Positional(), "0.1"),
    ],
)
def test_the_default_style_writes_what_has_no_description(default: Style, token: str) -> None:
    assert CommandLine(default=default).render({"opt.lr": "0.1"}, PATHS).argv[0] == token


def test_by_default_nothing_but_the_described_may_be_passed() -> None:
    line = CommandLine(default=Omit(), parameters={"lr": Option()})
    assert line.render({"lr": 1, "other": 2}, PATHS).argv == ("--lr=1",)


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


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS", "KEY", "my_password", "HfToken"])
def test_the_preview_masks_what_looks_secret(name: str) -> None:
    assert "hidden" not in format_invocation(["x"], Invocation((), {name: "hidden"}, {}))
