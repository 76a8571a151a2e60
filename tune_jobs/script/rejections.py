"""Why a script rejected its command line, and the description that it would accept.

The messages are those of argparse, click, typer, absl, fire, getopt and Hydra. A fix is named only
if what the script printed shows that it is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w.-]*")
_FRAME = re.compile("[│╭╮╰╯─]+")
_USAGE = re.compile(r"^usage:.*(?:\n[ \t]+\S.*)*", re.IGNORECASE | re.MULTILINE)
_OFFERED = re.compile(r"(?:did you mean:?|possible options:) *(.+)", re.IGNORECASE)
_OFFERED_BY_ABSL = re.compile(r"did you mean: (\w[\w-]*) \?", re.IGNORECASE)
_SUBCOMMANDS = re.compile(r"(?<![\w-] )(?<=[\s\[])\{([\w,-]+)\}")
_WORD = re.compile(r"\w+")
_COMMA = re.compile(r", *(?![^{]*\})")  # but not one inside braces
_MAX_GIVEN = 2000


@dataclass(frozen=True)
class _Rejected:
    """A command line that a script rejected.

    Attributes:
        log: What the script printed, without frames.
        argv: The arguments that it got.
        names: Names of the parameters.
    """

    log: str
    argv: Sequence[str]
    names: Collection[str]

    @cached_property
    def usage(self) -> str:
        """The last usage message; empty if there is none."""
        usages = [match[0] for match in _USAGE.finditer(self.log)]
        return usages[-1] if usages else ""

    @cached_property
    def offered(self) -> list[str]:
        """Options that the script is known to accept."""
        shown = " ".join([self.usage, *(match[1] for match in _OFFERED.finditer(self.log))])
        flags = [flag.rstrip(".-") for flag in _FLAG.findall(shown)]
        flags += [f"--{name}" for name in _OFFERED_BY_ABSL.findall(self.log)]
        return list(dict.fromkeys(flags))

    @cached_property
    def given(self) -> list[str]:
        """Options that it was given, without values."""
        return [word.partition("=")[0] for word in self.argv if word.startswith("-")]

    def parameter(self, flag: str) -> str:
        """Return the parameter that is written as a flag, or the flag's own name."""
        matching = [name for name in self.names if _plain(name) == _plain(flag)]
        return matching[0] if matching else flag.lstrip("-")


def explain_rejection(log: str, argv: Sequence[str], names: Collection[str]) -> str:
    """Return why a script rejected its arguments, and how to describe its command line.

    Args:
        log: The end of what it printed.
        argv: The arguments that it got.
        names: Names of the parameters.

    Returns:
        A sentence, or an empty string if the script printed no such message.
    """
    rejected = _Rejected(_FRAME.sub(" ", log), argv, names)
    for pattern, explain in _RULES:
        matches = list(pattern.finditer(rejected.log))
        if matches:
            return explain(matches[-1], rejected)
    return ""


# -- options that the script does not know ----------------------------------------------------


def _explain_unrecognized(match: re.Match[str], rejected: _Rejected) -> str:
    given = match[1].strip().strip("'\"").rstrip(".'\"")
    problem = f"it rejects {given[:200]}"
    if "--hydra-help" in rejected.usage:
        fix = _describe("default=Hydra()", "{default: hydra}")
        return f"{problem}: Hydra takes name=value: {fix}"
    flags = [word.partition("=")[0] for word in given[:_MAX_GIVEN].split() if word[0] == "-"]
    return f"{problem}{_explain_spelling(flags, rejected)}"


def _explain_unknown_to_absl(match: re.Match[str], rejected: _Rejected) -> str:
    flag = f"--{match[1]}"
    return f"it rejects {flag}{_explain_spelling([flag], rejected)}"


def _explain_spelling(flags: Sequence[str], rejected: _Rejected) -> str:
    """Return how the script spells rejected options, and the fix."""
    by_name = {_plain(flag): flag for flag in rejected.offered}
    spelled = {flag: by_name[_plain(flag)] for flag in flags if _plain(flag) in by_name}
    if flags and len(spelled) == len(set(flags)) and all(f != s for f, s in spelled.items()):
        fix = _describe_spelling(spelled, rejected)
        return f", but accepts {', '.join(spelled.values())}: {fix}"
    similar = {flag: found for flag in flags if (found := _find_similar(flag, rejected))}
    if similar:
        fix = _describe_options(similar, rejected)
        return f"; its usage shows {', '.join(similar.values())}: if that is meant, {fix}"
    shown = f". Its usage shows: {', '.join(rejected.offered)}" if rejected.offered else ""
    return (
        f". It was given: {' '.join(rejected.argv)}{shown}. "
        "Describe its interface with CommandLine(naming=..., parameters=...)"
    )


