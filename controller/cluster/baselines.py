"""Keeps Baseline objects: a quorum read, and one write that puts everything in place or nothing.

A write carries the version that was read, so that of two controllers that learned at the same time one loses, looks
again and finds that nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from controller.cluster.cache import Cache, Kind
from controller.cluster.connection import JSON, MERGE_PATCH, Connection
from controller.cluster.failures import unavailable
from controller.cluster.paths import BASELINES
from controller.cluster.writes import FIELD_MANAGER
from controller.requests.failure import Failure, FailureKind

Object = Mapping[str, Any]
_OWNED = (("fieldManager", FIELD_MANAGER),)


class Baselines:
    """The Baseline objects of the cluster. Safe to share between threads; `deadline`: seconds for one call."""

    def __init__(self, connection: Connection, cache: Cache, *, bound: float, deadline: float = 8.0) -> None:
        self._connection = connection
        self._cache = cache
        self._bound = bound
        self._deadline = deadline

    def glance(self, namespace: str, name: str) -> Object | Failure | None:
        """The object in the watch cache, None where it has none, a Failure where the cache may not be looked at."""
        trouble = self._cache.trouble(Kind.BASELINE, self._bound)
        return trouble if trouble is not None else self._cache.read(Kind.BASELINE, namespace, name)

    def read(self, namespace: str, name: str) -> Object | Failure | None:
        """The object by a quorum read, None where there is none."""
        answer = self._connection.request("GET", BASELINES.item(namespace, name), deadline=self._deadline)
        if isinstance(answer, Failure):
            return None if answer.kind is FailureKind.ABSENT else answer
        return _object(answer, name)

    def keep(self, manifest: Mapping[str, Any]) -> Object | Failure:
        """Writes a whole object: created where its metadata has no resourceVersion, else in place of that version."""
        metadata = manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if metadata.get("resourceVersion"):
            answer = self._connection.request(
                "PATCH",
                BASELINES.item(namespace, name),
                query=_OWNED,
                body=manifest,
                content_type=MERGE_PATCH,
                deadline=self._deadline,
            )
        else:
            # In a patch null takes a field away; a new object must not have it.
            status = {key: value for key, value in manifest["status"].items() if value is not None}
            answer = self._connection.request(
                "POST",
                BASELINES.collection(namespace),
                query=_OWNED,
                body={**manifest, "status": status},
                content_type=JSON,
                deadline=self._deadline,
            )
        return answer if isinstance(answer, Failure) else _object(answer, name)


class Copies:
    """The watch cache as the learner looks at it."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def policies(self) -> Sequence[Object]:
        """All policies of the copy."""
        return self._cache.read_all(Kind.POLICY)

    def releases_of(self, namespace: str, policy: str) -> Sequence[Object]:
        """All releases of a policy."""
        return self._cache.releases_of(namespace, policy)


def _object(data: bytes, name: str) -> Object | Failure:
    what = f"baseline {name}"
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return unavailable(f"{what}: the answer is not an object").failure
    metadata = found.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("name") != name or not metadata.get("resourceVersion"):
        return unavailable(f"{what}: the answer is about something else").failure
    return found
