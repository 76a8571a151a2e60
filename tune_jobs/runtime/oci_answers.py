"""What an answer of OCI means: the one table that the tuner, the store and the runner ask.

An answer is what a request ended with: a status, a code and a message of the service, or no answer
at all. `read_answer` says for how long the request is worth repeating, and what a person can do.
`Outage` counts the time. Python 3.8 on; errors are recognized without importing the SDK.
"""

from __future__ import annotations

import math
import re
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from .backoff import Backoff

REFUSAL_PATIENCE = 600.0
"""Seconds for which a refusal is repeated that did not happen before: credentials that are being
rotated, a policy that is changed, a gateway that errs."""

FIRST_PATIENCE = 3.0
"""Seconds for which a request is repeated that was never accepted: its policy is likely missing."""

OUTAGE_PATIENCE = 1800.0
"""Seconds for which the service may err, or have no room for a single run."""

CLOCK_TOLERANCE = 5.0
"""Seconds of difference that are no skew: the header has whole seconds, and answers take time."""

MAX_SKEW = 240.0
"""Seconds of skew from which on OCI may refuse signatures; it accepts five minutes."""

# Kinds of answers.
NO_ANSWER = "no answer"
THROTTLED = "throttled"
ERROR = "error of the service"
CONFLICT = "conflict"
CREDENTIALS = "credentials are not accepted"
PERMISSION = "not permitted, or not found"
BUCKET = "bucket not found, or not permitted"
CAPACITY = "out of capacity"
LIMIT = "limit of the tenancy"
MISSING = "object not found"
USED_UP = "retry token is used up"
INVALID = "invalid request"
NOT_OCI = "not an answer"


class Meaning(NamedTuple):
    """Meaning of an answer.

    Args:
        kind: One of the kinds above.
        patience: Seconds for which the request is repeated; infinite if it is never given up, and
            0 if repeating it cannot help.
        advice: What a person can do.
    """

    kind: str
    patience: float
    advice: str = ""

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed in a moment, without anybody's help."""
        return self.kind in (NO_ANSWER, THROTTLED, ERROR, CONFLICT)

    @property
    def is_refusal(self) -> bool:
        """Whether the service does not let this caller do this."""
        return self.kind in (CREDENTIALS, PERMISSION, BUCKET)

    @property
    def has_no_room(self) -> bool:
        """Whether the service has no room for another run."""
        return self.kind in (CAPACITY, LIMIT)


class _Row(NamedTuple):
    """Row of the table; None matches everything."""

    statuses: Optional[range]  # noqa: UP045
    words: Optional[str]  # noqa: UP045 (searched in "code: message")
    operations: tuple[str, ...] | None
    meaning: Meaning


def _only(status: int) -> range:
    return range(status, status + 1)


_CREDENTIALS = (
    "The key, the fingerprint or the token is not accepted: check the profile in the OCI "
    "configuration, renew an expired token (`oci session refresh`), and check this machine's clock"
)
PERMISSION_ADVICE = (
    "OCI answers the same if something does not exist and if access to it is not permitted: "
    "compare the OCIDs and names, and check that this policy exists: {policy}. A new policy takes "
    "up to 15 minutes to hold"
)
CAPACITY_WORDS = (
    r"capacity|out of host|no (?:available |free )?hosts?\b"
    r"|(?:insufficient|not enough|no available) (?:\w+ )*(?:resources?|hosts?|instances?|compute)"
    r"|\b(?:shapes?|hosts?|instances?|compute)\b.{0,80}\b"
    r"(?:exhausted|(?:currently|temporarily) (?:not available|unavailable))"
    r"|unable to (?:allocate|place|provision)"
    r"|\bno (?:[\w.-]+ ){0,4}(?:hosts?|instances?|nodes?|machines?|compute)\b.{0,40}"
    r"\b(?:found|available|free|left)"
)
LIMIT_WORDS = r"limit ?exceeded|quota|service limit|exceeds? the (?:service )?limit"

_CLOCK = (
    "This machine's clock differs from OCI's by more than 5 minutes, so that its signatures are "
    "refused: set the clock (such as with NTP)"
)
CLOCK_WORDS = r"clock|skew|\bdate\b.*(?:too far|not within|range|expired)"

