"""When the tick that runs in a thread began and read last: what a write of it may rest on."""

from __future__ import annotations

import threading

from controller.clock import Clock
from controller.requests.failure import Failure, FailureKind


class TickTimes(threading.local):
    """Monotonic times of the tick that runs in this thread.

    `read_bound`: seconds that a write may rest on a quorum read. `tick_bound`: seconds after its beginning in which a
    tick may write, because its one `now` is that old.
    """

    def __init__(self, clock: Clock, read_bound: float, tick_bound: float) -> None:
        self._clock = clock
        self._read_bound = read_bound
        self._tick_bound = tick_bound
        self._began: float | None = None
        self._read: float | None = None

    def begin(self) -> None:
        """Forgets the reads of this thread's last tick."""
        self._began, self._read = self._clock.monotonic(), None

    def note_read(self, asked_at: float) -> None:
        """A quorum read has succeeded; it is as old as its question."""
        self._read = asked_at

    def refusal(self, *, needs_read: bool) -> Failure | None:
        """A refusal where the look that a write rests on is too old.

        A write of a slot needs a quorum read of this tick. The others are guarded by the version they carry; for them
        the tick's beginning counts as well, so that a frozen process is still stopped.
        """
        times = [self._read] if needs_read else [self._read, self._began]
        latest = max((at for at in times if at is not None), default=None)
        if latest is None:
            return Failure(FailureKind.STALE, "a write without a quorum read in this tick")
        if self._began is not None and (old := self._clock.monotonic() - self._began) > self._tick_bound:
            return Failure(FailureKind.STALE, f"this tick began {old:.1f} s ago, above {self._tick_bound:g} s")
        age = self._clock.monotonic() - latest
        if age > self._read_bound:
            return Failure(FailureKind.STALE, f"the last quorum read is {age:.1f} s old, above {self._read_bound:g} s")
        return None
