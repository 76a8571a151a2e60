"""Sphinx configuration; ``make docs`` builds the site into ``docs/_build/html``.

The build needs no network: no intersphinx inventories, no web fonts, no MathJax.
"""

import shutil
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

# Sphinx reads sources below this folder only.
for notebook in (DOCS.parent / "notebooks").glob("*.ipynb"):
    (DOCS / "notebooks").mkdir(exist_ok=True)
    shutil.copy2(notebook, DOCS / "notebooks")

project = "tune_jobs"
author = "The tune_jobs developers"
project_copyright = "2026, The tune_jobs developers"
release = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated_reference"]
exclude_patterns = ["_build", "_ext"]
default_role = "py:obj"
nitpicky = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
maximum_signature_line_length = 80
python_use_unqualified_type_names = True

# The notebooks are saved with outputs; the site shows them as they are.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"tune_jobs {release}"
html_show_sourcelink = False
