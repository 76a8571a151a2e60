"""What is proposed: values of parameters, metrics, arguments, and the text of the file."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.config.study_config import FILL_IN
from tune_jobs.init.classification import choose_commands, classify, find_budget
from tune_jobs.init.creation import check_text
from tune_jobs.init.document import write_document
from tune_jobs.init.draft import Draft, Entry
from tune_jobs.init.flags import Command, Flag
from tune_jobs.init.framework_metrics import find_framework_metrics, find_tracked
from tune_jobs.init.hyperparameters import Choices, Range, divide, propose, propose_any, read_range
from tune_jobs.init.metrics import add_step, choose_metrics, find_printed
from tune_jobs.init.printed_lines import sample_lines
from tune_jobs.init.yaml_text import comment, inline
from tune_jobs.script.entry_point import EntryPoint
from tune_jobs.space.yaml_source import loads

# -- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (Flag("lr", kind="float", default=0.01), Range("float", 0.001, 0.1, True)),
        (Flag("learningRate", kind="float"), Range("float", 1e-5, 0.1, True)),
        (
            Flag("optimizer.weight_decay", kind="float", default=0.0),
            Range("float", 1e-6, 0.1, True),
        ),
        (Flag("dropout", kind="float", default=0.75), Range("float", 0.0, 0.75)),
        (Flag("momentum", kind="float", default=0), Range("float", 0, 0.99)),
        (Flag("batch-size", kind="int", default=48), Choices((24, 48, 96, 192))),
        (Flag("batch_size", kind="int", default=1), Choices((1, 2, 4))),
        (Flag("hidden_units", kind="int", default=64), Range("int", 16, 256, True)),
        (Flag("num_layers", kind="int", default=2), Range("int", 1, 4)),
        (Flag("max_depth", kind="int"), Range("int", 2, 10)),
        (
            Flag("lr", kind="float", default=0.01, low=0.005, high=0.02),
            Range("float", 0.005, 0.02, True),
        ),
        (Flag("optimizer", kind="str", choices=("adam", "sgd")), Choices(("adam", "sgd"))),
        (Flag("nesterov", kind="bool", switch=True), Choices((False, True))),
        (
            Flag("layers", kind="int", many="spread", default=[8, 4]),
            Choices(([4, 2], [8, 4], [16, 8])),
        ),
        (Flag("epochs", kind="int", default=10), None),
        (Flag("seed", kind="int", default=0), None),
        (Flag("test_batch_size", kind="int", default=1000), None),
        (Flag("optimizer", kind="str", default="adam"), None),
        (Flag("device", kind="str", choices=("cpu", "cuda")), None),
        (Flag("use_cuda", kind="bool", switch=True), None),
        (Flag("lr", kind="float", caution="type=bool"), None),
    ],
    ids=lambda value: value.name if isinstance(value, Flag) else "",
)
def test_values_of_a_flag(flag: Flag, expected: object) -> None:
    assert propose(flag) == expected


@pytest.mark.parametrize(
    ("help", "low", "high"),
    [
        ("images per step, 1 to 200", 1, 200),
        ("a number between 0.5 and 1", 0.5, 1),
        ("share [0, 1]", 0, 1),
        ("from 3 to 1", None, None),
        ("default: 0.1", None, None),
    ],
)
def test_a_range_in_a_description(help: str, low: float | None, high: float | None) -> None:
    flag = read_range(Flag("x", help=help))
    assert (flag.low, flag.high) == (low, high)


NAMES = st.sampled_from(
    [
        "lr",
        "alpha",
        "momentum",
        "dropout",
        "batch_size",
        "hidden",
        "n_layers",
        "gamma",
        "beta1",
        "depth",
        "wd",
        "x",
        "foo",
        "threshold",
    ]
)
NUMBERS = st.floats(-1e3, 1e3, allow_nan=False) | st.integers(-5, 5000)


@given(NAMES, st.sampled_from(["float", "int", None]), NUMBERS, NUMBERS, NUMBERS)
def test_a_range_is_one_and_holds_the_default(
    name: str, kind: object, default: float, low: float, high: float
) -> None:
    number = int(default) if kind == "int" else default
    bounded = low <= number <= high
    flag = Flag(name, kind=kind, default=number)  # type: ignore[arg-type]
    if bounded:
        flag = Flag(name, kind=kind, default=number, low=low, high=high)  # type: ignore[arg-type]
    for values in (propose(flag), propose_any(flag)):
        if isinstance(values, Range):
            assert values.low < values.high
            assert values.low > 0 or not values.log
            assert not bounded or low <= values.low <= values.high <= high
        elif values is not None:
            assert len(set(map(str, values.values))) == len(values.values) > 1
            assert not bounded or all(low <= each <= high for each in values.values)


# -- metrics ----------------------------------------------------------------------------------


def find(source: str) -> list[tuple[str, str | None, str | None]]:
    """Return name, direction and step of the metrics of a program, the best first."""
    trees = {"train.py": ast.parse(textwrap.dedent(source))}
    lines = list(sample_lines(trees))
    guesses = choose_metrics([*find_printed(lines), *find_framework_metrics(trees)])
    return [(g.name, g.direction, g.step) for g in (add_step(g, lines) for g in guesses)]


@pytest.mark.parametrize(
    ("source", "name", "direction", "step"),
    [
        ('print(f"epoch {epoch}: val_acc={acc:.3f}")', "val_acc", "maximize", "epoch"),
        ('print("Test accuracy:", accuracy)', "Test accuracy", "maximize", None),
        ('print("loss: %.4f (%d)" % (loss, n))', "loss", "minimize", None),
        ('print("RMSE = {:.3f}".format(rmse))', "RMSE", "minimize", None),
        ('print({"f1": f1, "epoch": epoch})', "f1", "maximize", "epoch"),
        ('print(json.dumps({"val": {"auc": auc}, "step": step}))', "val.auc", "maximize", "step"),
        ('m = {"iou": iou}\nprint(m)', "iou", "maximize", None),
        ('line = f"val loss {loss}"\nprint(line)', "val loss", "minimize", None),
        ("bar.set_postfix(loss=loss.item())", "loss", "minimize", None),
        ('print("Epoch", epoch, "Train Loss", a, "Val Loss", b)', "Val Loss", "minimize", "epoch"),
        ('print("result:", accuracy_score(y, p))', "result", "maximize", None),
        ('print(f"{name}: {value}")\nprint("score", s)', "score", "maximize", None),
        ('print("best acc", b)\nprint("acc", a)', "acc", "maximize", None),
        ('print("val loss", a)\nprint("val accuracy", b)', "val accuracy", "maximize", None),
        ('print("loss", a)\nprint("test_loss", b)', "test_loss", "minimize", None),
        ("from tune_jobs import report\nreport(psnr=x, step=i)", "psnr", "maximize", None),
        (
            "import keras\nm.compile(metrics=['mae'])\nm.fit(x, y, validation_split=0.1)",
            "val_mae",
            "minimize",
            "epoch",
        ),
        ('AverageMeter("Acc@1", ":6.2f")', "Acc@1", "maximize", "epoch"),
        (
            'print("Test: loss {:.4f}, Accuracy: {}/{} ({:.0f}%)".format(loss, right, n, share))',
            "Accuracy",
            "maximize",
            None,
        ),
        ("print(val_accuracy)", "val_accuracy", "maximize", None),
    ],
)
def test_the_metric_of_a_program(
    source: str, name: str, direction: str | None, step: str | None
) -> None:
    assert find(source)[0] == (name, direction, step)


@pytest.mark.parametrize(
    "source",
    ['print("device:", device)', 'print("done")', 'print(f"took {time} s")', "fit(x, verbose=0)"],
)
def test_what_is_no_metric(source: str) -> None:
    assert find(source) == []


def test_the_same_name_for_training_and_test_data() -> None:
    source = """
    def train(): print('Train Epoch: {} Loss: {:.4f}'.format(epoch, loss))
    def test(): print('Test set Loss: {:.4f}'.format(loss))
    """
    assert find(source)[0] == ("Test set Loss", "minimize", "epoch")


def test_what_only_a_tracker_gets() -> None:
    source = 'import wandb\nwandb.log({"val_acc": a})\nwriter.add_scalar("Loss/test", l, e)'
    assert [g.name for g in find_tracked({"x.py": ast.parse(source)})] == ["val_acc", "Loss/test"]


# -- commands and arguments ---------------------------------------------------------------------


def words_of(*flags: Flag, one_of: str = "") -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the words of the arguments for flags, and whether they are given."""
    command = Command({flag.name: flag for flag in flags}, one_of={one_of} if one_of else set())
    (level,) = classify([(None, command)], "{outputs}")
    for argument in (*level.positional, *level.arguments):
        if not isinstance(argument, str):
            yield argument.words, argument.active


