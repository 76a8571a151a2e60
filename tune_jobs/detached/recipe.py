"""What a controller is made of, written to a folder that travels to it.

    recipe.json      which study, storage and tune_jobs; read before anything else
    recipe.pickle    the search space, the backend, the options

Functions travel by the names of their modules, so a controller has to be able to import them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from tune_jobs.backends.base import Backend
from tune_jobs.core.strict_json import encode_json
from tune_jobs.detached.installation import PACKAGE, check_installation, describe_installation
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.runtime.private_files import open_private
from tune_jobs.space.search_space import Space
from tune_jobs.storage.reference import StorageReference
from tune_jobs.tuning.options import CallLimits, Then, TunerOptions
from tune_jobs.tuning.spec import TuningSpec

_FACTS, _PARTS = "recipe.json", "recipe.pickle"


@dataclass(frozen=True)
class Call:
    """What a controller is to do.

    Args:
        limits: Limits of the tuning; ``n_trials`` counts all trials of the study.
        then: What follows it.
        arguments, resources: Of the final run, see `Tuner.train_best`.
        take_over: Whether to take the study over from a process that is tuning it.
    """

    limits: CallLimits
    then: Then | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    take_over: bool = False


@dataclass(frozen=True)
class Recipe:
    """Everything that a tuner is built from, and its call.

    Args:
        study_name: Name of the study.
        storage: Its storage.
        sampler, pruner: Its sampler and pruner.
        space, backend, options: Arguments of `Tuner`.
        call: What the tuner is to do.
    """

    study_name: str
    storage: StorageReference
    sampler: BaseSampler
    pruner: BasePruner
    space: Space
    backend: Backend
    options: TunerOptions
    call: Call

    def open_study(self) -> optuna.Study:
        """Open the study.

        Raises:
            StudyError: If it does not exist any more.
        """
        try:
            return optuna.load_study(
                study_name=self.study_name,
                storage=self.storage.open(),
                sampler=self.sampler,
                pruner=self.pruner,
            )
        except KeyError:
            raise StudyError(
                f"study {self.study_name!r} is not in {self.storage} any more: it was deleted"
            ) from None


def build_recipe(spec: TuningSpec, storage: StorageReference, store: str, call: Call) -> Recipe:
    """Return the recipe of a study that is tuned as a spec says, with runs in a store."""
    options = replace(
        spec.options,
        store=store,
        data=[os.path.abspath(path) for path in spec.options.data],
        progress=True,
        direction=None,  # the study exists
        valid=None,  # the space has it
    )
    study = spec.study
    return Recipe(
        study.study_name,
        storage,
        study.sampler,
        study.pruner,
        spec.space,
        spec.backend,
        options,
        call,
    )


def check_recipe(recipe: Recipe, source: Path | None = None) -> None:
    """Check that every part of a recipe can travel to another process.

    Args:
        recipe: The recipe.
        source: Folder that travels with it to another machine; None on this one.

    Raises:
        ConfigError: If one cannot; the message names it and the fix.
    """
    parts = {
        "the search space": recipe.space,
        "command_line": recipe.options.command_line,
        "the backend": recipe.backend,
        "the sampler": recipe.sampler,
        "the pruner": recipe.pruner,
    }
    for label, part in parts.items():
        _Checker(label, source).check(part)


def find_modules(recipe: Recipe) -> set[str]:
    """Return the names of the modules that a recipe's functions and classes are of."""
    checker = _Checker("the recipe", None)
    checker.check(recipe)
    return checker.modules


class _Checker(pickle.Pickler):
    """Pickler that refuses what another process could not import.

    Args:
        label: What is pickled, for messages.
        source: See `check_recipe`.
    """

    def __init__(self, label: str, source: Path | None) -> None:
        super().__init__(io.BytesIO())
        self._label, self._source = label, source
        self.modules: set[str] = set()

    def check(self, part: object) -> None:
        try:
            self.dump(part)
        except ConfigError:
            raise
        except Exception as error:  # objects raise errors of many kinds
            raise ConfigError(
                f"{self._label} cannot travel to another process ({error}): make it of what can be "
                "pickled, such as functions at the top level of a module"
            ) from error

    def reducer_override(self, obj: object) -> Any:
        """See `pickle.Pickler`: checks functions and classes, and pickles them as usual."""
        if isinstance(obj, FunctionType | type):
            self._check_name(obj)
        return NotImplemented

    def _check_name(self, obj: FunctionType | type) -> None:
        name, module = obj.__qualname__, obj.__module__
        self.modules.add(module)
        problem = ""
        if "<lambda>" in name:
            problem = "is a lambda"
        elif "<locals>" in name:
            function, _, inner = name.rpartition(".<locals>.")
            problem = f"is a closure ({inner!r}, made in {function!r})"
        elif module == "__main__":
            problem = f"is defined in the program or notebook itself ({name!r} of __main__)"
        elif self._source is not None and not _travels(obj, self._source):
            problem = f"is of module {module!r}, which is not below source {self._source}"
        if not problem:
            return
        what = "space" if self._label == "the search space" else "function or class"
        where = "importable from `source`" if self._source else "importable by the controller"
        other = (
            ", or declare it: as YAML, or as a dict of Optuna's distributions"
            if what == "space"
            else ""
        )
        raise ConfigError(
            f"{self._label} {problem}: a {what} that is made in Python must be {where}; define it "
            f"at the top level of a module {'there' if self._source else '(a .py file)'} and "
            f"import it{other}"
        )


def _travels(obj: FunctionType | type, source: Path) -> bool:
    """Return whether a function's module is in a folder, or installed with the dependencies."""
    file = getattr(sys.modules.get(obj.__module__), "__file__", None)
    if file is None:
        return True  # built in
    path = Path(file).resolve()
    folders = [source.resolve(), PACKAGE.resolve()]
    folders += [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib")]
    folders += [Path(sysconfig.get_path("platlib")).resolve()]
    return any(path.is_relative_to(folder) for folder in folders)


def write_recipe(folder: Path, recipe: Recipe, facts: Mapping[str, object]) -> None:
    """Write a recipe, privately.

    Args:
        folder: An existing folder.
        recipe: The recipe.
        facts: What else ``recipe.json`` says.
    """
    head = {
        "study": recipe.study_name,
        "storage": str(recipe.storage),
        "installation": describe_installation(),
        **facts,
    }
    with open(folder / _PARTS, "wb", opener=open_private) as file:
        pickle.dump(recipe, file)
    with open(folder / _FACTS, "w", encoding="utf-8", opener=open_private) as text:
        text.write(encode_json(head, indent=2) + "\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what ``recipe.json`` says; empty if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        return facts if isinstance(facts, dict) else {}
    return {}


def read_recipe(folder: Path) -> Recipe:
    """Return the recipe in a folder, which this process trusts as its own code.

    What was pickled is removed: it has the password of a database, and is read only once.

    Raises:
        StudyError: If another tune_jobs wrote it, or something in it cannot be imported here.
    """
    check_installation(read_facts(folder)["installation"])
    with _explaining(), open(folder / _PARTS, "rb") as file:
        recipe: Recipe = pickle.load(file)
    with contextlib.suppress(OSError):  # an artifact may be mounted without write permission
        (folder / _PARTS).unlink()
    return recipe


@contextlib.contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except (ImportError, AttributeError) as error:
        raise StudyError(
            f"the controller cannot import what it needs: {error}. It has to be importable from "
            "`source`, and other packages have to be in the environment of the controller"
        ) from error
