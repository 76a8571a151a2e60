"""Scripts that take ``lr=0.1`` or ``--lr=0.1`` apart themselves.

config = {"lr": 0.1}                             settings = dict(a.split("=") for a in argv[1:])
for argument in sys.argv[1:]:                    lr = float(settings.get("lr", 0.1))
    key, value = argument.split("=")
    config[key] = float(value)
"""

from __future__ import annotations

from tune_jobs.init.flags import Flag
from tune_jobs.init.interpreting.values import UNKNOWN, Call, Object, Place, Value, is_literal
from tune_jobs.init.parsers.findings import Findings, Input
from tune_jobs.init.parsers.types import kind_of


class AnyArgument(Object):
    """One of several items of ``sys.argv``, such as ``lr=0.1``.

    Args:
        findings: Where settings are noted.
        dashes: Whether dashes in front of it are removed.
    """

    def __init__(self, findings: Findings, dashes: bool = False) -> None:
        self._findings = findings
        self._dashes = dashes

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method of the string."""
        if name in ("split", "partition") and call.args[:1] == ["="]:
            key, value = AssignedKey(self._findings, self._dashes), AssignedValue(self._findings)
            return [key, value] if name == "split" else [key, "=", value]
        dashes = name in ("lstrip", "strip", "removeprefix") and call.string("", 0).startswith("-")
        return AnyArgument(self._findings, self._dashes or dashes)

    def item(self, key: Value) -> Value:
        """Return the end of the string, as in ``argument[2:]``."""
        is_end = isinstance(key, slice) and key.start in (1, 2)
        return AnyArgument(self._findings, self._dashes or is_end)


class AssignedKey(Object):
    """What stands in front of ``=``."""

    def __init__(self, findings: Findings, dashes: bool) -> None:
        self.findings = findings
        self.dashes = dashes

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method of the string."""
        dashes = call.string("", 0).startswith("-")
        return AssignedKey(self.findings, self.dashes or dashes)

    def item(self, key: Value) -> Value:
        """Return the end of the string."""
        return AssignedKey(self.findings, True)

    def assign_into(self, mapping: dict[Value, Value], place: Place) -> None:
        """Note that the keys of a mapping are settings, whose values are the defaults."""
        for name, default in mapping.items():
            if isinstance(name, str) and is_literal(default):
                add_setting(self, name, default, place)


class AssignedValue(Object):
    """What stands behind ``=``."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method of the string."""
        return self


class Settings(Object):
    """Mapping of all keys to their values.

    Args:
        key: Any of its keys.
    """

    def __init__(self, key: AssignedKey) -> None:
        self._key = key

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method of the dict."""
        if name in ("get", "pop", "setdefault") and call.string("key", 0):
            return self.read(call.string("key", 0), call.get("default", 1), call.place)
        return UNKNOWN

    def item(self, key: Value) -> Value:
        """Return the value of a key."""
        return self.read(key, None, None) if isinstance(key, str) else UNKNOWN

    def read(self, name: str, default: Value, place: Place | None) -> Input:
        """Note that a setting is read."""
        add_setting(self._key, name, default, place)
        return Input(self._key.findings.inputs, name)


def add_setting(key: AssignedKey, name: str, default: Value, place: Place | None) -> None:
    """Add a setting, unless it is known already."""
    inputs = key.findings.inputs
    if name in inputs.flags:
        return
    known = default if is_literal(default) else None
    flag = Flag(
        name,
        (f"--{name}",) if key.dashes else (),
        carrier="option" if key.dashes else "key",
        kind=kind_of(known),
        default=known,
        required=default is None,
        place=place,
    )
    inputs.add(flag)


def collect(pairs: Value) -> Value:
    """Return what a mapping made of pairs is, if their keys are those of arguments."""
    first = pairs[0] if isinstance(pairs, list) and pairs else None
    key = first[0] if isinstance(first, list) and first else None
    return Settings(key) if isinstance(key, AssignedKey) else UNKNOWN