_SILENCE = Meaning(
    NO_ANSWER,
    math.inf,
    "Check the network, the region (it is part of the host's name), the proxy (HTTPS_PROXY, "
    "NO_PROXY), and from a private subnet its route to OCI",
)
CREATE_BUCKET = (
    "If the bucket does not exist in this namespace, create it (`oci os bucket create --name "
    "<bucket> --compartment-id <ocid>`) or correct its name"
)
_BUCKET = (
    f"{CREATE_BUCKET}; if it does, check that this policy exists: {{policy}}. A new policy takes "
    "up to 15 minutes to hold"
)

# The first row that matches decides.
_TABLE = (
    _Row(None, CAPACITY_WORDS, ("start",), Meaning(CAPACITY, OUTAGE_PATIENCE)),
    _Row(None, LIMIT_WORDS, ("start",), Meaning(LIMIT, OUTAGE_PATIENCE)),
    _Row(_only(429), None, None, Meaning(THROTTLED, math.inf)),
    _Row(_only(401), CLOCK_WORDS, None, Meaning(CREDENTIALS, REFUSAL_PATIENCE, _CLOCK)),
    _Row(_only(401), None, None, Meaning(CREDENTIALS, REFUSAL_PATIENCE, _CREDENTIALS)),
    _Row(_only(404), r"^ObjectNotFound", None, Meaning(MISSING, 0.0)),
    _Row(_only(404), r"^BucketNotFound", None, Meaning(BUCKET, REFUSAL_PATIENCE, _BUCKET)),
    _Row(range(403, 405), None, None, Meaning(PERMISSION, REFUSAL_PATIENCE, PERMISSION_ADVICE)),
    _Row(
        _only(409),
        r"^(?:IncorrectState|LockConflict|Conflict|ConcurrentObjectUpdate)\b",
        None,
        Meaning(CONFLICT, 600.0),
    ),
    _Row(_only(409), None, ("start",), Meaning(USED_UP, 0.0)),
    _Row(_only(501), None, None, Meaning(INVALID, 0.0)),
    _Row(range(500, 600), None, None, Meaning(ERROR, OUTAGE_PATIENCE)),
    _Row(range(300, 500), None, None, Meaning(INVALID, 0.0)),
)


def read_answer(error: BaseException, operation: str = "", now: float | None = None) -> Meaning:
    """Return what an error of a request means.

    Args:
        error: What the SDK raised.
        operation: ``start`` for the creation of a run; empty for everything else.
        now: This machine's time, in seconds since the epoch, to recognize a wrong clock.
    """
    error = _unwrap(error)
    status = getattr(error, "status", None)
    if not isinstance(status, int) or status <= 0:
        return _SILENCE if _is_unanswered(error) else Meaning(NOT_OCI, 0.0)
    words = f"{getattr(error, 'code', '')}: {getattr(error, 'message', '')}"
    for row in _TABLE:
        if row.operations is not None and operation not in row.operations:
            continue
        if row.statuses is not None and status not in row.statuses:
            continue
        if row.words is None or re.search(row.words, words, re.IGNORECASE):
            return _name_skew(row.meaning, error, now)
    return Meaning(INVALID, 0.0)


def describe_answer(error: BaseException) -> str:
    """Return what a request ended with, in one line."""
    error = _unwrap(error)
    status, code = getattr(error, "status", None), getattr(error, "code", None)
    if code:
        return f"{status} {code}: {getattr(error, 'message', '')}"
    if isinstance(status, int) and status > 0:  # an answer to HEAD has neither code nor message
        return str(status)
    if not _is_unanswered(error):
        return " ".join(str(error).split()) or type(error).__name__
    return _describe_silence(error)


def measure_clock_offset(headers: Mapping[str, str], now: float) -> float:
    """Return by how many seconds OCI's clock is ahead of this machine's.

    Args:
        headers: Headers of an answer.
        now: This machine's time when the answer arrived, in seconds since the epoch.
    """
    try:
        offset = parsedate_to_datetime(headers["date"]).timestamp() - now
    except (KeyError, TypeError, ValueError):
        return 0.0
    return offset if abs(offset) > CLOCK_TOLERANCE else 0.0


