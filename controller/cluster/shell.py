"""Performs what a tick asks of the cluster: looks from the watch cache, leaps with a quorum read, writes with a guard.

Two guards stand before what the API server itself refuses. An object older than our own last write to it is not shown:
where the cache has one the read goes to the server instead, and where the server gives one the read has failed. And a
write is refused (`FailureKind.STALE`) when this tick's freshest quorum read is too old: a process that was frozen
between its look and its leap must look again.
"""

from __future__ import annotations

from controller.clock import Clock
from controller.cluster.cache import Cache
from controller.cluster.changes import Changes
from controller.cluster.connection import Connection
from controller.cluster.looks import Looks
from controller.cluster.own_writes import OwnWrites
from controller.cluster.served import Served
from controller.cluster.tick_times import TickTimes
from controller.requests import Answer
from controller.requests.looks import Look
from controller.requests.writes import Write

_GRACE = 30.0  # seconds by which our own writes are remembered beyond the oldest cache


class Cluster:
    """One shell for all ticks; each tick runs in one thread and opens with `begin_tick`.

    `cache_bound`: seconds after which an unheard cache answers nothing any more. `read_bound`: seconds that a write may
    rest on a quorum read. `tick_bound`: seconds after its beginning in which a tick may write, because its one `now` is
    that old. `deadline`: seconds for one call (three times as long for a list in pages).
    """

    def __init__(
        self,
        connection: Connection,
        cache: Cache,
        clock: Clock,
        *,
        cache_bound: float = 90.0,
        read_bound: float = 10.0,
        tick_bound: float = 60.0,
        deadline: float = 8.0,
    ) -> None:
        self._times = TickTimes(clock, read_bound, tick_bound)
        own, served = OwnWrites(clock, keep=cache_bound + _GRACE), Served()
        self._looks = Looks(
            connection, cache, clock, own, self._times, served, cache_bound=cache_bound, deadline=deadline
        )
        self._changes = Changes(connection, own, self._times, served, deadline=deadline)

    def begin_tick(self) -> None:
        """Forgets the reads of this thread's last tick."""
        self._times.begin()

    def perform(self, request: Look | Write) -> Answer:
        """The answer to a request."""
        return self._changes.perform(request) if isinstance(request, Write) else self._looks.perform(request)
