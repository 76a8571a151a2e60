"""A report as one HTML file that needs neither a network nor a server.

Text and tables are plain HTML; a copy of Plotly in the file draws the figures. For print, each
figure has an image of its own, so that neither the size of a window nor a theme matters.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.drawing import finite
from tune_jobs.dashboard.plotly_bundle import plotly_js
from tune_jobs.dashboard.report.content import (
    Drawing,
    Highlight,
    Overview,
    Report,
    StudyReport,
    Table,
)

_STATIC = Path(__file__).parent.parent / "static"

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""Nothing is requested from anywhere, whatever the document contains."""

PAPERS = ("A4", "Letter")

LONG_WORD = 24
"""Characters above which a word is broken anywhere, as it would be too wide for its column."""


def render_html(report: Report, paper: str | None = None) -> str:
    """Return the document.

    Args:
        report: What it says.
        paper: Size of printed pages, one of `PAPERS`; None for that of the print dialog.

    Raises:
        MissingPackage: If Plotly is not installed.
    """
    title = escape(report.title)
    parts = [
        f"<header><h1>{title}</h1><p class='soft'>Tuning report, made {escape(report.made)}. "
        "All times are in UTC.</p></header>"
    ]
    if not report.studies:
        parts.append("<p>There are no studies to report.</p>")
    if report.overview is not None:
        parts.append(_overview(report.overview))
    parts += [_study(study, alone=report.overview is None) for study in report.studies]
    parts += [_provenance(report.studies)]
    size = f"@page{{size:{paper}}}" if paper else ""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><style>{_read('report.css')}{size}</style></head>"
        f"<body><main>{''.join(parts)}</main>{_scripts(report.drawings)}</body></html>"
    )


def escape(value: object) -> str:
    """Return a text for HTML."""
    return html.escape(str(value))


def _read(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _scripts(drawings: Sequence[Drawing]) -> str:
    """Return the data of figures, and what draws them."""
    if not drawings:
        return ""
    data = "".join(
        f"<script type='application/json' id='{d.key}-data'>{_json(d)}</script>" for d in drawings
    )
    plotly = plotly_js().decode().replace("</script", "<\\/script")
    return f"{data}<script>{plotly}</script><script>{_read('report.js')}</script>"


def _json(drawing: Drawing) -> str:
    """Return JSON that cannot close the HTML element that contains it."""
    text = encode_json(finite(drawing.figure), default=str)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


# -- sections -----------------------------------------------------------------------------------


def _overview(overview: Overview) -> str:
    warnings = "".join(f"<p class='note'>{escape(w)}</p>" for w in overview.warnings)
    return (
        "<section class='overview'><h2>Comparison</h2>"
        f"<div class='lead'>{_paragraphs(overview.sentences)}</div>{warnings}"
        f"{''.join(map(_table, overview.tables))}{_drawings(overview.drawings)}</section>"
    )


def _study(study: StudyReport, *, alone: bool) -> str:
    status = "note interim" if study.is_interim else "status"
    heading = "Summary" if alone else escape(study.name)
    tiles = "".join(map(_tile, study.highlights))
    answers = "".join(
        f"<section class='answer'><h3>{escape(a.title)}</h3>{_paragraph(a.sentences)}</section>"
        for a in study.answers
    )
    steps = "".join(f"<li>{escape(step)}</li>" for step in study.next_steps)
    evidence = f"{_drawings(study.drawings)}{''.join(map(_table, study.tables))}"
    page = " fresh-page" if alone else ""
    return (
        f"<section class='study'><div class='summary'><h2>{heading}</h2>"
        f"<p class='{status}'>{escape(study.status)}.</p><dl class='tiles'>{tiles}</dl>{answers}"
        f"<section class='answer'><h3>What next</h3><ul>{steps}</ul></section></div>"
        + (f"<div class='evidence{page}'>{evidence}</div>" if evidence else "")
        + "</section>"
    )


def _tile(highlight: Highlight) -> str:
    detail = f"<small>{escape(highlight.detail)}</small>" if highlight.detail else ""
    value = escape(highlight.value)
    return f"<div><dt>{escape(highlight.label)}</dt><dd>{value}{detail}</dd></div>"


def _provenance(studies: Sequence[StudyReport]) -> str:
    if not studies:
        return ""
    tables = "".join(_table(s.provenance, s.name if len(studies) > 1 else "") for s in studies)
    return f"<section class='provenance'><h2>Provenance</h2>{tables}</section>"


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def _paragraph(sentences: Sequence[str]) -> str:
    return f"<p>{escape(' '.join(sentences))}</p>"


# -- tables and figures -------------------------------------------------------------------------


def _table(table: Table, heading: str | None = None) -> str:
    title = table.title if heading is None else heading
    head = "".join(
        f"<th scope='col'{_style(table, i, column)}>{_breakable(column)}</th>"
        for i, column in enumerate(table.columns)
    )
    caption = f"<h3>{escape(title)}</h3>" if title else ""
    rows = "".join(_row(table, row) for row in table.rows)
    note = f"<p class='soft'>{escape(table.note)}</p>" if table.note else ""
    kind = "grid" if head else "facts"
    thead = f"<thead><tr>{head}</tr></thead>" if head else ""
    label = escape(title or table.title)
    return (
        f"<section class='table'>{caption}<div class='scroll' tabindex='0' role='group' "
        f"aria-label='{label}'><table class='{kind}'>{thead}<tbody>{rows}</tbody></table></div>"
        f"{note}</section>"
    )


def _row(table: Table, row: Sequence[str]) -> str:
    cells = "".join(
        f"<th scope='row'{_style(table, i, cell)}>{_breakable(cell)}</th>"
        if i == 0 and not table.columns
        else f"<td{_style(table, i, cell)}>{_breakable(cell)}</td>"
        for i, cell in enumerate(row)
    )
    return f"<tr>{cells}</tr>"


def _style(table: Table, column: int, cell: str) -> str:
    """Return the classes of a cell: a number, or one with a word that has to be broken."""
    too_long = any(len(word) > LONG_WORD for part in _split(cell) for word in part.split())
    classes = ["number"] * (column in table.numeric) + ["long"] * too_long
    return f" class='{' '.join(classes)}'" if classes else ""


def _breakable(text: str) -> str:
    """Return a text for HTML whose words may be broken after punctuation."""
    return "<wbr>".join(map(escape, _split(text)))


def _split(text: str) -> list[str]:
    """Return the parts of a text between which a line may be broken."""
    return re.split(r"(?<=[_/.:;,=-])(?=[^\W\d])", text) if len(text) > 16 else [text]


def _drawings(drawings: Sequence[Drawing]) -> str:
    """Return figures in rows: two narrow ones side by side."""
    rows: list[list[Drawing]] = []
    for drawing in sorted(drawings, key=lambda d: d.wide):
        if rows and not drawing.wide and len(rows[-1]) == 1:
            rows[-1].append(drawing)
        else:
            rows.append([drawing])
    return "".join(f"<div class='row'>{''.join(map(_figure, row))}</div>" for row in rows)


def _figure(drawing: Drawing) -> str:
    label = escape(drawing.title)
    note = f"<p class='soft'>{escape(drawing.note)}</p>" if drawing.note else ""
    return (
        f"<figure id='{drawing.key}'>"
        f"<figcaption><h3>{label}</h3></figcaption>"
        f"<div class='figure' role='group' aria-label='{label}'></div>"
        f"<img class='printed' alt='{label}'>{note}</figure>"
    )
