"""The files of the page: read once, compressed once, and kept by browsers until they change.

The address of a file contains a hash of all files, so that a browser may keep it forever, and never
shows the modules of an earlier release. The page preloads its modules by these addresses.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property, lru_cache
from pathlib import Path

from werkzeug.wrappers import Request, Response

LAZY_MODULES = ("plotly.js",)
"""Modules that the page requests only when it needs them."""

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_PRELOADS = "<!-- preloads -->"


class StaticFile:
    """A file of the page.

    Args:
        content: What it contains.
        media_type: Its media type, without its character set.
    """

    def __init__(self, content: bytes, media_type: str) -> None:
        self.content = content
        self.content_type = f"{media_type}; charset=utf-8"

    @cached_property
    def compressed(self) -> bytes:
        """The content in gzip's format."""
        return gzip.compress(self.content, 9, mtime=0)


class StaticFiles:
    """The files of the page, as they were when the server started.

    Args:
        folder: Where they are.

    Attributes:
        version: A hash of all files, which is a part of their addresses.
    """

    def __init__(self, folder: Path = _FOLDER) -> None:
        paths = sorted(path for path in folder.iterdir() if path.suffix in _TYPES)
        contents = {path.name: path.read_bytes() for path in paths}
        digest = hashlib.sha256()
        for name, content in contents.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:16]
        contents["index.html"] = self._complete_page(contents["index.html"], list(contents))
        self._files = {
            name: StaticFile(content, _TYPES[Path(name).suffix])
            for name, content in contents.items()
        }

    def _complete_page(self, page: bytes, names: list[str]) -> bytes:
        """Return the page with the addresses of this version, and its modules preloaded."""
        modules = [n for n in names if n.endswith(".js") and n not in LAZY_MODULES]
        links = "\n".join(f'<link rel="modulepreload" href="static/{n}">' for n in modules)
        filled = page.decode().replace(_PRELOADS, links)
        return filled.replace('"static/', f'"static/{self.version}/').encode()

    def respond(self, request: Request, name: str, version: str | None = None) -> Response | None:
        """Return a file; None if there is none with this name.

        Args:
            request: Says whether it may be compressed.
            name: Name of the file.
            version: The version in its address. Only a file of the current one may be kept.
        """
        file = self._files.get(name)
        if file is None:
            return None
        is_compressed = accepts_gzip(request)
        content = file.compressed if is_compressed else file.content
        response = Response(content, content_type=file.content_type)
        response.headers["Vary"] = "Accept-Encoding"
        if is_compressed:
            response.headers["Content-Encoding"] = "gzip"
        if version == self.version:
            response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
        return response


@lru_cache(maxsize=1)
def load_static_files() -> StaticFiles:
    """Return the files of the page, which are read once."""
    return StaticFiles()


def accepts_gzip(request: Request) -> bool:
    """Return whether the answer to a request may be compressed."""
    return request.accept_encodings.quality("gzip") > 0
