"""The filter of trials, such as ``lr > 0.01 and state == "complete" and value > 0.88``.

It is an expression (`tune_jobs.space.expressions`) over the fields of a trial. A name that two
fields have, such as a parameter and a user attribute, needs its scope: ``params.loss``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tune_jobs.core.attempts import RUNNING, Attempt, AttemptState
from tune_jobs.core.best_trials import Standing
from tune_jobs.core.formatting import format_parameter
from tune_jobs.dashboard import best_fields
from tune_jobs.dashboard.model import STATES, Study, Trial
from tune_jobs.dashboard.trial_fields import (
    NOTE_ATTRIBUTE,
    Field,
    find_named_fields,
    list_study_fields,
    quote_name,
    read_cause,
)
from tune_jobs.errors import ConfigError, suggest
from tune_jobs.space.expressions import Expression

MAX_EVALUATIONS = 20_000_000
"""Operations and operands of an expression, times trials."""

_LISTED = 20
_ALIASES = {"objective": "value", "objectives": "value", "status": "state", "trial": "number"}
_WORDS = {
    "state": [state.lower() for state in STATES],
    "run_state": [stage.lower() for stage in (*AttemptState, RUNNING)],
}


class FilterError(ConfigError):
    """A filter cannot be parsed, or not be applied to any trial."""


@dataclass(frozen=True)
class TrialFilter:
    """Condition on trials.

    Args:
        expression: An expression over the fields; None for all trials.
        fields: Fields by the names that occur in the expression.
        state: State of the trials, or ``INFEASIBLE``; empty for all.
        text: A string in the number, a parameter or the cause; empty for all.
    """

    expression: Expression | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    state: str = ""
    text: str = ""

    @property
    def depends_on_best(self) -> bool:
        """Whether a new best trial changes which trials match."""
        return any(each.group == best_fields.GROUP for each in self.fields.values())

    def select(self, rows: Sequence[tuple[Trial, Attempt | None]]) -> list[int]:
        """Return the numbers of the trials that match.

        Args:
            rows: Trials with their last runs.

        Raises:
            FilterError: If the expression can be evaluated for none of them, or takes too long.
        """
        if self.expression is not None:
            self._check_cost(len(rows))
        found, problem = [], None
        for trial, run in rows:
            try:
                if self._matches(trial, run):
                    found.append(trial.number)
            except ConfigError as error:  # for example, a choice that is a string in some trials
                problem = problem or error
        if problem is not None and not found:
            raise FilterError(str(problem)) from problem
        return found

    def _check_cost(self, trials: int) -> None:
        assert self.expression is not None
        cost = self.expression.count_nodes() * trials
        if cost > MAX_EVALUATIONS:
            raise FilterError(f"the filter is too long for {trials} trials: shorten it")

    def _matches(self, trial: Trial, run: Attempt | None) -> bool:
        if not _is_in_state(trial, self.state) or not _contains(trial, run, self.text):
            return False
        if self.expression is None:
            return True
        values = {name: each.read(trial, run) for name, each in self.fields.items()}
        return self.expression.matches({k: v for k, v in values.items() if v is not None})


def _is_in_state(trial: Trial, state: str) -> bool:
    if state == "INFEASIBLE":
        return trial.standing is Standing.INFEASIBLE
    return not state or trial.state == state


def _contains(trial: Trial, run: Attempt | None, text: str) -> bool:
    if not text:
        return True
    cause = read_cause(trial, run) or ""
    params = " ".join(f"{k}={format_parameter(v)}" for k, v in trial.params.items())
    return text in f"{trial.number} {params} {cause}".lower()


def parse_filter(
    fields: Iterable[Field], where: str = "", *, state: str = "", text: str = ""
) -> TrialFilter:
    """Return a filter.

    Args:
        fields: Fields of the study.
        where: An expression over them; empty for all trials.
        state, text: See `TrialFilter`.

    Raises:
        FilterError: If the expression is invalid; the message names the column.
    """
    if not where.strip():
        return TrialFilter(state=state, text=text.lower())
    names = _index_names(fields)
    try:
        expression = Expression.parse(where, find_problem=lambda name: _find_problem(name, names))
        _check_words(expression, names)
    except ConfigError as error:
        raise FilterError(_strip_expression(str(error))) from None
    chosen = {name: _choose(name, names)[0] for name in expression.names}
    return TrialFilter(expression, chosen, state, text.lower())


def filter_study(study: Study, where: str) -> list[int]:
    """Return the numbers of the trials of a study that match an expression.

    Raises:
        FilterError: If the expression is invalid.
    """
    fields = [*list_study_fields(study), *best_fields.list_best_fields(study)]
    fields += find_named_fields(study.trials, fields)
    return parse_filter(fields, where).select(pair_with_runs(study))


def pair_with_runs(study: Study) -> list[tuple[Trial, Attempt | None]]:
    """Return the trials that had a run, or will have one, each with its last run."""
    last = {run.trial: run for run in study.runs if run.trial is not None and not run.is_final}
    trials = (_add_note(study, t) for t in study.trials if not t.without_run)
    return [(t, last.get(t.number)) for t in trials]


def _add_note(study: Study, trial: Trial) -> Trial:
    """Return a trial whose attributes have the note that a person wrote on it, if there is one."""
    note = study.notes.get(trial.number)
    if note is None:
        return trial
    return replace(trial, attributes={**trial.attributes, NOTE_ATTRIBUTE: note.text})


def _index_names(fields: Iterable[Field]) -> dict[str, list[Field]]:
    names: dict[str, list[Field]] = {}
    for each in fields:
        for name in each.names:
            names.setdefault(name, []).append(each)
        if each.group == "trial":
            names.setdefault(f"trial.{each.id}", []).append(each)
    return names


def _choose(name: str, names: Mapping[str, list[Field]]) -> list[Field]:
    return names.get(name, [])


def _find_problem(name: str, names: Mapping[str, list[Field]]) -> str:
    """Return what is wrong with a name in an expression; empty if nothing is."""
    found = names.get(name)
    if found is None:
        short = [known for known in names if "." not in known or "." in name]
        near = suggest(name, names) or suggest(_ALIASES.get(name, ""), names)
        listed = ", ".join(map(quote_name, short[:_LISTED])) + (", …" if short[_LISTED:] else "")
        return (
            f"unknown name {name!r} {near or f'(known: {listed})'}; a string is written in "
            f"quotes: '{name}'"
        )
    if len(found) > 1:
        scoped = [quote_name(_scoped(each)) for each in found]
        return f"{name!r} may be {' or '.join(scoped)}: write which"
    return ""


def _scoped(each: Field) -> str:
    return f"trial.{each.id}" if each.group == "trial" else each.names[-1]


def _check_words(expression: Expression, names: Mapping[str, list[Field]]) -> None:
    """Check that states are compared with states that exist."""
    for name, word, error in expression.find_comparisons():
        known = _WORDS.get(names[name][0].id) if name in names else None
        if known is not None and word.lower() not in known:
            hint = suggest(word.lower(), known) or f"(known: {', '.join(known)})"
            raise ConfigError(f"{error}unknown {names[name][0].id} {word!r} {hint}")


def _strip_expression(message: str) -> str:
    """Return a message without the expression, which stands beside it."""
    _, found, rest = message.partition(", column ")
    return f"column {rest}" if found else message


def format_ranges(numbers: Iterable[int]) -> str:
    """Return ascending numbers as ranges: ``0-5,7``."""
    return ",".join(
        str(first) if first == last else f"{first}-{last}" for first, last in _ranges(numbers)
    )


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = last = number
        elif number == last + 1:
            last = number
        else:
            yield first, last
            first = last = number
    if first is not None and last is not None:
        yield first, last


def parse_ranges(ranges: str, limit: int) -> set[int]:
    """Return the numbers of ranges such as ``0-5,7``, at most ``limit`` of them.

    Raises:
        ValueError: If they are no ranges.
    """
    numbers: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or len(part) > 20:
            raise ValueError(f"{part[:40]!r} is not a range of trial numbers, such as 3-7")
        numbers.update(range(int(first), int(last or first) + 1)[: limit - len(numbers)])
    return numbers