def _find_similar(flag: str, rejected: _Rejected) -> str:
    """Return an option that abbreviates a flag, or is abbreviated by it."""
    name = _plain(flag)
    given = {_plain(other) for other in rejected.given}
    for known in rejected.offered:
        other = _plain(known)
        pairs = ((name, other), (other, name))
        if other not in given and any(_abbreviates(short, long) for short, long in pairs):
            return known
    return ""


def _abbreviates(short: str, long: str) -> bool:
    """Return whether ``lr``, or ``learning``, is short for ``learning-rate``."""
    words = long.split("-")
    initials = "".join(word[:1] for word in words)
    return len(words) > 1 and short in (initials, words[0])


def _describe_spelling(spelled: Mapping[str, str], rejected: _Rejected) -> str:
    for naming, old, new in (("underscore", "-", "_"), ("dash", "_", "-")):
        if all(f"--{flag[2:].replace(old, new)}" == known for flag, known in spelled.items()):
            return _describe(f'naming="{naming}"', f"{{naming: {naming}}}")
    return _describe_options(spelled, rejected)


def _describe_options(spelled: Mapping[str, str], rejected: _Rejected) -> str:
    styles = {rejected.parameter(flag): known for flag, known in spelled.items()}
    return _describe_styles(*(_Style(n, f'Option("{k}")', k) for n, k in styles.items()))


# -- arguments that the script requires -------------------------------------------------------


def _explain_required(match: re.Match[str], rejected: _Rejected) -> str:
    needed = [name.strip(" '\".") for name in _COMMA.split(match[1][:_MAX_GIVEN])]
    problem = f"it requires {', '.join(needed)}"
    given = {_plain(flag): flag for flag in rejected.given}
    options = [name for name in needed if name.startswith("-")]
    spelled = {given[_plain(name)]: name for name in options if _plain(name) in given}
    spelled = {flag: known for flag, known in spelled.items() if flag != known}
    if spelled:
        fix = _describe_spelling(spelled, rejected)
        return f"{problem}, but was given {', '.join(spelled)}: {fix}"
    positional = [n for n in rejected.names if _plain(n) in {_plain(m) for m in needed}]
    if positional and not options:
        fix = _describe_styles(*(_Style(n, "Positional()", "positional") for n in positional))
        return f"{problem} without an option's name: {fix}"
    words = [_write_fixed(name, rejected) for name in needed]
    quoted = ", ".join(f'"{word}"' for word in [*words, "{parameters}"])
    fix = _describe(f"arguments=[{quoted}]", f"{{arguments: [{quoted}]}}")
    return f"{problem}, which the tuner does not set: {fix}"


def _write_fixed(name: str, rejected: _Rejected) -> str:
    """Return a fixed argument for something that the script requires."""
    if name.startswith("-"):
        return f"{name.split('/')[0]}=..."
    subcommands = _SUBCOMMANDS.search(rejected.usage)
    if subcommands and (name.startswith("{") or name in ("command", "cmd", "subcommand")):
        return subcommands[1].split(",")[0]
    return f"<{name.strip('{}').lower()}>"


# -- values that the script rejects -----------------------------------------------------------


def _explain_switch(match: re.Match[str], rejected: _Rejected) -> str:
    flag = match[1].split("/")[-1]
    style = _Style(rejected.parameter(flag), f'Switch("{flag}")', f"{{switch: {flag}}}")
    return f"{flag} takes no value: {_describe_styles(style)}"


