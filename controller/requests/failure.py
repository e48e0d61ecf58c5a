"""Why there is no answer, by what the tick has to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """What kept an answer away, by what the tick has to do about it."""

    ABSENT = "Absent"  # 404 of the object: it does not exist
    NO_KIND = "NoKind"  # 404 of the kind: our CRD is gone
    CONFLICT = "Conflict"  # 409: somebody wrote in between; look again and decide again
    EXISTS = "Exists"  # 409 of a create
    FORBIDDEN = "Forbidden"  # 403
    UNAUTHORIZED = "Unauthorized"  # 401
    INVALID = "Invalid"  # 400, 422, or an admission webhook's refusal: the message says why
    THROTTLED = "Throttled"  # 429; retry_after is set
    UNAVAILABLE = "Unavailable"  # 5xx, refused, reset, timed out, undecodable
    STALE = "Stale"  # the shell refuses a write that rests on a read too old


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. `message` is one line, safe to log, without secrets; `retry_after` in seconds."""

    kind: FailureKind
    message: str
    retry_after: float | None = None
