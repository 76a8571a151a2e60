"""Answers of the API as they are sent: nothing that a browser has already, and compressed.

A page that asks again names its last answer (``If-None-Match``). If nothing has changed, it gets
none; else what has changed, as a patch, if it understands these (``A-IM``, see RFC 3229).
"""

from __future__ import annotations

import gzip
import json
import zlib

from werkzeug.wrappers import Request, Response

from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.json_patches import find_patch
from tune_jobs.dashboard.recent import Recent
from tune_jobs.dashboard.static_files import accepts_gzip

MIN_COMPRESSED = 1000
"""Bytes above which answers are compressed."""

PATCH = "json-patch-of-tune-jobs"
"""Name of the patches of `json_patches` in the headers of requests and answers."""

IM_USED = 226
"""Status of an answer that is a patch."""

MAX_ANSWERS = 60
"""Answers that are remembered to tell what has changed since."""


class Answers:
    """The last answers of a server."""

    def __init__(self) -> None:
        self._sent: Recent[str, bytes] = Recent(MAX_ANSWERS)

    def shorten(self, request: Request, response: Response) -> None:
        """Leave out of an answer of the API what the browser has, and compress the rest."""
        if response.mimetype != "application/json" or response.is_streamed:
            return
        response.headers["Vary"] = "Accept-Encoding, A-IM"
        if request.method == "GET" and response.status_code == 200:
            response.add_etag(weak=True)
            if PATCH in request.headers.get("A-IM", ""):
                self._patch(request, response)
            response.make_conditional(request)
        if response.status_code != 304:
            _compress(request, response)

    def _patch(self, request: Request, response: Response) -> None:
        """Replace an answer by what has changed since the one that the browser has."""
        whole, (tag, _) = response.get_data(), response.get_etag()
        assert tag is not None
        self._sent.get(tag, lambda: zlib.compress(whole, 1))
        for known in request.if_none_match.as_set(include_weak=True):
            before = self._sent.find(known)
            if before is None or known == tag:
                continue
            patch = find_patch(json.loads(zlib.decompress(before)), json.loads(whole))
            changes = encode_json(patch).encode()
            if len(changes) < len(whole) // 2:
                response.set_data(changes)
                response.status_code = IM_USED
                response.headers["IM"] = PATCH
            return


def _compress(request: Request, response: Response) -> None:
    content = response.get_data()
    if len(content) >= MIN_COMPRESSED and accepts_gzip(request):
        response.set_data(gzip.compress(content, 5, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
