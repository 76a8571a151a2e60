"""Engine for policies in OCI's syntax, and the principals to which they apply.

    allow group tuners to manage objects in compartment emulated where target.bucket.name = 'b'
    allow group readers to manage objects in tenancy where any {request.permission = 'OBJECT_READ'}

Access is denied unless a statement permits it. Verbs include those before them (inspect, read, use,
manage), families include their resources, and compartments include those below them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

VERBS = ("inspect", "read", "use", "manage")
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "data-science-family": (
        *("data-science-projects", "data-science-notebook-sessions"),
        *("data-science-jobs", "data-science-job-runs", "data-science-work-requests"),
    ),
    "object-family": ("buckets", "objects"),
    "logging-family": ("log-groups", "log-content", "unified-configuration"),
    "virtual-network-family": ("vcns", "subnets", "vnics", "network-security-groups"),
    "secret-family": ("secrets", "secret-versions", "secret-bundles"),
}
_SINGLE = ("compartments", "metrics", "repos", "resource-availability", "tenancies", "users")
RESOURCES = {
    "all-resources",
    *_SINGLE,
    *FAMILIES,
    *(r for family in FAMILIES.values() for r in family),
}

_STATEMENT = re.compile(
    r"\s*allow\s+(?P<kind>group|dynamic-group|service|any-user)(?:\s+(?P<name>[\w/'.-]+))?"
    r"\s+to\s+(?P<verb>\w+)\s+(?P<resource>[\w-]+)"
    r"\s+in\s+(?:(?P<tenancy>tenancy)|compartment\s+(?:id\s+)?(?P<place>[\w.:-]+))"
    r"(?:\s+where\s+(?P<condition>.+?))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TERM = re.compile(r"\s*(?P<name>[\w.]+)\s*(?P<operator>!?=)\s*'(?P<value>[^']*)'\s*")


@dataclass(frozen=True)
class Principal:
    """Who makes a request.

    Args:
        id: OCID of a user, an instance, a notebook session or a job run.
        kind: ``user``, ``service``, or the type of a resource, such as ``datasciencejobrun``.
        compartment: The resource's compartment.
    """

    id: str
    kind: str = "user"
    compartment: str = ""


@dataclass(frozen=True)
class Target:
    """What a request is about.

    Args:
        permission: What it needs, such as ``OBJECT_CREATE``; conditions may name it.
        secret, secret_name: OCID and name of a secret.
    """

    compartment: str
    bucket: str = ""
    permission: str = ""
    secret: str = ""
    secret_name: str = ""


@dataclass(frozen=True)
class Statement:
    """Statement of a policy, parsed."""

    kind: str
    name: str
    verb: str
    resource: str
    place: str
    condition: str

    @classmethod
    def parse(cls, text: str) -> Statement:
        """Parse a statement.

        Raises:
            ValueError: If it is not a statement, or names an unknown verb or resource.
        """
        match = _STATEMENT.fullmatch(text)
        if match is None:
            raise ValueError(f"no policy statement: {text}")
        kind, verb, resource = (match[k].lower() for k in ("kind", "verb", "resource"))
        if verb not in VERBS or resource not in RESOURCES:
            raise ValueError(f"unknown verb or resource: {verb} {resource}")
        if (match["name"] is None) != (kind == "any-user"):
            raise ValueError(f"{kind} {match['name']}: {text}")
        _compile_condition(match["condition"] or "")
        name = (match["name"] or "").replace("'", "").rpartition("/")[2]
        return cls(kind, name, verb, resource, match["place"] or "", match["condition"] or "")

    def covers(self, verb: str, resource: str) -> bool:
        """Return whether it permits a verb on a type of resource, anywhere."""
        resources = (self.resource, *FAMILIES.get(self.resource, ()))
        if self.resource == "all-resources":
            resources = (resource,)
        return resource in resources and VERBS.index(verb) <= VERBS.index(self.verb)


@dataclass
class Compartment:
    """Compartment, whose parent is another one or the tenancy."""

    name: str
    parent: str


@dataclass
class Access:
    """Policies of a tenancy.

    Args:
        tenancy: OCID of the tenancy.
        compartments: By OCID.
        groups: Users by the name of their group.
        dynamic_groups: Matching rules by name.
        statements: What is permitted; None if everything is.
    """

    tenancy: str
    compartments: dict[str, Compartment] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    dynamic_groups: dict[str, str] = field(default_factory=dict)
    statements: list[Statement] | None = None
    used: set[Statement] = field(default_factory=set)

    def permit(self, *statements: str) -> None:
        """Permit only what these statements say, from now on."""
        self.statements = [Statement.parse(text) for text in statements]
        self.used.clear()

    def allows(self, who: Principal, verb: str, resource: str, target: Target) -> bool:
        """Return whether a principal may do something, and note the statement that permits it."""
        if self.statements is None:
            return True
        for statement in self.statements:
            if (
                statement.covers(verb, resource)
                and self._is_within(target.compartment, statement.place)
                and self._applies_to(statement, who)
                and _compile_condition(statement.condition)(_describe(who, target))
            ):
                self.used.add(statement)
                return True
        return False

    def _is_within(self, compartment: str, place: str) -> bool:
        while compartment in self.compartments:
            if place in (compartment, self.compartments[compartment].name):
                return True
            compartment = self.compartments[compartment].parent
        return not place

    def _applies_to(self, statement: Statement, who: Principal) -> bool:
        if statement.kind == "any-user":
            return who.kind != "service"
        if statement.kind == "service":
            return who == Principal(statement.name, "service")
        if statement.kind == "group":
            return who.id in self.groups.get(statement.name, set())
        rule = self.dynamic_groups.get(statement.name)
        if rule is None or who.kind in ("user", "service"):
            return False
        return _compile_condition(rule)(_describe(who, Target("")))


def _describe(who: Principal, target: Target) -> dict[str, str]:
    """Return the variables that a condition or a matching rule may name."""
    return {
        "target.bucket.name": target.bucket,
        "target.secret.id": target.secret,
        "target.secret.name": target.secret_name,
        "request.permission": target.permission,
        "target.compartment.id": target.compartment,
        "request.principal.type": who.kind,
        "request.principal.id": who.id,
        "resource.type": who.kind,
        "resource.id": who.id,
        "resource.compartment.id": who.compartment,
        "instance.compartment.id": who.compartment if who.kind == "instance" else "",
    }


def _compile_condition(text: str) -> Callable[[Mapping[str, str]], bool]:
    """Return the test of ``name = 'value'``, ``all {...}`` or ``any {...}``.

    Raises:
        ValueError: If it is of another form.
    """
    if not text.strip():
        return lambda values: True
    combined = re.fullmatch(r"\s*(all|any)\s*\{(.*)\}\s*", text, re.IGNORECASE | re.DOTALL)
    parts = combined[2].split(",") if combined else [text]
    terms = [_TERM.fullmatch(part) for part in parts]
    if None in terms:
        raise ValueError(f"invalid condition: {text}")
    combine = any if combined and combined[1].lower() == "any" else all

    def test(values: Mapping[str, str]) -> bool:
        return combine(
            (values.get(t["name"]) == t["value"]) == (t["operator"] == "=") for t in terms if t
        )

    return test
