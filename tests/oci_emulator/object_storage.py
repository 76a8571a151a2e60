"""Object Storage: buckets, objects, listings, ranges, conditions, uploads in parts."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

from werkzeug import Request, Response

from tests.oci_emulator.errors import ServiceError, invalid, not_found
from tests.oci_emulator.policies import Target
from tests.oci_emulator.world import BUCKET, World, principal_of

MAX_PAGE = 1000

_PERMISSIONS = {
    "get_namespace": ("inspect", "buckets"),  # [assumed]
    "list_buckets": ("inspect", "buckets"),
    "get_bucket": ("read", "buckets"),
    "head_bucket": ("read", "buckets"),
    "create_bucket": ("manage", "buckets"),
    "delete_bucket": ("manage", "buckets"),
}
"""Verb and resource that an operation on buckets needs."""

_OBJECT_PERMISSIONS = {
    "list_objects": "OBJECT_INSPECT",
    "get_object": "OBJECT_READ",
    "head_object": "OBJECT_READ",
    "delete_object": "OBJECT_DELETE",
}
"""Permission that an operation on objects needs; all others create an object, or overwrite it."""

_VERBS = {
    "OBJECT_INSPECT": "inspect",
    "OBJECT_READ": "read",
    "OBJECT_OVERWRITE": "use",
    "OBJECT_CREATE": "manage",
    "OBJECT_DELETE": "manage",
}


@dataclass(frozen=True)
class Object:
    """Immutable object."""

    data: bytes
    etag: str
    modified: float
    content_type: str
    metadata: dict[str, str]

    @property
    def md5(self) -> str:
        """MD5 of the content, in base64."""
        return base64.b64encode(hashlib.md5(self.data, usedforsecurity=False).digest()).decode()


@dataclass
class Upload:
    """Multipart upload that is not committed yet."""

    name: str
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Bucket:
    """Bucket: its objects by name, and all changes (time, name, object or None if deleted).

    Its compartment is empty for the world's first one.
    """

    name: str
    created: float
    compartment: str = ""
    objects: dict[str, Object] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    changes: list[tuple[float, str, Object | None]] = field(default_factory=list)

    def put(self, name: str, stored: Object, now: float) -> None:
        """Store an object."""
        self.objects[name] = stored
        self.changes.append((now, name, stored))

    def delete(self, name: str, now: float) -> None:
        """Delete an object."""
        del self.objects[name]
        self.changes.append((now, name, None))

    def seen_by(self, request: Request) -> dict[str, Object]:
        """Return the objects that a request is shown, under the faults that hit it."""
        if "emulator.empty" in request.environ:
            return {}
        if "emulator.frozen" not in request.environ:
            return self.objects
        then = {name: o for at, name, o in self.changes if at <= request.environ["emulator.frozen"]}
        return {name: found for name, found in then.items() if found is not None}


class ObjectStorage:
    """Service below ``/n``."""

    prefixes: tuple[str, ...] = ("/n",)

    def __init__(self, world: World) -> None:
        self._world = world
        self.buckets = {BUCKET: Bucket(BUCKET, world.clock())}

    def operation(self, request: Request) -> str:
        """See `Service.operation`."""
        return self._route(request)[0]

    def handle(self, request: Request, body: bytes) -> Response:
        """See `Service.handle`."""
        operation, answer = self._route(request)
        if answer is None:
            raise ServiceError(404, "NotFound", f"there is no {request.method} {request.path}")
        with self._world.lock:
            self._authorize(operation, request)
            response: Response = answer(request, body)
            return response

    def _route(self, request: Request) -> tuple[str, Any]:
        """Return the name of the operation and the function that answers it."""
        # Unquoted part by part, since an object's name may have slashes, also as %2F.
        raw = str(request.environ.get("RAW_URI", request.path)).partition("?")[0]
        parts = [unquote(part) for part in raw.split("/")[1:]]
        method = request.method
        match parts:
            case ["n"] | ["n", ""]:
                return "get_namespace", lambda *_: _json(self._world.namespace)
            case ["n", namespace, *_] if namespace != self._world.namespace:
                return "wrong_namespace", self._refuse_namespace
            case ["n", _, "b"]:
                return self._route_buckets(method)
            case ["n", _, "b", bucket]:
                return self._route_bucket(method, bucket)
            case ["n", _, "b", bucket, "o"]:
                return "list_objects", lambda r, b: self._list(self._bucket(bucket), r)
            case ["n", _, "b", bucket, "actions", "renameObject"]:
                return "rename_object", lambda r, b: self._rename(self._bucket(bucket), r, b)
            case ["n", _, "b", bucket, "o", *name]:
                return self._route_object(method, bucket, "/".join(name))
            case ["n", _, "b", bucket, "u", *name]:
                return self._route_upload(method, bucket, "/".join(name), request)
        return "none", None

    def _authorize(self, operation: str, request: Request) -> None:
        """Check the permission; OCI does not tell whether a bucket exists that is not permitted."""
        by_run = principal_of(request).kind == "datasciencejobrun" and operation == "put_object"
        if by_run and self._world.deviates("store-from-run"):
            raise self._bucket_not_found(request.path.split("/")[4])
        bucket = request.path.split("/")[4] if request.path.count("/") > 3 else ""
        found = self.buckets.get(bucket)
        place = found.compartment if found and found.compartment else self._world.compartment
        permission = "" if operation in _PERMISSIONS else self._find_permission(operation, request)
        wanted = _PERMISSIONS.get(operation) or (_VERBS[permission], "objects")
        target = Target(place, bucket, permission)
        allows = self._world.access.allows(principal_of(request), *wanted, target)
        if not allows and bucket:
            raise self._bucket_not_found(bucket)
        if not allows:
            raise not_found()

    def _find_permission(self, operation: str, request: Request) -> str:
        if operation != "put_object":
            return _OBJECT_PERMISSIONS.get(operation, "OBJECT_CREATE")
        parts = request.path.split("/", 6)
        bucket = self.buckets.get(parts[4])
        exists = bucket is not None and unquote(parts[6]) in bucket.objects
        replaces = request.headers.get("if-none-match") != "*"
        if exists and (replaces or self._world.deviates("condition-first")):
            return "OBJECT_OVERWRITE"
        return "OBJECT_CREATE"

    # -- buckets --------------------------------------------------------------------------------

    def _refuse_namespace(self, request: Request, body: bytes) -> Response:
        raise ServiceError(404, "NamespaceNotFound", f"no namespace {request.path.split('/')[2]!r}")

    def _bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise self._bucket_not_found(name)
        return self.buckets[name]

    def _bucket_not_found(self, name: str) -> ServiceError:
        return ServiceError(
            404,
            "BucketNotFound",
            f"Either the bucket named '{name}' does not exist in the namespace "
            f"'{self._world.namespace}' or you are not authorized to access it",
        )

    def _route_buckets(self, method: str) -> tuple[str, Any]:
        if method == "POST":
            return "create_bucket", lambda r, b: self._create_bucket(json.loads(b))
        return "list_buckets", lambda *_: _json([self._show(b) for b in self.buckets.values()])

    def _create_bucket(self, details: dict[str, Any]) -> Response:
        name = details["name"]
        if name in self.buckets:
            raise ServiceError(409, "BucketAlreadyExists", f"bucket {name!r} exists")
        self.buckets[name] = Bucket(
            name, self._world.clock(), compartment=details.get("compartmentId") or ""
        )
        return _json(self._show(self.buckets[name]))

    def _route_bucket(self, method: str, name: str) -> tuple[str, Any]:
        if method == "DELETE":
            return "delete_bucket", lambda *_: self._delete_bucket(self._bucket(name))
        operation = "head_bucket" if method == "HEAD" else "get_bucket"
        return operation, lambda *_: _json(self._show(self._bucket(name)))

    def _delete_bucket(self, bucket: Bucket) -> Response:
        if bucket.objects:
            raise ServiceError(409, "BucketNotEmpty", f"bucket {bucket.name!r} is not empty")
        del self.buckets[bucket.name]
        return Response(status=204)

    def _show(self, bucket: Bucket) -> dict[str, Any]:
        return {
            "namespace": self._world.namespace,
            "name": bucket.name,
            "compartmentId": bucket.compartment or self._world.compartment,
            "createdBy": self._world.user,
            "timeCreated": rfc3339(bucket.created),
            "etag": bucket.name,
        }

    # -- objects --------------------------------------------------------------------------------

    def _route_object(self, method: str, bucket: str, name: str) -> tuple[str, Any]:
        operations: dict[str, tuple[str, Callable[[Bucket, str, Request, bytes], Response]]] = {
            "PUT": ("put_object", self._put),
            "GET": ("get_object", self._get),
            "HEAD": ("head_object", self._get),
            "DELETE": ("delete_object", self._delete),
        }
        if method not in operations:
            return "none", None
        operation, answer = operations[method]
        if any(mark in name for mark in "+ ü") and self._world.deviates("names-kept"):
            name = name.replace("+", " ")
        return operation, lambda r, b: answer(self._bucket(bucket), name, r, b)

    def _find(self, bucket: Bucket, name: str, request: Request) -> Object:
        if name not in (objects := bucket.seen_by(request)):
            if request.method == "GET" and self._world.deviates("missing-404"):
                raise ServiceError(400, "InvalidObjectName", f"there is no {name!r}")
            raise ServiceError(
                404,
                "ObjectNotFound",
                f"The object '{name}' was not found in the bucket '{bucket.name}'",
            )
        return objects[name]

    def _put(self, bucket: Bucket, name: str, request: Request, body: bytes) -> Response:
        existing = bucket.objects.get(name)
        if request.headers.get("if-none-match") != "*" or not self._world.deviates("put-if-absent"):
            _check_conditions(request, existing)
        if existing and self._world.deviates("put-replaces"):
            return Response(status=200, headers=_build_headers(existing))
        md5 = request.headers.get("content-md5")
        stored = self._store(bucket, name, body, request)
        if md5 and md5 != stored.md5:
            bucket.delete(name, self._world.clock())
            raise ServiceError(400, "UnmatchedContentMD5", "the MD5 of the body differs")
        return Response(status=200, headers=_build_headers(stored))

    def _store(self, bucket: Bucket, name: str, data: bytes, request: Request) -> Object:
        metadata = {k.lower(): v for k, v in request.headers if k.lower().startswith("opc-meta-")}
        earlier = bucket.objects.get(name)
        keeps_etag = earlier is not None and self._world.deviates("etag-changes")
        stored = Object(
            data,
            earlier.etag if earlier and keeps_etag else secrets.token_hex(16),
            self._world.clock(),
            request.headers.get("content-type", "application/octet-stream"),
            metadata,
        )
        bucket.put(name, stored, stored.modified)
        return stored

    def _get(self, bucket: Bucket, name: str, request: Request, body: bytes) -> Response:
        found = self._find(bucket, name, request)
        if request.headers.get("if-none-match") == found.etag:
            return Response(status=304, headers={"etag": found.etag})
        _check_conditions(request, found)
        headers = {
            **_build_headers(found),
            **found.metadata,
            "accept-ranges": "bytes",
            "storage-tier": "Standard",
            "content-type": found.content_type,
        }
        data, status = found.data, 200
        if "range" in request.headers and not self._world.deviates("get-range"):
            start, end = parse_range(request.headers["range"], len(data))
            headers["content-range"] = f"bytes {start}-{end - 1}/{len(data)}"
            data, status = data[start:end], 206
        response = Response(data, status, headers)
        if request.method == "HEAD":
            response.headers["content-length"] = str(len(data))
        return response

    def _delete(self, bucket: Bucket, name: str, request: Request, body: bytes) -> Response:
        _check_conditions(request, self._find(bucket, name, request))
        bucket.delete(name, self._world.clock())
        return Response(status=204)

    def _rename(self, bucket: Bucket, request: Request, body: bytes) -> Response:
        details = json.loads(body)
        found = self._find(bucket, details["sourceName"], request)
        bucket.delete(details["sourceName"], self._world.clock())
        bucket.put(details["newName"], found, self._world.clock())
        return Response(status=200, headers=_build_headers(found))

    def _list(self, bucket: Bucket, request: Request) -> Response:
        options = request.args
        prefix, delimiter = options.get("prefix", ""), options.get("delimiter", "")
        limit = int(options.get("limit", MAX_PAGE))
        if not 1 <= limit <= MAX_PAGE:
            raise ServiceError(400, "InvalidParameter", f"limit {limit} is not in 1..{MAX_PAGE}")
        if delimiter not in ("", "/"):
            raise ServiceError(400, "InvalidParameter", "the only delimiter is /")
        objects = bucket.seen_by(request)
        if objects and self._world.deviates("listed-at-once"):
            newest = max(objects, key=lambda name: objects[name].modified)
            objects = {name: o for name, o in objects.items() if name != newest}
        names = [
            name
            for name in sorted(objects, key=str.encode)
            if name.startswith(prefix)
            and name >= options.get("start", "")
            and (name < options["end"] if "end" in options else True)
        ]
        fields = ["name", *filter(None, options.get("fields", "").split(","))]
        found: list[dict[str, Any]] = []
        prefixes: list[str] = []
        for position, name in enumerate(names):
            below = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            group = prefix + below[0] + below[1] if below[1] else None
            if group is not None and group in prefixes:
                continue
            if len(found) + len(prefixes) == limit:
                following = None if self._world.deviates("list-pages") else names[position]
                return _json(_build_listing(found, prefixes, following))
            if group is not None:
                prefixes.append(group)
            else:
                shown = objects[name]
                if "emulator.false" in request.environ:
                    shown = replace(shown, data=b"?", etag="false")
                found.append(_summarize(name, shown, fields))
        return _json(_build_listing(found, prefixes, None))

    # -- multipart uploads -----------------------------------------------------------------------

    def _route_upload(
        self, method: str, bucket: str, name: str, request: Request
    ) -> tuple[str, Any]:
        if method == "POST" and not name:
            return "create_multipart_upload", lambda r, b: self._begin(self._bucket(bucket), b)
        operations: dict[str, tuple[str, Callable[[Bucket, str, Request, bytes], Response]]] = {
            "PUT": ("upload_part", self._part),
            "POST": ("commit_multipart_upload", self._commit),
            "DELETE": ("abort_multipart_upload", self._abort),
            "GET": ("list_multipart_upload_parts", self._parts),
        }
        operation, answer = operations[method]
        return operation, lambda r, b: answer(self._bucket(bucket), name, r, b)

    def _begin(self, bucket: Bucket, body: bytes) -> Response:
        upload_id, name = secrets.token_hex(16), json.loads(body)["object"]
        bucket.uploads[upload_id] = Upload(name)
        facts = {
            "namespace": self._world.namespace,
            "bucket": bucket.name,
            "object": name,
            "uploadId": upload_id,
            "timeCreated": rfc3339(self._world.clock()),
        }
        return _json(facts)

    def _upload(self, bucket: Bucket, name: str, request: Request) -> Upload:
        upload = bucket.uploads.get(request.args.get("uploadId", ""))
        if upload is None or upload.name != name:
            raise ServiceError(404, "NoSuchUpload", f"there is no such upload of {name!r}")
        return upload

    def _part(self, bucket: Bucket, name: str, request: Request, body: bytes) -> Response:
        number = int(request.args["uploadPartNum"])
        self._upload(bucket, name, request).parts[number] = body
        digest = hashlib.md5(body, usedforsecurity=False)
        md5 = base64.b64encode(digest.digest()).decode()
        return Response(status=200, headers={"etag": digest.hexdigest(), "opc-content-md5": md5})

    def _parts(self, bucket: Bucket, name: str, request: Request, body: bytes) -> Response:
        parts = self._upload(bucket, name, request).parts
        return _json(
            [
                {
                    "partNumber": number,
                    "etag": hashlib.md5(data, usedforsecurity=False).hexdigest(),
                    "size": len(data),
                }
                for number, data in sorted(parts.items())
            ]
        )

    def _commit(self, bucket: Bucket, name: str, request: Request, body: bytes) -> Response:
        upload = self._upload(bucket, name, request)
        numbers = sorted(part["partNum"] for part in json.loads(body)["partsToCommit"])
        missing = [number for number in numbers if number not in upload.parts]
        if missing or not numbers:
            raise ServiceError(400, "InvalidUploadPart", f"parts {missing} were not uploaded")
        data = b"".join(upload.parts[number] for number in numbers)
        stored = self._store(bucket, name, data, request)
        del bucket.uploads[request.args["uploadId"]]
        return Response(status=200, headers=_build_headers(stored))

    def _abort(self, bucket: Bucket, name: str, request: Request, body: bytes) -> Response:
        self._upload(bucket, name, request)
        del bucket.uploads[request.args["uploadId"]]
        return Response(status=204)


def rfc3339(seconds: float) -> str:
    """Return a time in the format of OCI."""
    formatted = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return formatted.replace("+00:00", "Z")


def _json(facts: Any) -> Response:
    return Response(json.dumps(facts), content_type="application/json")


def _build_headers(found: Object) -> dict[str, str]:
    """Return the headers of every response about an object."""
    return {
        "etag": found.etag,
        "opc-content-md5": found.md5,
        "content-md5": found.md5,
        "last-modified": format_datetime(
            datetime.fromtimestamp(int(found.modified), UTC), usegmt=True
        ),
        "version-id": found.etag,
    }


def _check_conditions(request: Request, found: Object | None) -> None:
    match, none = request.headers.get("if-match"), request.headers.get("if-none-match")
    if none not in (None, "*") and request.method == "PUT":
        raise invalid(f"if-none-match: {none}: the only value is *")
    if none == "*" and found is not None:
        raise ServiceError(412, "IfNoneMatchFailed", "the object exists")
    if match and (found is None or match not in ("*", found.etag)):
        raise ServiceError(412, "IfMatchFailed", "the object has another etag")


def parse_range(header: str, size: int) -> tuple[int, int]:
    """Return start and end (exclusive) of ``bytes=5-``, ``bytes=5-9`` or ``bytes=-5``."""
    first, _, last = header.removeprefix("bytes=").partition("-")
    start, end = (max(0, size - int(last)), size) if not first else (int(first), size)
    if first and last:
        end = min(size, int(last) + 1)
    if start >= size or start >= end:
        raise ServiceError(
            416, "InvalidRange", f"{header} of {size} bytes", {"content-range": f"bytes */{size}"}
        )
    return start, end


def _summarize(name: str, found: Object, fields: list[str]) -> dict[str, Any]:
    facts = {
        "name": name,
        "size": len(found.data),
        "etag": found.etag,
        "md5": found.md5,
        "timeCreated": rfc3339(found.modified),
        "timeModified": rfc3339(found.modified),
        "storageTier": "Standard",
    }
    return {field: facts[field] for field in fields if field in facts}


def _build_listing(
    found: list[dict[str, Any]], prefixes: list[str], next_start: str | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {"objects": found, "prefixes": prefixes}
    return facts if next_start is None else {**facts, "nextStartWith": next_start}
