"""Findings of the doctor, and the report that is made of them."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from tune_jobs.backends.oci_runs.assumptions import ASSUMPTIONS
from tune_jobs.oci.policies import Policy
from tune_jobs.runtime.oci_answers import (
    BUCKET,
    CREATE_BUCKET,
    CREDENTIALS,
    NO_ANSWER,
    PERMISSION,
    describe_answer,
    read_answer,
)

Verdict = Literal["holds", "differs", "refused", "not tried"]

_PACKAGES = ("tune_jobs", "oci", "oracle-ads", "optuna")


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Args:
        id: Its name; that of an assumption of the register, or of a prerequisite.
        verdict: What was found.
        detail: What was seen.
        fix: What to do; for a refusal, the policy statement to paste.
    """

    id: str
    verdict: Verdict
    detail: str = ""
    fix: str = ""


@dataclass
class Findings:
    """Findings so far, by id; the first one of an id counts."""

    by_id: dict[str, Finding] = field(default_factory=dict)

    def add(self, id: str, verdict: Verdict, detail: object = "", fix: object = "") -> None:
        """Add a finding."""
        self.by_id.setdefault(id, Finding(id, verdict, str(detail), str(fix)))

    def judge(self, id: str, holds: bool, detail: object = "") -> None:
        """Add whether an assumption holds; if not, with what was seen."""
        self.add(id, "holds" if holds else "differs", "" if holds else detail)

    @contextmanager
    def asking(self, id: str, policy: Policy | None = None) -> Iterator[None]:
        """Turn an error of a request into a finding; `KeyboardInterrupt` passes."""
        try:
            yield
        except Exception as error:  # whatever the SDK raises
            self.add_error(id, error, policy)

    def add_error(self, id: str, error: Exception, policy: Policy | None) -> None:
        """Add what the error of a request means."""
        meaning = read_answer(error)
        if meaning.kind in (CREDENTIALS, NO_ANSWER):
            self.add(id, "refused", describe_answer(error), meaning.advice)
        elif meaning.kind == BUCKET:
            self.add(id, "refused", f"{describe_answer(error)}. {CREATE_BUCKET}", policy or "")
        elif meaning.kind == PERMISSION or getattr(error, "status", None) == 404:
            self.add(id, "refused", describe_answer(error), policy or "")
        else:
            self.add(id, "differs", describe_answer(error))


@dataclass(frozen=True)
class DoctorReport:
    """What the doctor found.

    Args:
        checks: Prerequisites of the study.
        register: The register of assumptions, each with its finding.
        cost: What the job runs cost.
        left: What could not be removed.
        facts: Versions and the region; nothing secret.
    """

    checks: tuple[Finding, ...]
    register: tuple[Finding, ...]
    cost: str
    left: tuple[str, ...]
    facts: Mapping[str, str]

    @property
    def is_good(self) -> bool:
        """Whether nothing was refused, differs, or was left behind."""
        found = (*self.checks, *self.register)
        return not self.left and all(f.verdict in ("holds", "not tried") for f in found)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON, to attach to an issue."""
        register = [
            {**dataclasses.asdict(f), "statement": ASSUMPTIONS[f.id].statement}
            for f in self.register
        ]
        checks = [dataclasses.asdict(finding) for finding in self.checks]
        return {
            "facts": dict(self.facts),
            "checks": checks,
            "register": register,
            "cost": self.cost,
            "left": list(self.left),
        }

    def __str__(self) -> str:
        lines = ["prerequisites"]
        lines += [_format(f, f.id) for f in self.checks]
        tried = [f for f in self.register if f.verdict != "not tried"]
        if tried:
            lines.append("assumptions about OCI")
            lines += [_format(f, f"{f.id}: {ASSUMPTIONS[f.id].statement}") for f in tried]
        lines.append(f"{len(self.register) - len(tried)} assumptions were not tried")
        lines.append(self.cost)
        lines += [f"could not be removed: {name}" for name in self.left]
        return "\n".join(lines)


def build_report(findings: Findings, cost: str, left: tuple[str, ...], region: str) -> DoctorReport:
    """Return the report of all findings; assumptions without one were not tried."""
    register = tuple(findings.by_id.get(id) or Finding(id, "not tried") for id in ASSUMPTIONS)
    checks = tuple(f for f in findings.by_id.values() if f.id not in ASSUMPTIONS)
    facts = {"python": platform.python_version(), "region": region}
    return DoctorReport(checks, register, cost, left, {**facts, **_find_versions()})


def _find_versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _format(finding: Finding, text: str) -> str:
    line = f"  {finding.verdict:<10}{text}"
    if finding.verdict == "holds":
        return line
    more = [finding.detail] if finding.detail else []
    more += [f"fix: {finding.fix}"] if finding.fix else []
    return "\n".join([line, *(f"            {part}" for part in more)])


Notice = Callable[[str], None]
