"""Wheels of what is installed here."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tune_jobs.detached.installation import fingerprint_package
from tune_jobs.detached.wheels import OWN, find_requirements, pack_wheels
from tune_jobs.errors import ConfigError


def test_requirements_are_followed() -> None:
    names = {found.metadata["Name"].lower() for found in find_requirements([OWN])}
    assert {"optuna", "sqlalchemy", "alembic", "numpy"} < names
    assert "oracle-ads" not in names
    with pytest.raises(ConfigError, match="the controller needs 'no-such-package'"):
        find_requirements(["no-such-package"])


def test_a_wheel_is_what_is_installed(tmp_path: Path) -> None:
    for _ in range(2):  # the second time from the cache
        packed = pack_wheels(tmp_path / "wheels", ["fsspec"], tmp_path / "cache")
    (wheel,) = packed
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (record,) = (name for name in names if name.endswith("/RECORD"))
        listed = archive.read(record).decode().splitlines()
    assert len(listed) == len(names)
    assert any(name.endswith("fsspec/spec.py") for name in names)


@pytest.mark.slow
def test_installed_elsewhere_it_is_this_tune_jobs(tmp_path: Path) -> None:
    wheels = pack_wheels(tmp_path / "wheels", [OWN])
    (own,) = (path for path in wheels if path.name.startswith(OWN))
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target"]
    subprocess.run([*install, str(target), str(own)], check=True, capture_output=True)
    program = (
        "import tune_jobs.detached.installation as i; print(i.PACKAGE, i.fingerprint_package())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [str(target / OWN), fingerprint_package()]
