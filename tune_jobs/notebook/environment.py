"""Whether this process is the kernel of a notebook."""

from __future__ import annotations

import sys


def in_notebook() -> bool:
    """Return whether a front end such as JupyterLab shows what this process displays."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ in ("ZMQInteractiveShell", "Shell")  # the latter is Colab's
