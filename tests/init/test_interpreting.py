"""Interpretation of source: what is understood, that nothing is executed, and that it ends."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tune_jobs.init.flags import Flag, Parser
from tune_jobs.init.interpreting.expressions import MAX_STEPS
from tune_jobs.init.interpreting.interpreter import Interpreter
from tune_jobs.init.interpreting.modules import Sources
from tune_jobs.init.parsers.modeled_packages import ModeledPackages, choose_parser


def interpret(
    source: str, folder: Path, max_steps: int = MAX_STEPS
) -> tuple[bool, ModeledPackages]:
    """Interpret a script; return whether that came to its end, and what was found."""
    (folder / "train.py").write_text(textwrap.dedent(source))
    packages = ModeledPackages()
    return Interpreter(Sources(folder, "train.py"), packages, max_steps).run(), packages


def read_parser(source: str, folder: Path) -> Parser:
    """Return the parser of a script."""
    parser = choose_parser(interpret(source, folder)[1].findings)
    assert parser is not None
    return parser


def read_flags(source: str, folder: Path) -> dict[str, Flag]:
    """Return the flags of a script that has an argparse parser ``p``."""
    head = "import argparse, os\np = argparse.ArgumentParser()\n"
    flags = read_parser(head + textwrap.dedent(source) + "\np.parse_args()\n", folder).command.flags
    return dict(flags)


@pytest.mark.parametrize(
    ("default", "value"),
    [
        ("1e-3 * 10", 0.01),
        ("-(2 ** 3)", -8),
        ("[16] + [32]", [16, 32]),
        ("'a' + 'b'", "ab"),
        ("os.path.join('data', 'x.csv')", "data/x.csv"),
        ("{'a': 1}.get('a')", 1),
        ("float('0.5')", 0.5),
        ("max(1, 2)", 2),
        ("len([1, 2])", 2),
        ("'%s_%d' % ('a', 1)", "a_1"),
        ("'{}-{x}'.format('a', x=2)", "a-2"),
        ("f'{1}b'", "1b"),
        ("[x for x in (1, 2) if x > 1]", [2]),
        ("3 if True else 4", 3),
        ("None or 7", 7),
        ("(lambda x: x + 1)(1)", 2),
        ("os.cpu_count()", None),
        ("open('/etc/passwd').read()", None),
        ("__import__('os').getpid()", None),
        ("9 ** 9 ** 9", None),
        ("'a' * 10 ** 9", None),
        ("'%99999999d' % 1", None),
        ("f'{1:99999999}'", None),
        ("list(range(10 ** 12))", None),
        ("unknown.name[3]", None),
    ],
)
def test_values_of_expressions(default: str, value: object, tmp_path: Path) -> None:
    flag = read_flags(f"p.add_argument('--x', default={default})", tmp_path)["x"]
    assert flag.default == value


def test_nothing_is_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    finished, _ = interpret(
        f"""
        import os, pathlib, subprocess
        pathlib.Path({str(mark)!r}).write_text("")
        open({str(mark)!r}, "w")
        os.system("touch {mark}")
        subprocess.run(["touch", {str(mark)!r}])
        exec("open({str(mark)!r}, 'w')")
        eval("open({str(mark)!r}, 'w')")
        class Meta(type):
            def __getattr__(cls, name): open({str(mark)!r}, "w")
        """,
        tmp_path,
    )
    assert finished
    assert not mark.exists()


@pytest.mark.parametrize(
    "source",
    [
        "def f(): f()\nf()",
        "def f(x): return g(x)\ndef g(x): return f(x)\nf(1)",
        "while True: x = 1",
        "x = 'a'\nfor i in [1] * 64: x = x + x",
        "x = 2\nfor i in list('abcdefgh' * 8): x = x * x",
        "x = [1]\nfor i in list('abcdefgh' * 8): x = x + x",
        "class A(A): pass\nA()",
        "import train\nfrom train import *\nfrom . import train",
        "x = " + "(" * 90 + "1" + ")" * 90,
        "x = " + "+".join(["1"] * 3000),
        "a = b = c = d\nd.e.f = a\n[*a] = b\n(x, *y) = z\nx[0][1] = 2",
        "def f(*, a, b=1, **k): return k\nf(1, a=2, **f)\nf(*[1, 2])",
        "match x:\n  case 1: y = 2\ntry:\n  pass\nexcept* E: pass",
        "async def f():\n  async for x in y:\n    async with z as w: await w\nf()",
    ],
)
def test_it_ends_whatever_the_source(source: str, tmp_path: Path) -> None:
    assert interpret(f"{source}\n", tmp_path, max_steps=10_000)[0]


def test_a_program_whose_calls_double_is_given_up(tmp_path: Path) -> None:
    calls = "\n".join(f"def f{i}():\n  f{i + 1}(); f{i + 1}()" for i in range(60))
    assert not interpret(f"{calls}\nf0()\n", tmp_path, max_steps=10_000)[0]


def test_flags_in_functions_loops_and_aliases(tmp_path: Path) -> None:
    flags = read_flags(
        """
        DEFAULTS = {"lr": 0.1, "beta": 0.9}
        COMMON = dict(type=int, default=3)
        def extend(parser, names=("a", "b")):
            for name in names:
                parser.add_argument("--" + name, **COMMON)
            return parser
        for name, value in DEFAULTS.items():
            p.add_argument(f"--{name}", type=type(value), default=value)
        add = extend(p.add_argument_group("group")).add_argument
        add("--c", choices=list({"x": int, "y": float}))
        if os.environ.get("MORE"):
            p.add_argument("--d", type=float)
        p.set_defaults(d=0.5)
        """,
        tmp_path,
    )
    assert {name: flag.default for name, flag in flags.items()} == {
        "lr": 0.1,
        "beta": 0.9,
        "a": 3,
        "b": 3,
        "c": None,
        "d": 0.5,
    }
    assert flags["c"].choices == ("x", "y")


def test_methods_properties_and_inheritance(tmp_path: Path) -> None:
    parser = read_parser(
        """
        import argparse
        class Base(argparse.ArgumentParser):
            names = ["lr"]
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.extend()
            def extend(self):
                for name in self.names:
                    self.add_argument(f"--{name}", type=float, default=self.default)
            @property
            def default(self):
                return 0.25
        class Own(Base):
            @classmethod
            def build(cls):
                return cls(description="x")
            def extend(self):
                super().extend()
                self.add(self)
            @staticmethod
            def add(parser):
                parser.add_argument("--depth", type=int, default=2)
        args = Own.build().parse_args()
        """,
        tmp_path,
    )
    assert {f.name: f.default for f in parser.command.flags.values()} == {"lr": 0.25, "depth": 2}
    assert parser.used is not None


def test_the_code_of_other_scripts_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(
        "import argparse\nDEPTH = 4\n"
        "if __name__ == '__main__':\n    argparse.ArgumentParser().add_argument('--wrong')\n"
    )
    parser = read_parser(
        """
        import argparse, other
        p = argparse.ArgumentParser()
        p.add_argument("--depth", default=other.DEPTH)
        if __name__ == "__main__":
            p.parse_args()
        """,
        tmp_path,
    )
    assert {f.name: f.default for f in parser.command.flags.values()} == {"depth": 4}


@pytest.mark.parametrize(
    ("before", "works"),
    [
        ("model.fit(x)", True),
        ("for epoch in range(3): train()", True),
        ("import time; time.sleep(99)", True),
        ("while True: pass", True),
        ("def train():\n    model.fit(x)", False),
        ("names = [n for n in dir(models)]\nfor n in names: print(n)", False),
    ],
)
def test_work_before_the_arguments_are_parsed(before: str, works: bool, tmp_path: Path) -> None:
    parser = read_parser(
        f"import argparse\n{before}\np = argparse.ArgumentParser()\np.parse_args()\nmodel.fit(x)\n",
        tmp_path,
    )
    assert (parser.work is not None) == works


def test_a_conversion_tells_the_type(tmp_path: Path) -> None:
    parser = read_parser(
        """
        import argparse
        p = argparse.ArgumentParser()
        p.add_argument("--lr", default=0.1)
        p.add_argument("--units", default="64")
        p.add_argument("--gamma", default=0.9)
        args = p.parse_args()
        lr, units = float(args.lr), [int(u) for u in args.units.split(",")]
        """,
        tmp_path,
    )
    flags = parser.command.flags
    assert (flags["lr"].kind, flags["lr"].caution) == ("float", "")
    assert flags["units"].many == "comma"
    assert "add type=" in flags["gamma"].caution


@pytest.mark.parametrize("component", ["Trainer", "Trainer()"])
def test_public_methods_are_commands_of_fire(component: str, tmp_path: Path) -> None:
    source = """
        import fire
        class Trainer:
            def __init__(self, lr=0.1): self.lr = lr
            def fit(self, dropout: float = 0.2): ...
            def _hide(self): ...
            @property
            def size(self): return 1
        fire.Fire(COMPONENT)
    """
    command = read_parser(source.replace("COMPONENT", component), tmp_path).command
    assert ["lr"] * (component == "Trainer") == list(command.flags)
    assert {name: list(each.flags) for name, each in command.commands.items()} == {
        "fit": ["dropout"]
    }


@pytest.mark.parametrize(
    ("call", "others", "flags", "commands"),
    [
        ("fire.Fire()", "", [], ["fit"]),
        ("fire.Fire()", "def test(ckpt): ...", [], ["fit", "test"]),
        ("jsonargparse.CLI()", "", ["lr"], []),
        ("jsonargparse.CLI()", "def test(ckpt): ...", [], ["fit", "test"]),
    ],
)
def test_functions_of_the_script_are_commands(
    call: str, others: str, flags: list[str], commands: list[str], tmp_path: Path
) -> None:
    source = f"""
        import fire, jsonargparse
        from os.path import join
        def fit(lr=0.1): ...
        def _hide(x=1): ...
        {others}
        {call}
    """
    command = read_parser(source, tmp_path).command
    assert (list(command.flags), list(command.commands)) == (flags, commands)


def test_words_that_docopt_requires(tmp_path: Path) -> None:
    source = '''
        """Usage:
          train.py fit <data> [--lr=<x>]
          train.py test <data>

        --lr=<x>  step size [default: 0.1]
        """
        import docopt
        docopt.docopt(__doc__)
    '''
    command = read_parser(source, tmp_path).command
    assert list(command.flags) == ["lr"]
    assert {name: list(each.flags) for name, each in command.commands.items()} == {
        "fit": ["data"],
        "test": ["data"],
    }
