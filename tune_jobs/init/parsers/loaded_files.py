"""Configuration files that a script loads itself: ``yaml.safe_load(open(args.config))``."""

from __future__ import annotations

from collections.abc import Mapping

from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.values import UNKNOWN, Call, Object, Value
from tune_jobs.init.parsers.findings import Findings, Handler, Input, LoadedFile


class OpenedFile(Object):
    """Result of ``open(path)``.

    Args:
        path: The path: a string, or the setting that names it.
    """

    def __init__(self, path: str | Input) -> None:
        self.path = path

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method; ``read()`` returns what stands for the content, the file."""
        return self


def _open(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    path = call.get("file", 0)
    mode = call.string("mode", 1) or "r"
    readable = isinstance(path, str | Input) and "r" in mode
    return OpenedFile(path) if readable else UNKNOWN


def _load(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    source = call.args[0] if call.args else None
    source = source.path if isinstance(source, OpenedFile) else source
    if isinstance(source, Input) and source.flag is not None:
        findings.loaded.append(LoadedFile(source.flag.name, str(source.flag.default or "")))
    elif isinstance(source, str) and source.endswith((".yaml", ".yml", ".json")):
        findings.loaded.append(LoadedFile("", source))
    return UNKNOWN


HANDLERS: Mapping[str, Handler] = {
    "open": _open,
    "io.open": _open,
    "codecs.open": _open,
    **dict.fromkeys(
        (
            "json.load",
            "json.loads",
            "yaml.load",
            "yaml.safe_load",
            "yaml.full_load",
            "yaml.unsafe_load",
        ),
        _load,
    ),
}