def test_arguments_that_are_given() -> None:
    flags = [
        Flag("data", ("--data",), required=True),
        Flag("output_dir", ("--output-dir", "-o"), kind="path"),
        Flag("model_file", ("-m",), kind="str", required=True),
        Flag("epochs", ("--epochs",), kind="int", default=3),
    ]
    assert list(words_of(*flags)) == [
        ((f"--data={FILL_IN}",), True),
        (("--output-dir={outputs}",), True),
        (("-m", "{outputs}/model_file"), True),
        (("--epochs=3",), False),
    ]


def test_optional_positionals_in_front_of_required_ones_are_given() -> None:
    first = Flag("name", carrier="positional", default="x")
    second = Flag("data", carrier="positional", required=True)
    assert list(words_of(first, second)) == [(("x",), True), ((FILL_IN,), True)]
    assert list(words_of(first)) == [(("x",), False)]


def test_one_of_a_required_group_is_given() -> None:
    flags = [
        Flag(name, (f"--{name}",), kind="bool", switch=True, exclusive="g") for name in ("a", "b")
    ]
    assert list(words_of(*flags, one_of="g")) == [(("--a",), True), (("--b",), False)]


def test_at_most_one_flag_of_a_group_is_tuned() -> None:
    flags = {n: Flag(n, (f"--{n}",), kind="float", exclusive="g") for n in ("lr", "wd")}
    (level,) = classify([(None, Command(flags))], "{outputs}")
    assert [each.flag.name for each in level.tuned] == ["lr"]


