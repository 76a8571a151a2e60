"""What the mistakes are about: a script, and a study.yaml without a mistake."""

from __future__ import annotations

from typing import Any

SCRIPT = "import sys\nprint('value:', sys.argv[1].split('=')[1])\n"

STUDY: dict[str, Any] = {
    "study": "s",
    "script": "train.py",
    "metric": "value",
    "direction": "maximize",
    "parameters": {"x": {"type": "float", "low": 0, "high": 1}},
    "n_trials": 1,
}
