"""A report as Markdown for a pull request, as GitHub renders it.

The summary comes first, and details are folded. The texts of a study stay text: what Markdown,
HTML or GitHub gives a meaning to (mentions, references to issues, links, formulas) is written as
character references, or separated by a space of no width.

Source: GitHub Flavored Markdown Spec, https://github.github.com/gfm/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tune_jobs.dashboard.report.content import Overview, Report, StudyReport, Table

MAX_LENGTH = 60_000
"""Characters of a report; GitHub accepts comments of 65,536."""

_MARKED = re.compile(r"[\\`*\[\]<>&|~!#@$]|(?<![^\W_])_|_(?![^\W_])")
_LIST_ITEM = re.compile(r"^(?:[-+=](?=[\s=-]|$)|\d+(?=[.)](?:\s|$)))")
_NO_WIDTH = "&#8203;"
_SEPARATED = (
    (re.compile(r"&#(64|35);(?=\w)"), r"\g<0>" + _NO_WIDTH),  # mentions, issues
    (re.compile(r"(?<=\w):(?=//)"), ":" + _NO_WIDTH),  # links
    (re.compile(r"\b(www)(?=\.)", re.IGNORECASE), r"\1" + _NO_WIDTH),
    (re.compile(r"\b(GH-)(?=\d)", re.IGNORECASE), r"\1" + _NO_WIDTH),
    (re.compile(r":(?=[\w+-]+:)"), ":" + _NO_WIDTH),  # emoji
)


def escape(text: str) -> str:
    """Return a text for Markdown, in which nothing has a meaning."""
    line = " ".join(text.split())
    line = _MARKED.sub(lambda found: f"&#{ord(found[0])};", line)
    line = _LIST_ITEM.sub(lambda found: _mark_start(found[0]), line)
    for pattern, replacement in _SEPARATED:
        line = pattern.sub(replacement, line)
    return line


def _mark_start(start: str) -> str:
    """Return what would start a list or a heading, so that it does not."""
    return f"{start}{_NO_WIDTH}" if start[0].isdecimal() else f"&#{ord(start)};"


def render_markdown(report: Report) -> str:
    """Return the document: at most `MAX_LENGTH` characters."""
    kept: list[str] = []
    length, left_out = 0, 0
    note = "_{} parts of the report are left out, as a comment has a limited length._"
    room = MAX_LENGTH - len(note) - 20
    for part in _parts(report):
        if length + len(part) + 2 > room:
            left_out += 1
            continue
        kept.append(part)
        length += len(part) + 2
    if left_out:
        kept.append(note.format(left_out))
    return "\n\n".join(kept) + "\n"


def _parts(report: Report) -> Iterator[str]:
    """Yield blocks, each of which is complete in itself."""
    yield f"## Tuning report: {escape(report.title)}"
    if not report.studies:
        yield "There are no studies to report."
    if report.overview is not None:
        yield from _overview(report.overview)
    alone = report.overview is None
    for study in report.studies:
        yield from _summary(study) if alone else _folded_summary(study)
    for study in report.studies:
        suffix = "" if alone else f" of {study.name}"
        for table in study.tables:
            if alone or table.title in ("Best trials", "Pareto front", "Failures by cause"):
                yield _fold(f"{table.title}{suffix}", _table(table))
        yield _fold(f"Provenance{suffix}", _table(study.provenance))
    yield f"<sub>Made by tune_jobs, {escape(report.made)}.</sub>"


def _overview(overview: Overview) -> Iterator[str]:
    yield from (f"**{escape(sentence)}**" for sentence in overview.sentences)
    for warning in overview.warnings:
        yield f"> {escape(warning)}"
    for table in overview.tables:
        yield f"**{escape(table.title)}**"
        yield _table(table)


def _summary(study: StudyReport) -> Iterator[str]:
    yield f"> **{escape(study.status)}.**" if study.is_interim else f"**{escape(study.status)}.**"
    yield _table(
        Table(
            "",
            tuple(h.label for h in study.highlights),
            (
                tuple(
                    " ".join([h.value, f"({h.detail})" * bool(h.detail)]) for h in study.highlights
                ),
            ),
        )
    )
    yield _answers(study)


def _folded_summary(study: StudyReport) -> Iterator[str]:
    yield _fold(f"{study.name}: {study.status}", _answers(study))


def _answers(study: StudyReport) -> str:
    lines = [f"- **{escape(a.title)}** {escape(' '.join(a.sentences))}" for a in study.answers]
    lines.append("- **What next**")
    lines += [f"  - {escape(step)}" for step in study.next_steps]
    return "\n".join(lines)


def _fold(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>\n\n{content}\n\n</details>"


def _table(table: Table) -> str:
    width = max(map(len, table.rows), default=len(table.columns))
    columns = table.columns or ("",) * width
    rule = ["---:" if i in table.numeric else "---" for i in range(len(columns))]
    lines = [_row(columns), f"| {' | '.join(rule)} |", *map(_row, table.rows)]
    return "\n".join([*lines, *(["", escape(table.note)] if table.note else [])])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escape(cell) or ' ' for cell in cells)} |"
