"""The report as Markdown: complete, short, and without a meaning in the texts of a study."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.dashboard.conftest import HOSTILE, MakeStudy
from tests.dashboard.test_figures import trial
from tests.dashboard.test_report_findings import DEFINITION, study
from tune_jobs.cli.main import main
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE
from tune_jobs.dashboard.report import report_markdown
from tune_jobs.dashboard.report.markdown import MAX_LENGTH, escape

MEANINGFUL = (
    "<img src=x onerror=alert(1)>",
    "`code` ``",
    "a | b",
    "a \\| b",
    "**bold** _it_ *it* __b__ ~~gone~~",
    "[link](https://evil.example) ![image](https://evil.example/x.png)",
    "</details> <!-- ",
    "# heading",
    "1. item",
    "- item",
    "---",
    "===",
    "&lt;b&gt; &#64;",
    "a\n\n# b\n| c",
    "```",
)


def render(text: str) -> str:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return str(parser.render(text))


@pytest.mark.parametrize("text", MEANINGFUL)
def test_texts_have_no_meaning(text: str) -> None:
    plain = " ".join(text.split())
    expected = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    expected = expected.replace('"', "&quot;")
    shown = render(escape(text)).replace("\u200b", "")
    assert shown == f"<p>{expected}</p>\n"
    cells = render(f"| a | b |\n| --- | --- |\n| {escape(text)} | x |\n").replace("\u200b", "")
    assert f"<td>{expected}</td>\n<td>x</td>" in cells


@pytest.mark.parametrize(
    "text",
    [
        "@octocat",
        "a@b.example",
        "#1",
        "org/repo#12",
        "GH-7",
        "https://evil.example",
        "www.a.example",
    ],
)
def test_github_links_nothing(text: str) -> None:
    shown = render(escape(text))
    assert "\u200b" in shown
    for linked in (r"@\w", r"#\d", r"GH-\d", r"://", r"www\."):
        assert not re.search(linked, shown), linked


def test_numbers_and_names_stay_readable() -> None:
    for text in ("0.92", "-0.5", "learning_rate", "1e-05 to 0.1", "3 of 4 trials (75 %)"):
        assert escape(text) == text


def test_summary_first_and_details_folded() -> None:
    failed = replace(trial(2), attributes={CAUSE_ATTRIBUTE: "exit code 1"})
    text = report_markdown([study(trial(0, 0.5, lr=0.1), trial(1, 0.6, lr=0.2), failed)], now=0.0)
    summary, *folded = text.split("<details>")
    assert summary.startswith("## Tuning report: s\n")
    assert "Trial 1 won with accuracy = 0.6" in summary
    titles = [re.match(r"<summary>(.*?)</summary>\n\n", part)[1] for part in folded]  # type: ignore[index]
    assert titles == ["Best trials", "Failures by cause", "Search space", "Provenance"]
    assert text.count("<details>") == text.count("</details>") == 4
    assert "1970-01-01 00:00 UTC" in text
    html = render(text)
    assert html.count("<table>") == 5


def test_hostile_studies() -> None:
    definition = {**DEFINITION, "space": {"parameters": {HOSTILE: HOSTILE}}, "run": {HOSTILE: "@a"}}
    failed = replace(trial(1), attributes={CAUSE_ATTRIBUTE: "</details>| `x` @a #1\n<script>"})
    hostile = study(trial(0, 0.5, **{HOSTILE: HOSTILE}), failed, name=HOSTILE)
    html = render(report_markdown([replace(hostile, definition=definition)] * 2, now=0.0))
    tags = set(re.findall(r"</?([a-z0-9]+)", html))
    ours = "h2|p|strong|table|thead|tbody|tr|th|td|details|summary|ul|li|sub|blockquote"
    assert tags <= set(ours.split("|"))
    assert html.count("<details>") == html.count("</details>")
    assert "alert(1)" in html
    assert "@a" not in html


def test_length_is_limited() -> None:
    name = "|@#*`" * 100
    trials = [trial(i, 0.1, **{f"{name[:50]}{k}{i}": name for k in range(40)}) for i in range(12)]
    studies = [study(*trials, name=f"{i}{name}", definition={}) for i in range(9)]
    text = report_markdown(studies, now=0.0)
    assert len(text) <= MAX_LENGTH
    assert "parts of the report are left out" in text
    assert text.count("<details>") == text.count("</details>")


def test_command(tuned: MakeStudy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tuned("a", n_trials=5)
    storage = f"{tmp_path}/studies.db"
    assert main(["report", storage, "--format", "md"]) == 0
    assert capfd.readouterr().out == "report.md\n"
    written = Path("report.md").read_text()
    assert main(["report", storage, "-o", "other.md", "--require-best"]) == 0
    assert Path("other.md").read_text().startswith("## Tuning report: a\n")
    capfd.readouterr()
    assert main(["report", storage, "--format", "md", "-o", "-"]) == 0
    assert capfd.readouterr().out.splitlines()[:5] == written.splitlines()[:5]
    assert main(["report", storage, "-o", "-", "--json"]) == 2


def test_a_study_without_a_best_trial_fails_on_request(
    tuned: MakeStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned("a", n_trials=0)
    storage = f"{tmp_path}/studies.db"
    assert main(["report", storage, "-o", "r.md"]) == 0
    assert main(["report", storage, "-o", "r.md", "--require-best"]) == 1
    assert "There is no winner" in Path("r.md").read_text()
    assert main(["report", f"{storage}::b", "-o", "r.md"]) == 3


def test_pdf_without_a_browser(
    tuned: MakeStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tuned("a", n_trials=2)
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setenv("PATH", "")
    assert main(["report", f"{tmp_path}/studies.db", "-o", "r.pdf"]) == 2
    assert "write the report as HTML, open it in any browser" in capsys.readouterr().err
    assert not Path("r.pdf").exists()
