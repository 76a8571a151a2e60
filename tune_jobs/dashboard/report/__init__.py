"""Reports of studies: composed as plain data, rendered to HTML, Markdown and PDF."""

from tune_jobs.dashboard.report.writing import report_html, report_markdown, write_report

__all__ = ["report_html", "report_markdown", "write_report"]
