"""Keeps a copy of one kind of objects: list, then watch from there, for ever, under every fault of the way.

Theory of operation. A list gives all objects at one resourceVersion; a watch from that version gives each later
change; bookmarks move the version on while nothing changes, so that the next watch can begin there. The server ends
each watch after its own timeout, which is usual, and the next begins where it ended. When the server has forgotten
the version (410) everything is listed again, and what is missing then has been deleted meanwhile.

Three things keep it from harm: a watch that ends at once counts as a failure, events or not, so that a broken server
is not asked thousands of times a second; the client gives up later than the server's timeout, so that a silent
connection ends; and the time of the last contact is known, so that an old copy can be refused.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
import structlog

from controller.clock import Clock
from controller.cluster.connection import Connection, Stream, StreamBroken
from controller.cluster.failures import Failed, Status, failed_status, unavailable
from controller.cluster.lists import read_list
from controller.requests.failure import Failure, FailureKind

T = TypeVar("T")
Changed = Callable[[str, str, T], None]

# The server ends a watch after so many seconds. Short, because an idle kind may send no bookmark at all on older
# servers, and then the beginning of the next watch is the only sign of life.
_SERVER_TIMEOUT = (30, 45)
_SLACK = 15.0  # seconds by which the client outwaits the server
_BACKOFF = (0.5, 30.0)  # seconds, first and longest
_SHORT = 1.0  # seconds; a watch that lasted less was closed at once
_LIST_DEADLINE = 120.0


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_object = msgspec.json.Decoder(_Object)
_event = msgspec.json.Decoder(_Event)
_status = msgspec.json.Decoder(Status)

log = structlog.get_logger(__name__)


class _Expired(Exception):
    """The server has forgotten the resourceVersion."""


class Reflector(Generic[T]):
    """A copy of the objects at `path`. `decode` turns an object's JSON into what is kept.

    `changed(namespace, name, object)` is called from the reflector's own thread for what is new, different or gone
    (with its last shape then); objects that a new list shows unchanged stay silent.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        path: str,
        decode: Callable[[msgspec.Raw], T],
        changed: Changed[T],
        *,
        jitter: random.Random,
        backoff: tuple[float, float] = _BACKOFF,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._path = path
        self._decode = decode
        self._changed = changed
        self._jitter = jitter
        self._backoff = backoff
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, T]] = {}
        self._versions: dict[tuple[str, str], str] = {}
        self._odd: dict[tuple[str, str], str] = {}
        self._version = ""
        self._last_contact: float | None = None
        self._trouble: Failure | None = None
        self._stopping = threading.Event()
        self._stream: Stream | None = None
        self.synced = threading.Event()

    # ------------------------------------------------------------------------------------------- the copy

    def read(self, namespace: str, name: str) -> T | None:
        """The object, or None where the copy has none."""
        with self._lock:
            return self._objects.get(namespace, {}).get(name)

    def read_all(self, namespace: str | None = None) -> list[T]:
        """The objects of one namespace, or of all."""
        with self._lock:
            if namespace is not None:
                return list(self._objects.get(namespace, {}).values())
            return [one for named in self._objects.values() for one in named.values()]

    def version_of(self, namespace: str, name: str) -> str:
        """The resourceVersion of an object in the copy; "" where it has none."""
        with self._lock:
            return self._versions.get((namespace, name), "")

    def odd(self, namespace: str) -> tuple[str, ...]:
        """Names of objects that could not be decoded: while there are some, a list of the namespace is not complete."""
        with self._lock:
            return tuple(name for space, name in self._odd if space == namespace)

    @property
    def version(self) -> str:
        """The resourceVersion up to which the copy is known to be complete."""
        return self._version

    @property
    def trouble(self) -> Failure | None:
        """What keeps the copy from being renewed at the moment."""
        return self._trouble

    @property
    def watching(self) -> bool:
        """Whether a watch is open at the moment."""
        return self._stream is not None

    def age(self) -> float:
        """Seconds since the server was last heard; infinite before the first time."""
        contact = self._last_contact
        return float("inf") if contact is None else self._clock.monotonic() - contact

    # ------------------------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Lists and watches until `stop`. To be run in a thread of its own."""
        failures = 0
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            failure = self._guarded_turn()
            short = self._clock.monotonic() - began < _SHORT
            failures = failures + 1 if failure is not None or short else 0
            if self._stopping.is_set():
                return
            self._trouble = failure
            if failure is not None:
                log.warning("watch interrupted", path=self._path, reason=failure.kind.value, message=failure.message)
            if failures:
                self._clock.wait(self._stopping, self._pause(failures, failure))

    def stop(self) -> None:
        """Ends `run` at once, from any thread."""
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.cut()

    def _pause(self, failures: int, failure: Failure | None) -> float:
        first, longest = self._backoff
        pause = min(longest, first * 2.0 ** min(failures - 1, 16)) * self._jitter.uniform(0.5, 1.0)
        return max(pause, failure.retry_after or 0.0) if failure is not None else pause

    def _guarded_turn(self) -> Failure | None:
        try:
            return self._turn()
        except Exception as error:
            # A fault of ours. A dead thread would leave a copy that grows old without a word; this one says so.
            log.exception("reflector failed", path=self._path)
            return unavailable(f"watch {self._path}: {type(error).__name__}").failure

    def _turn(self) -> Failure | None:
        """One list, where one is needed, and one watch."""
        try:
            if not self._version and (failed := self._list()) is not None:
                return failed.failure
            self._watch()
        except _Expired:
            self._version = ""
        except StreamBroken as broken:
            return broken.failure
        except msgspec.DecodeError as error:
            # Garbage in a stream: what came before it is kept, and the next watch begins after that.
            return unavailable(f"watch {self._path}: {error}").failure
        return None

    def _list(self) -> Failed | None:
        objects: dict[str, dict[str, T]] = {}
        versions: dict[tuple[str, str], str] = {}
        odd: dict[tuple[str, str], str] = {}

        def restart() -> None:
            objects.clear()
            versions.clear()
            odd.clear()

        def take(raw: msgspec.Raw) -> None:
            metadata = _object.decode(raw).metadata
            key = metadata.namespace, metadata.name
            versions[key] = metadata.resource_version
            try:
                objects.setdefault(metadata.namespace, {})[metadata.name] = self._decode(raw)
            except (msgspec.DecodeError, RecursionError) as error:
                odd[key] = str(error)

        listed = read_list(self._connection, self._clock, self._path, take, restart, deadline=_LIST_DEADLINE)
        if isinstance(listed, Failed):
            if listed.failure.kind in (FailureKind.NO_KIND, FailureKind.FORBIDDEN):
                self.synced.clear()  # the copy is not merely old: it is of something that we cannot see any more
            return listed
        with self._lock:
            before, versions_before = self._objects, self._versions
            self._objects, self._versions, self._odd = objects, versions, odd
        self._heard()
        self._version = listed.resource_version
        self._trouble = None
        self.synced.set()
        self._announce_difference(before, versions_before)
        return None

    def _announce_difference(self, before: dict[str, dict[str, T]], versions: dict[tuple[str, str], str]) -> None:
        for namespace, named in before.items():
            for name, one in named.items():
                if (namespace, name) not in self._versions:
                    self._announce(namespace, name, one)
        for namespace, named in self._objects.items():
            for name, one in named.items():
                if versions.get((namespace, name)) != self._versions[namespace, name]:
                    self._announce(namespace, name, one)

    def _watch(self) -> None:
        seconds = self._jitter.randint(*_SERVER_TIMEOUT)
        query = (
            ("watch", "true"),
            ("resourceVersion", self._version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(seconds)),
        )
        opened = self._connection.watch(self._path, query, idle=seconds + _SLACK)
        if isinstance(opened, Failed):
            if opened.status == 410:
                raise _Expired
            if opened.failure.kind in (FailureKind.NO_KIND, FailureKind.INVALID):
                self._version = ""  # the kind is gone, or the version is of another life of the server
            raise StreamBroken(opened.failure)
        self._heard()
        self._trouble = None
        self._stream = opened
        try:
            # A stop between the opening and the line above found no stream to cut.
            if not self._stopping.is_set():
                for line in opened.lines():
                    self._heard()
                    self._apply(_event.decode(line))
                self._heard()
        finally:
            self._stream = None
            opened.close()

    def _apply(self, event: _Event) -> None:
        if event.type == "ERROR":
            status = _status.decode(event.object)
            if status.code == 410:
                raise _Expired
            what = f"watch {self._path}"
            raise StreamBroken(failed_status(status.code, {}, bytes(event.object), "GET", what).failure)
        metadata = _object.decode(event.object).metadata
        if event.type == "BOOKMARK":
            self._version = metadata.resource_version or self._version
            return
        if event.type not in ("ADDED", "MODIFIED", "DELETED") or not metadata.name or not metadata.resource_version:
            raise StreamBroken(unavailable(f"watch {self._path}: an event of type {event.type!r}").failure)
        self._keep(event, metadata)
        self._version = metadata.resource_version

    def _keep(self, event: _Event, metadata: _Metadata) -> None:
        key = namespace, name = metadata.namespace, metadata.name
        try:
            one = self._decode(event.object)
        except (msgspec.DecodeError, RecursionError) as error:
            with self._lock:
                self._odd[key] = str(error)
                self._versions[key] = metadata.resource_version
                self._objects.get(namespace, {}).pop(name, None)
                if event.type == "DELETED":
                    self._odd.pop(key, None)
                    self._versions.pop(key, None)
            return
        with self._lock:
            self._odd.pop(key, None)
            if event.type == "DELETED":
                self._objects.get(namespace, {}).pop(name, None)
                self._versions.pop(key, None)
            else:
                self._objects.setdefault(namespace, {})[name] = one
                self._versions[key] = metadata.resource_version
        self._announce(namespace, name, one)

    def _announce(self, namespace: str, name: str, one: T) -> None:
        try:
            self._changed(namespace, name, one)
        except Exception:
            # A fault of the listener is a fault of ours, but it must not stop the copy for everybody else.
            log.exception("listener failed", path=self._path, namespace=namespace, name=name)

    def _heard(self) -> None:
        self._last_contact = self._clock.monotonic()
