"""Complete lists, page by page: either every object at one resourceVersion, or a Failure.

The pages of a list show one moment, as long as the server still remembers it. When it does not (410 on a `continue`
token) the list begins again from the start: pages of two moments may each miss an object that always existed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from controller.clock import Clock
from controller.cluster.connection import Connection, Query
from controller.cluster.failures import Failed, unavailable

PAGE = 500  # objects; 500 pods are about 4 MB and 10 ms of decoding
_TRIES = 3  # starts of a list; a `continue` token lives for minutes, so one is usual and two are bad luck


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class _Page(msgspec.Struct):
    kind: str
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_page = msgspec.json.Decoder(_Page)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page: how many objects it holds, and where the list stands after it."""

    count: int
    resource_version: str


def read_list(
    connection: Connection,
    clock: Clock,
    path: str,
    take: Callable[[msgspec.Raw], None],
    restart: Callable[[], None],
    *,
    query: Query = (),
    deadline: float = 20.0,
) -> Listed | Failed:
    """Hands every object of a quorum list to `take` -> the count and resourceVersion of the whole.

    `restart` is called before each start of the list, to forget what an abandoned one has handed over. `deadline`, in
    seconds, bounds all pages together. What `take` raises goes through.
    """
    until = clock.monotonic() + deadline
    answer: Listed | Failed = unavailable(f"list {path}: not begun")
    for _ in range(_TRIES):
        restart()
        answer = _read_pages(connection, clock, path, take, query=query, until=until)
        if not (isinstance(answer, Failed) and answer.status == 410):
            break
    return answer


def _read_pages(
    connection: Connection,
    clock: Clock,
    path: str,
    take: Callable[[msgspec.Raw], None],
    *,
    query: Query,
    until: float,
) -> Listed | Failed:
    count, token = 0, ""
    while True:
        left = until - clock.monotonic()
        if left <= 0:
            return unavailable(f"list {path}: timed out")
        more = (("limit", str(PAGE)), *((("continue", token),) if token else ()))
        reply = connection.exchange("GET", path, query=(*query, *more), deadline=left)
        if isinstance(reply, Failed):
            return reply
        page = _decoded(reply.data)
        if page is None:
            return unavailable(f"list {path}: the answer is not a list of the API server")
        for raw in page.items or ():
            take(raw)
            count += 1
        if not page.metadata.continue_:
            return Listed(count, page.metadata.resource_version)
        if page.metadata.continue_ == token:
            return unavailable(f"list {path}: the list does not move on")
        token = page.metadata.continue_


def _decoded(data: bytes) -> _Page | None:
    try:
        page = _page.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    # `{}` and a proxy's JSON must not look like an empty list.
    return page if page.kind.endswith("List") and page.metadata.resource_version else None


@dataclass(frozen=True, slots=True)
class Objects:
    """A complete list of objects as dicts."""

    items: list[dict[str, Any]]
    resource_version: str


def read_objects(
    connection: Connection, clock: Clock, path: str, *, query: Query = (), deadline: float = 20.0
) -> Objects | Failed:
    """A quorum list with every object as a whole; for kinds of which there are few."""
    items: list[dict[str, Any]] = []

    def take(raw: msgspec.Raw) -> None:
        items.append(msgspec.json.decode(raw, type=dict[str, Any]))

    try:
        listed = read_list(connection, clock, path, take, items.clear, query=query, deadline=deadline)
    except (msgspec.DecodeError, RecursionError) as error:
        return unavailable(f"list {path}: {error}")
    return listed if isinstance(listed, Failed) else Objects(items, listed.resource_version)