class Outage:
    """Time for which a request has been refused or unanswered.

    Args:
        clock: Monotonic clock, in seconds.
        backoff: Pauses between the requests.
        operation: See `read_answer`.
        accepted: Whether such a request was accepted before, so that a refusal is likely to pass.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        backoff: Backoff,
        operation: str = "",
        accepted: bool = False,
    ) -> None:
        self._clock, self._backoff, self._operation = clock, backoff, operation
        self._accepted = accepted
        self._since: dict[str, float] = {}
        self._tries = 0

    def __bool__(self) -> bool:
        return self._tries > 0

    def succeed(self) -> bool:
        """Note that a request was accepted; return whether an outage has ended."""
        was_out, self._tries, self._accepted = self._tries > 0, 0, True
        self._since.clear()
        return was_out

    def fail(self, error: BaseException) -> float | None:
        """Return the seconds after which to repeat the request; None if that is hopeless now."""
        meaning, now = read_answer(error, self._operation), self._clock()
        patience = meaning.patience
        if meaning.is_refusal and not self._accepted:
            patience = min(patience, FIRST_PATIENCE)
        since = self._since.setdefault(meaning.kind, now)
        self._tries += 1
        if now - since >= patience:
            return None
        return min(self._backoff.pause(self._tries), max(1.0, since + patience - now))


def endure_briefly(request: Callable[[], Any], sleep: Callable[[float], None] = time.sleep) -> Any:
    """Return the answer to a request, repeating a refusal for `FIRST_PATIENCE`.

    A gateway that errs for a moment does not end a call that has just begun, and a missing policy
    or bucket is told within seconds.

    Args:
        request: Makes the request.
        sleep: Waits for a number of seconds.

    Raises:
        Exception: What the SDK raises.
    """
    began, outage = time.monotonic(), Outage(time.monotonic, Backoff(first=0.2, longest=2.0))
    while True:
        try:
            return request()
        except Exception as error:  # whatever the SDK raises
            pause = outage.fail(error) if read_answer(error).is_refusal else None
            if pause is None or time.monotonic() - began >= FIRST_PATIENCE:
                raise
        sleep(pause)


def _unwrap(error: BaseException) -> BaseException:
    """Return the answer in an error of several uploads."""
    for cause in getattr(error, "error_causes_list", None) or ():
        if isinstance(cause, BaseException):
            return cause
    return error


def _describe_silence(error: BaseException) -> str:
    """Return who did not answer, and why: the innermost error says it without the rest."""
    chain: list[Any] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    urls = (getattr(getattr(each, "request", None), "url", None) for each in chain)
    host = next((urlsplit(url).netloc for url in urls if url), "")
    proxy = " through the proxy" if any("Proxy" in type(e).__name__ for e in chain) else ""
    reason = getattr(chain[-1], "strerror", None) or str(chain[-1]) or type(chain[-1]).__name__
    return f"no answer{host and f' from {host}'}{proxy} ({' '.join(str(reason).split())[:200]})"


def _is_unanswered(error: BaseException) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError, ssl.SSLError)):
        return True
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return False
    families = ("requests.", "urllib3.", "socket", "http.client", "oci.exceptions")
    modules = [kind.__module__.replace("oci._vendor.", "") for kind in type(error).__mro__]
    is_network = any(f"{module}.".startswith(families) for module in modules)
    return isinstance(error, OSError) and (is_network or error.errno in _NETWORK)


_NETWORK = (None, 100, 101, 103, 104, 110, 111, 112, 113)
"""Errno of networks that are down or out of reach; None for errors of name resolution."""


def _name_skew(meaning: Meaning, error: Any, now: float | None) -> Meaning:
    """Name this machine's clock as the reason of refused credentials, if it is wrong."""
    headers = getattr(error, "headers", None)
    if meaning.kind != CREDENTIALS or now is None or not headers:
        return meaning
    ahead = measure_clock_offset(headers, now)
    if abs(ahead) < MAX_SKEW:
        return meaning
    way = "behind" if ahead > 0 else "ahead of"
    return meaning._replace(
        advice=f"This machine's clock is {abs(ahead) / 60:.1f} minutes {way} OCI's, which refuses "
        "signatures that are off by more than 5: set the clock (such as with NTP)"
    )
