"""What we wrote last, so that nothing older is taken for the present (a stale read, after our own write).

The resourceVersions of Kubernetes come from one counter of the whole store, so two of one object compare as numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.clock import Clock


@dataclass(frozen=True, slots=True)
class _Written:
    version: str
    at: float  # monotonic


class OwnWrites:
    """The version of each object after our own last write to it, for `keep` seconds. Safe to share between threads.

    `keep` is longer than any copy may lag. After it a write is forgotten, so that a store restored from a backup is
    not refused for ever: what a release does about that, its record says.
    """

    def __init__(self, clock: Clock, keep: float) -> None:
        self._clock = clock
        self._keep = keep
        self._lock = threading.Lock()
        self._written: dict[tuple[str, str, str], _Written] = {}

    def note(self, kind: str, written: Mapping[str, Any]) -> None:
        """Remembers an object as the server wrote it for us."""
        metadata = written.get("metadata") or {}
        key = kind, str(metadata.get("namespace", "")), str(metadata.get("name", ""))
        with self._lock:
            self._written[key] = _Written(str(metadata.get("resourceVersion", "")), self._clock.monotonic())

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """Drops what we wrote of an object that is gone: nothing will ever show it again."""
        with self._lock:
            self._written.pop((kind, namespace, name), None)

    def names(self, kind: str, namespace: str) -> list[str]:
        """The objects of a namespace that we wrote, and that nothing has shown since."""
        with self._lock:
            return [name for one, space, name in self._written if one == kind and space == namespace]

    def await_copy(self, kind: str, namespace: str, name: str, version: str) -> bool:
        """Whether a copy that has the object at `version` lacks our last write; once it does not, the write is done."""
        with self._lock:
            written = self._kept(kind, namespace, name)
            if written is None:
                return False
            if rv_at_least(version, written.version):
                del self._written[kind, namespace, name]
                return False
            return True

    def outdates(self, kind: str, namespace: str, name: str, version: str) -> bool:
        """Whether `version` of an object is older than our last write of it; "" is older than any."""
        with self._lock:
            written = self._kept(kind, namespace, name)
            return written is not None and not rv_at_least(version, written.version)

    def _kept(self, kind: str, namespace: str, name: str) -> _Written | None:
        written = self._written.get((kind, namespace, name))
        if written is not None and self._clock.monotonic() - written.at > self._keep:
            del self._written[kind, namespace, name]
            return None
        return written


def rv_at_least(a: str, b: str) -> bool:
    """Whether resourceVersion `a` is `b` or later: compared as numbers where both are, else only equality tells."""
    if a.isascii() and a.isdigit() and b.isascii() and b.isdigit():
        return int(a) >= int(b)
    return a == b
