"""Hydra and OmegaConf: configurations whose settings are written ``key=value``."""

from __future__ import annotations

from collections.abc import Mapping

from tune_jobs.init.flags import Parser
from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.values import UNKNOWN, Call, Class, Instance, Object, Value
from tune_jobs.init.parsers.findings import ConfigSource, Findings, Handler


class HydraMain(Object):
    """Decorator ``@hydra.main(...)``, and the function that it has decorated."""

    def __init__(self, findings: Findings, call: Call) -> None:
        self._findings = findings
        self._parser = findings.new_parser("hydra", help_arguments=("--cfg", "job"))
        folder, name = call.string("config_path", 0), call.string("config_name", 1)
        cls = findings.classes.get(name)
        findings.configs.append(ConfigSource(self._parser, folder, name, cls, call.place))
        self._function: Value = None

    def call(self, call: Call) -> Value:
        """Decorate a function, or call the decorated function."""
        if self._function is None:
            self._function = call.get("", 0)
            return self
        self._findings.use(self._parser, call.place)
        return UNKNOWN


def _main(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return HydraMain(findings, call)


class ConfigStore(Object):
    """Hydra's store of configurations that are classes."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method."""
        node = call.get("node", 1)
        node = node.cls if isinstance(node, Instance) else node
        if name == "store" and isinstance(node, Class) and not call.string("group"):
            self._findings.classes[call.string("name", 0)] = node
        return UNKNOWN


def _store(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return ConfigStore(findings)


def _find_parser(findings: Findings) -> Parser:
    found = [each for each in findings.parsers if each.kind == "OmegaConf"]
    return found[0] if found else findings.new_parser("OmegaConf", help=False)


def _load(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    path = call.string("file_", 0)
    if path:
        findings.configs.append(ConfigSource(_find_parser(findings), "", path, None, call.place))
    return UNKNOWN


def _structured(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    cls = call.get("obj", 0)
    cls = cls.cls if isinstance(cls, Instance) else cls
    if isinstance(cls, Class):
        findings.configs.append(ConfigSource(_find_parser(findings), "", "", cls, call.place))
    return UNKNOWN


def _from_cli(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    findings.use(_find_parser(findings), call.place)
    return UNKNOWN


HANDLERS: Mapping[str, Handler] = {
    "hydra.main": _main,
    "hydra.core.config_store.ConfigStore.instance": _store,
    "omegaconf.OmegaConf.load": _load,
    "omegaconf.OmegaConf.structured": _structured,
    "omegaconf.OmegaConf.from_cli": _from_cli,
}
