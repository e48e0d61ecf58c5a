"""Who posts alerts: a bearer token, judged by the API server (TokenReview), and whether it may (SubjectAccessReview).

The permission is `create` on `alerts` of nightferry.dev, a resource that exists for this question only. An answer is
remembered for a while, so that a storm of posts is one question; a token is kept as its hash. Strangers are asked about
a few at a time: whoever floods the door with invented tokens must not flood the API server.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from controller.clock import Clock
from controller.cluster.connection import Connection
from controller.cluster.paths import Resource
from controller.release.names import GROUP
from controller.requests.failure import Failure, FailureKind

TOKEN_REVIEWS = Resource("/apis/authentication.k8s.io/v1", "tokenreviews")
ACCESS_REVIEWS = Resource("/apis/authorization.k8s.io/v1", "subjectaccessreviews")
KNOWN_FOR = 60.0  # seconds for which somebody who may post is believed
STRANGE_FOR = 10.0  # seconds for which a token that may not is not asked about again
_MOST_KNOWN = 1024
_AT_ONCE = 4
_PATIENCE = 5.0  # seconds to wait for a turn


class Callers:
    """Judges tokens. Safe to share between threads."""

    def __init__(self, connection: Connection, clock: Clock, *, deadline: float = 5.0) -> None:
        self._connection = connection
        self._clock = clock
        self._deadline = deadline
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._known: OrderedDict[bytes, tuple[float, Failure | None]] = OrderedDict()

    def judge(self, token: str) -> Failure | None:
        """None for a bearer who may post alerts; UNAUTHORIZED, FORBIDDEN, or why nobody can say."""
        key = hashlib.sha256(token.encode(errors="replace")).digest()
        if (known := self._remembered(key)) is not None:
            return known[1]
        if not self._turns.acquire(timeout=_PATIENCE):
            return Failure(FailureKind.UNAVAILABLE, "too many tokens are being judged")
        try:
            if (known := self._remembered(key)) is not None:
                return known[1]
            judged = self._ask(token)
        finally:
            self._turns.release()
        if judged is None or judged.kind in (FailureKind.UNAUTHORIZED, FailureKind.FORBIDDEN):
            with self._lock:
                self._known[key] = (self._clock.monotonic() + (KNOWN_FOR if judged is None else STRANGE_FOR), judged)
                while len(self._known) > _MOST_KNOWN:
                    self._known.popitem(last=False)
        return judged

    def _remembered(self, key: bytes) -> tuple[float, Failure | None] | None:
        with self._lock:
            known = self._known.get(key)
            return known if known is not None and known[0] > self._clock.monotonic() else None

    def _ask(self, token: str) -> Failure | None:
        status = self._review(TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview", {"token": token})
        if isinstance(status, Failure):
            # A 401 or 403 here is about us, not about the caller.
            return Failure(FailureKind.UNAVAILABLE, status.message.replace(token, "***"))
        if status.get("authenticated") is not True:
            return Failure(FailureKind.UNAUTHORIZED, "the token is not accepted")
        user = status.get("user") or {}
        name = str(user.get("username") or "")
        asked = {
            "user": name,
            **{field: user[field] for field in ("uid", "groups", "extra") if user.get(field)},
            "resourceAttributes": {"verb": "create", "group": GROUP, "resource": "alerts"},
        }
        status = self._review(ACCESS_REVIEWS, "authorization.k8s.io/v1", "SubjectAccessReview", asked)
        if isinstance(status, Failure):
            return Failure(FailureKind.UNAVAILABLE, status.message)
        if status.get("allowed") is not True:
            return Failure(FailureKind.FORBIDDEN, f"{name} may not create alerts.{GROUP}: bind nightferry-alert-sender")
        return None

    def _review(
        self, resource: Resource, version: str, kind: str, spec: Mapping[str, Any]
    ) -> Mapping[str, Any] | Failure:
        body = {"apiVersion": version, "kind": kind, "spec": spec}
        answer = self._connection.request("POST", resource.collection(), body=body, deadline=self._deadline)
        if isinstance(answer, Failure):
            return answer
        try:
            status = msgspec.json.decode(answer, type=dict[str, Any]).get("status")
        except (msgspec.DecodeError, RecursionError):
            status = None
        if not isinstance(status, dict):
            return Failure(FailureKind.UNAVAILABLE, f"the answer to a {kind} is none")
        return status
