"""Wheels of what is installed here, to be installed elsewhere without an index.

A wheel is packed from the files that an installed distribution records, so it is the very version
that runs here, and no network is needed. tune_jobs itself is packed from its sources, since it may
be installed in place.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import platform
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from tune_jobs.detached.installation import PACKAGE
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.private_files import make_folders

OWN = "tune_jobs"
_SYSTEMS = ("x86_64", "AMD64")


def pack_wheels(folder: Path, names: Iterable[str], cache: Path | None = None) -> list[Path]:
    """Pack wheels of distributions and of all that they require.

    Args:
        folder: Where to put them.
        names: Names of distributions.
        cache: Folder in which packed wheels are kept; None for none.

    Raises:
        ConfigError: If one is not installed, or was built for another system than OCI's.
    """
    make_folders(folder)
    packed = []
    for found in find_requirements(names):
        _check_system(found)
        if _normalize(found.metadata["Name"]) == _normalize(OWN):
            packed.append(_pack(found, folder))
            continue
        kept = cache and cache / f"{_digest(found)}-{_name_wheel(found)}"
        if kept is None:
            packed.append(_pack(found, folder))
            continue
        if not kept.exists():
            make_folders(kept.parent)
            part = _pack(found, kept.parent)
            part.replace(kept)
        packed.append(folder / _name_wheel(found))
        shutil.copyfile(kept, packed[-1])
    return packed


def find_requirements(names: Iterable[str]) -> list[Distribution]:
    """Return installed distributions and all that they require, without extras.

    Raises:
        ConfigError: If one is not installed.
    """
    from packaging.requirements import Requirement

    found: dict[str, Distribution] = {}
    waiting = [(name, name) for name in names]
    while waiting:
        name, needed_by = waiting.pop()
        if _normalize(name) in found:
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise ConfigError(
                f"the controller needs {name!r} (for {needed_by}), which is not installed here: "
                f"pip install {name}, or name an environment that has tune_jobs: `controller: "
                "{conda: oci://bucket@namespace/path}` or {image: ...}"
            ) from None
        found[_normalize(name)] = installed
        for line in installed.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append((requirement.name, name))
    return [found[name] for name in sorted(found)]


def _check_system(installed: Distribution) -> None:
    if _is_pure(installed) or (platform.system() == "Linux" and platform.machine() in _SYSTEMS):
        return
    raise ConfigError(
        f"{installed.metadata['Name']} is installed for {platform.system()} "
        f"{platform.machine()}, and the controller on OCI runs Linux x86_64: name a published "
        "environment that has tune_jobs, `controller: {conda: oci://bucket@namespace/path}` or "
        "{image: ...}, or detach from a notebook session of OCI"
    )


def _is_pure(installed: Distribution) -> bool:
    return "Root-Is-Purelib: true" in (installed.read_text("WHEEL") or "Root-Is-Purelib: true")


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(installed: Distribution) -> str:
    return hashlib.sha256((installed.read_text("RECORD") or "").encode()).hexdigest()[:16]


def _find_tags(installed: Distribution) -> list[str]:
    lines = (installed.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(":")[2].strip() for line in lines if line.startswith("Tag:")]
    return tags or ["py3-none-any"]


def _name_wheel(installed: Distribution) -> str:
    parts = [tag.split("-") for tag in _find_tags(installed)]
    tag = "-".join(".".join(dict.fromkeys(each)) for each in zip(*parts, strict=True))
    name = re.sub(r"[-_.]+", "_", installed.metadata["Name"])
    return f"{name}-{installed.version}-{tag}.whl"


def _pack(installed: Distribution, folder: Path) -> Path:
    """Pack a wheel of an installed distribution."""
    target = folder / _name_wheel(installed)
    info = f"{re.sub(r'[-_.]+', '_', installed.metadata['Name'])}-{installed.version}.dist-info"
    is_own = _normalize(installed.metadata["Name"]) == _normalize(OWN)
    rows: list[tuple[str, str, int]] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:

        def add(name: str, data: bytes) -> None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append((name, f"sha256={digest}", len(data)))
            wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)

        for name, path in _find_own_files() if is_own else _find_files(installed):
            add(name, path.read_bytes())
        for name in ("METADATA", "WHEEL", "entry_points.txt"):
            if (text := _read_info(installed, name)) is not None:
                add(f"{info}/{name}", text.encode())
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
        wheel.writestr(f"{info}/RECORD", record.getvalue())
    return target


def _read_info(installed: Distribution, name: str) -> str | None:
    text = installed.read_text(name)
    if text is None and name == "WHEEL":
        return (
            "Wheel-Version: 1.0\nGenerator: tune_jobs\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
    return installed.read_text("PKG-INFO") if text is None and name == "METADATA" else text


def _find_files(installed: Distribution) -> Iterator[tuple[str, Path]]:
    """Yield the files of a distribution below the folder of packages, by name in its wheel."""
    for file in installed.files or ():
        name, path = file.as_posix(), Path(str(installed.locate_file(file)))
        is_ours = name.startswith("..") or os.path.isabs(name) or name.endswith(".pyc")
        if not is_ours and ".dist-info/" not in name and path.is_file():
            yield name, path


def _find_own_files() -> Iterator[tuple[str, Path]]:
    """Yield the files of this tune_jobs, by name in its wheel."""
    for folder, folders, names in os.walk(PACKAGE, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = Path(folder, name)
            if not name.endswith(".pyc"):
                yield f"{OWN}/{path.relative_to(PACKAGE).as_posix()}", path
