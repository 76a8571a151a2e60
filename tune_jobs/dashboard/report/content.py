"""What a report says, as plain data that is rendered to HTML or to Markdown.

All strings are plain text of bounded length: the renderers escape them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tune_jobs.dashboard.drawing import Figure


@dataclass(frozen=True)
class Highlight:
    """A number at the top of a summary.

    Args:
        label: What it is, such as "best accuracy".
        value: The number with its unit.
        detail: A few words about it; may be empty.
    """

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """A question that a summary answers, such as "What won", and the sentences of the answer."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of formatted cells.

    Args:
        title: Its heading.
        columns: Headings of the columns; empty if the first cell of each row is its heading.
        rows: Cells of each row.
        numeric: Indices of the columns whose cells are aligned right.
        note: A sentence below it, such as how many rows are left out; may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure of a report.

    Args:
        key: Unique identifier: ASCII letters, digits and hyphens.
        title: Its heading.
        figure: Plotly's JSON.
        wide: Whether it needs the whole width.
        note: A line below it; may be empty.
    """

    key: str
    title: str
    figure: Figure
    wide: bool
    note: str = ""


@dataclass(frozen=True)
class StudyReport:
    """What a report says about one study.

    Args:
        name: Name of the study.
        status: How far it is, such as "Interim: 12 of 40 trials".
        is_interim: Whether the study is still being tuned.
        highlights: The most important numbers.
        answers: The summary: what was tuned, what won, whether beyond noise, and the cost.
        next_steps: Suggestions, each with its reason.
        drawings: Figures.
        tables: Best trials, failures by cause, costs, and the search space.
        provenance: Where code, data and numbers come from.
    """

    name: str
    status: str
    is_interim: bool
    highlights: tuple[Highlight, ...]
    answers: tuple[Answer, ...]
    next_steps: tuple[str, ...]
    drawings: tuple[Drawing, ...]
    tables: tuple[Table, ...]
    provenance: Table


@dataclass(frozen=True)
class Overview:
    """What a report says about several studies together.

    Args:
        sentences: The result of the comparison, or why they cannot be compared.
        warnings: Differences that make the studies hard to compare.
        tables: All studies, and the parameters in which the winners differ.
        drawings: Figures of the comparison.
    """

    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Report:
    """A whole report.

    Args:
        title: Its title.
        made: When it was made, with the time zone.
        overview: Comparison of several studies; None for one.
        studies: The studies in the order in which they were given.
    """

    title: str
    made: str
    overview: Overview | None
    studies: tuple[StudyReport, ...]

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """All figures."""
        shared = self.overview.drawings if self.overview else ()
        return (*shared, *(d for study in self.studies for d in study.drawings))
