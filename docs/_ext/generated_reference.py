"""Reference pages that are generated from the code, and links from its docstrings.

A page holds a placeholder such as ``<!-- generated: cli -->``, which is replaced by Markdown when
Sphinx reads the page.
"""

from __future__ import annotations

from typing import Any

from cli_reference import render_cli
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from study_yaml_reference import render_sections


def render_pages() -> dict[str, str]:
    """Return what the placeholders stand for, by name."""
    sections = {f"study.yaml {name}": text for name, text in render_sections().items()}
    return {"cli": render_cli(), **sections}


def fill_placeholders(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the placeholders of a page by what the code says."""
    if "<!-- generated: " not in source[0]:
        return
    for name, text in render_pages().items():
        source[0] = source[0].replace(f"<!-- generated: {name} -->", text)


def resolve_missing(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.TextElement | None:
    """Show a name without a link where the site cannot know it.

    These are names in single backticks in docstrings, which may be arguments or internal, and
    types of other packages. Any other reference that does not resolve is an error of the build.
    """
    if node.get("refdomain") != "py":
        return None
    is_plain = node["reftype"] == "obj"
    is_external = not str(node["reftarget"]).startswith("tune_jobs.")
    return content if is_plain or is_external else None


def mark_literal_blocks(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Mark indented blocks of a docstring as literal; the docstrings do without ``::``."""
    marked: list[str] = []
    indent = 0
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line and marked and not marked[-1] and depth >= indent + 4:
            marked += [f"{' ' * indent}::", ""]
        if line:
            indent = depth
        marked.append(line)
    lines[:] = marked


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handlers."""
    app.connect("source-read", fill_placeholders)
    app.connect("missing-reference", resolve_missing)
    app.connect("autodoc-process-docstring", mark_literal_blocks, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
