"""Images in the OCI image layout (oci-layout, index.json, blobs), as `skopeo copy` writes them.

The configuration decides as in Docker: an entry point of the run replaces that of the image and
drops its CMD; a command of the run replaces its CMD. There are no namespaces here: the root file
system is a folder, and paths of the command that exist in it are translated.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Image:
    """Configuration of an image, and the archives of its layers."""

    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: Mapping[str, str]
    work_dir: str
    user: str
    layers: tuple[Path, ...]

    def command(self, container: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what a container runs whose job or run may name other words."""
        entrypoint, cmd = container.get("entrypoint"), container.get("cmd")
        if entrypoint:
            return (*entrypoint, *(cmd or ()))
        return (*self.entrypoint, *(self.cmd if cmd is None else cmd))

    def unpack(self, root: Path) -> None:
        """Unpack the layers."""
        root.mkdir(parents=True, exist_ok=True)
        for layer in self.layers:
            with tarfile.open(layer) as archive:
                archive.extractall(root, filter="data")
        (root / self.work_dir.lstrip("/")).mkdir(parents=True, exist_ok=True)


def read_image(layout: Path) -> Image:
    """Read the only image of a layout."""
    assert json.loads((layout / "oci-layout").read_text())["imageLayoutVersion"] == "1.0.0"
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(_blob(layout, entry).read_text())
    config = json.loads(_blob(layout, manifest["config"]).read_text())["config"]
    return Image(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        env=dict(variable.split("=", 1) for variable in config.get("Env") or ()),
        work_dir=config.get("WorkingDir") or "/",
        user=config.get("User") or "root",
        layers=tuple(_blob(layout, layer) for layer in manifest["layers"]),
    )


def write_image(layout: Path, config: Mapping[str, Any], files: Mapping[str, str]) -> Path:
    """Write an image with one layer.

    Args:
        layout: The folder, which is created.
        config: ``Entrypoint``, ``Cmd``, ``Env``, ``WorkingDir``, ``User``.
        files: Content of its files by path.
    """
    (layout / "blobs/sha256").mkdir(parents=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(content.encode()), 0o755
            archive.addfile(info, io.BytesIO(content.encode()))
    layer = _write_blob(layout, buffer.getvalue())
    about = {"architecture": "amd64", "os": "linux", "config": dict(config)}
    parts = [_write_blob(layout, json.dumps(about).encode()), layer]
    manifest = {"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}
    index = {"schemaVersion": 2, "manifests": [_write_blob(layout, json.dumps(manifest).encode())]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout


def translate(words: Sequence[str], *roots: Path) -> list[str]:
    """Return words whose absolute paths lie in one of these root file systems."""
    return [
        next(
            (str(r / word[1:]) for r in roots if word[:1] == "/" and (r / word[1:]).exists()), word
        )
        for word in words
    ]


def _blob(layout: Path, descriptor: Mapping[str, Any]) -> Path:
    algorithm, _, digest = str(descriptor["digest"]).partition(":")
    return layout / "blobs" / algorithm / digest


def _write_blob(layout: Path, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}