def test_the_command_that_trains_is_chosen() -> None:
    lr = Flag("lr", ("--lr",), kind="float")
    commands = {"evaluate": Command({"lr": lr}), "train": Command(), "export": Command()}
    path = choose_commands(Command({}, commands))
    assert [word for word, _ in path] == [None, "train"]
    del commands["train"]
    assert [word for word, _ in choose_commands(Command({}, commands))] == [None, "evaluate"]


# -- text ---------------------------------------------------------------------------------------

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["yes", "null", "1e-5", "a: b", "#", "{x}", "- a", ""]
)
SCALARS = TEXTS | st.booleans() | st.none() | st.integers() | st.floats(allow_nan=False)


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=5,
    )
)
@settings(max_examples=50)
def test_yaml_is_read_as_it_was_written(value: object) -> None:
    text = f"x: {inline(value)}  {comment('a comment: with # all')}\n"
    assert loads(text).plain()["x"] == value


@given(st.text())
def test_a_comment_is_one_line(text: str) -> None:
    line = comment(text)
    assert line.startswith("# ")
    assert line.isprintable()
    assert len(line) <= 92


WORDS = st.text(st.characters(exclude_characters="\0-"), max_size=8) | st.sampled_from(
    ["yes", "a: b"]
)
OPTIONS = st.from_regex(r"\A(--?|\+)[a-zA-Z][a-zA-Z0-9_.-]{0,8}\Z")
CHOICES = st.lists(WORDS | st.integers(0, 9) | st.booleans(), max_size=4).map(tuple)
FLAGS = st.builds(
    Flag,
    name=NAMES | st.from_regex(r"\A[a-z_]{1,6}(\.[a-z]{1,4})?\Z"),
    options=st.lists(OPTIONS, min_size=1, max_size=2).map(tuple),
    carrier=st.sampled_from(["option", "option", "positional", "environment"]),
    kind=st.sampled_from(["float", "int", "bool", "str", "path", None]),
    default=WORDS | st.booleans() | st.none() | NUMBERS | st.lists(st.integers(1, 64)),
    required=st.booleans(),
    choices=CHOICES,
    help=TEXTS,
    switch=st.booleans(),
    off=st.none() | OPTIONS,
    booleans=st.sampled_from(["", "True/False"]),
    many=st.sampled_from([None, "spread", "repeat", "comma"]),
    low=st.none() | st.integers(0, 3),
    high=st.none() | st.integers(3, 90),
    exclusive=st.sampled_from(["", "g"]),
    caution=st.just("") | TEXTS,
).map(lambda flag: flag if flag.carrier == "option" else replace(flag, options=(), switch=False))


@given(
    st.lists(FLAGS, max_size=8, unique_by=lambda flag: flag.name),
    st.lists(FLAGS, max_size=4, unique_by=lambda flag: flag.name),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_file_can_be_loaded(root: list[Flag], below: list[Flag], nested: bool) -> None:
    command = Command({flag.name: flag for flag in root}, one_of={"g"})
    if nested:
        command.commands["train"] = Command({flag.name: flag for flag in below})
    levels = classify(choose_commands(command), "{outputs}")
    entry = Entry("script", "train.py", "train.py", EntryPoint.parse("train.py"))
    draft = Draft("study", entry, "argparse", levels=levels, budget=find_budget(levels))
    check_text(write_document(draft, "study.yaml"))


def test_names_are_divided_into_words() -> None:
    names = ["learningRate", "--Learning-Rate", "a.b.learning_rate", "LR", "numLayers"]
    assert [divide(name) for name in names] == [
        "learning_rate",
        "learning_rate",
        "learning_rate",
        "lr",
        "num_layers",
    ]
