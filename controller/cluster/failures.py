"""Tells the error answers of an API server apart: which say that something is not there, and which know nothing.

Two of these distinctions decide over a release. A 404 means that an object is absent only where the server names the
object; a 404 of the whole kind, or of a proxy, says nothing about it. And a 403 on a write is a missing permission
only where the authorizer says so; otherwise an admission plug-in refused this very content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from controller.requests.failure import Failure, FailureKind
from controller.wire import one_line

_DENIED = re.compile(r'admission webhook "[^"]*" denied the request')
_NOT_ALLOWED = re.compile(r'User "[^"]*" cannot ')  # the words of the authorizer

_DEFAULT_RETRY = 1.0  # seconds, where a 429 names none
_LONGEST_RETRY = 300.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A Failure with the HTTP status it came from; status 0 where there was no answer."""

    status: int
    failure: Failure

    def without(self, secret: str) -> Failed:
        """The same with every occurrence of a secret taken out of the message."""
        if len(secret) < 4 or secret not in self.failure.message:
            return self
        return Failed(self.status, replace(self.failure, message=self.failure.message.replace(secret, "***")))


class _Details(msgspec.Struct):
    name: str = ""
    kind: str = ""
    retry_after: float = msgspec.field(default=0.0, name="retryAfterSeconds")


class Status(msgspec.Struct):
    """The API server's own error object."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


_status = msgspec.json.Decoder(Status)


def unavailable(message: str) -> Failed:
    """No answer at all."""
    return Failed(0, Failure(FailureKind.UNAVAILABLE, one_line(message)))


def failed_status(code: int, headers: Mapping[str, str], data: bytes, method: str, what: str) -> Failed:
    """Maps an answer that is not a success. `method` tells reads from writes; `what` stands before our own words."""
    status = read_status(data)
    if status is None:
        kind = _bare_kind(code, data)
        message = one_line(f"{what}: HTTP {code}: {data[:256].decode(errors='replace')}")
    else:
        kind = _kind(code, status, method)
        message = one_line(status.message) or f"{what}: HTTP {code}"
    wait = _retry_after(headers, status)
    if kind is FailureKind.THROTTLED and wait is None:
        wait = _DEFAULT_RETRY
    return Failed(code, Failure(kind, message, wait))


def read_status(data: bytes) -> Status | None:
    """The Status object in an answer, or None where the answer is something else."""
    try:
        status = _status.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    return status if status.kind == "Status" else None


def _kind(code: int, status: Status, method: str) -> FailureKind:
    if _DENIED.match(status.message):
        return FailureKind.INVALID  # a webhook chooses its own status code
    match code:
        case 401:
            return FailureKind.UNAUTHORIZED
        case 403 if method != "GET" and not _NOT_ALLOWED.search(status.message):
            return FailureKind.INVALID
        case 403:
            return FailureKind.FORBIDDEN
        case 404 if status.details is not None and status.details.name:
            return FailureKind.ABSENT
        case 404:
            return FailureKind.NO_KIND
        case 409 if status.reason == "AlreadyExists":
            return FailureKind.EXISTS
        case 400 | 413 | 422:
            return FailureKind.INVALID
    return _bare_kind(code, b"")


def _bare_kind(code: int, data: bytes) -> FailureKind:
    match code:
        case 401:
            return FailureKind.UNAUTHORIZED
        case 403:
            return FailureKind.FORBIDDEN
        # What the API server says of a group that it does not serve. Any other bare 404 is a proxy's.
        case 404 if data.strip() == b"404 page not found":
            return FailureKind.NO_KIND
        case 409:
            return FailureKind.CONFLICT
        case 429:
            return FailureKind.THROTTLED
    return FailureKind.UNAVAILABLE


def _retry_after(headers: Mapping[str, str], status: Status | None) -> float | None:
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_RETRY)
    if status is not None and status.details is not None and status.details.retry_after > 0:
        return min(status.details.retry_after, _LONGEST_RETRY)
    return None