def _explain_choice(match: re.Match[str], rejected: _Rejected) -> str:
    flag, value, allowed = match[1].split("/")[-1].strip(), match[2], match[3].strip(" .)")
    problem = f"it rejects {value} for {flag}"
    if value.strip("'\"") in ("true", "false") and {"True", "False"} <= set(_WORD.findall(allowed)):
        fix = _describe('booleans="True/False"', "{booleans: True/False}")
        return f"{problem}: {fix}"
    if flag not in rejected.given:  # a positional
        return f"{problem}, which accepts {allowed}"
    return f"{problem}: let the choices of {rejected.parameter(flag)} be among {allowed}"


def _explain_type(match: re.Match[str], rejected: _Rejected) -> str:
    flag, kind, value = match["flag"].split("/")[-1].strip(), match["kind"], match["value"].strip()
    problem, name = f"it rejects {value} for {flag}", rejected.parameter(flag)
    if value.startswith(("'[", '"[')) and re.search(rf"{re.escape(flag)} \S+ \[", rejected.usage):
        many = f"{{option: {flag}, many: spread}}"
        fix = _describe_styles(_Style(name, f'Option("{flag}", many="spread")', many))
        return f"{problem}: {fix}"
    article = "an" if kind[:1] in "aeiou" else "a"
    return f"{problem}, which has to be {article} {kind}: change {name}"


def _explain_override(match: re.Match[str], rejected: _Rejected) -> str:
    name = match[1]
    if f"+{name}=" not in rejected.log or name not in rejected.names:
        return f"Hydra does not know {name}: correct the parameter's name, or add it to the config"
    fix = _describe_styles(_Style(name, f'Hydra("+{name}")', f"{{hydra: +{name}}}"))
    return f"{name} is not in the script's config: add it there, or {fix}"


# -- fixes ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Style:
    """Style of a parameter, as it is written in Python and in study.yaml."""

    parameter: str
    python: str
    yaml: str


def _describe_styles(*styles: _Style) -> str:
    python = ", ".join(f'"{style.parameter}": {style.python}' for style in styles)
    yaml = ", ".join(f"{style.parameter}: {style.yaml}" for style in styles)
    return _describe(f"parameters={{{python}}}", f"{{parameters: {{{yaml}}}}}")


def _describe(python: str, yaml: str) -> str:
    """Return a setting of the command line, as it is written in Python and in study.yaml."""
    return f"CommandLine({python}), in study.yaml command_line: {yaml}"


def _plain(name: str) -> str:
    """Return a name without what spellings differ in."""
    return name.lstrip("-").replace("_", "-").lower()


_Explain = Callable[[re.Match[str], _Rejected], str]
_MESSAGES: Sequence[tuple[str, _Explain]] = (
    (r"argument (-[^\s:]+): ignored explicit argument", _explain_switch),
    (r"option '?(-[^\s']+)'? does not take a value", _explain_switch),
    (r"option (-[^\s']+) must not have an argument", _explain_switch),
    (r"argument ([^\s:]+): invalid choice: (\S+) \(choose from (.+)\)", _explain_choice),
    (r"invalid value for '([^']+)': (\S+) is not one of (.+)", _explain_choice),
    (r"flag (--?[\w-]+)=(\S*): value should be one of <(.+)>", _explain_choice),
    (r"argument (?P<flag>[^\s:]+): invalid (?P<kind>\w+) value: (?P<value>.+)", _explain_type),
    (
        r"invalid value for '(?P<flag>[^']+)': (?P<value>\S+) is not a valid (?P<kind>\w+)",
        _explain_type,
    ),
    (r"the following arguments are required: (.+)", _explain_required),
    (r"missing (?:option|argument)s? (.+)", _explain_required),
    (r"could not override '([^']+)'", _explain_override),
    (r"unrecognized arguments?: *(.+)", _explain_unrecognized),
    (r"no such option:? *'?(-[^\s']+)", _explain_unrecognized),
    (r"could not consume arg: *(\S+)", _explain_unrecognized),
    (r"option (--?[\w-]+) not recognized", _explain_unrecognized),
    (r"got unexpected extra arguments? \((.+)\)", _explain_unrecognized),
    (r"unknown command line flag '([^']+)'", _explain_unknown_to_absl),
    (
        r"(?:unknown|unrecognized|invalid) (?:option|flag|argument)s?:? +(-.+)",
        _explain_unrecognized,
    ),
)
_RULES = tuple((re.compile(pattern, re.IGNORECASE), explain) for pattern, explain in _MESSAGES)
