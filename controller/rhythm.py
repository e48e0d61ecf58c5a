"""How soon one app is ticked again, by what came of its last ticks: in its job's own rhythm, soon, or after a rest.

A tick may ask for the next one, and is believed as long as it brings something: one that asks again and again and
changes nothing, fails alike each time, or writes without end waits longer. All times are monotonic seconds, given by
the loop.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from controller.attempt import TickResult

SAME = 3  # identical faults in a row after which an app is asked less often
LONGEST_BACKOFF = 600.0
UNSEEN = 60.0  # seconds after which an idle app that could not be looked at is tried again, at the latest
MOST_HURRY = 10  # ticks in a row that ask for another one soon and change nothing; then the interval is soon enough
MOST_WRITES = 300  # in a minute and app; the steps of a large release stay far below it
COOL_DOWN = 60.0  # seconds without a tick after more writes than that


@dataclass(slots=True)
class Round:
    """What the loop remembers of one app: nothing that a restart could miss."""

    running: threading.Lock = field(default_factory=threading.Lock)
    active: bool = False
    woken: bool = False  # a change came while the tick ran
    due: float = 0.0  # when the next run is that somebody has asked for; 0 for none
    began: float = 0.0  # wall time of the last tick's beginning
    ended: float = 0.0  # end of the last tick
    fault: str = ""
    times: int = 0  # how often that fault came in a row
    hurried: int = 0  # ticks in a row that asked for another one soon and changed nothing
    rest_until: float = 0.0  # until then no change wakes the app
    writes: deque[float] = field(default_factory=deque)

    def failed(self, fault: str) -> None:
        self.times = self.times + 1 if fault == self.fault else 1
        self.fault = fault

    def went_well(self) -> None:
        self.fault, self.times, self.rest_until = "", 0, 0.0

    def rest(self, now: float, interval: float) -> float | None:
        """Seconds without a tick after identical exceptions: doubled each time, so that nothing loops hot."""
        if self.times < SAME:
            return None
        rest = rest_after(self.times, interval)
        self.rest_until = now + rest
        return rest

    def is_hot(self, now: float, wrote: int) -> bool:
        """Whether it has written too much in a minute; if so it rests, whatever changes."""
        self.writes.extend([now] * wrote)
        while self.writes and self.writes[0] < now - 60.0:
            self.writes.popleft()
        if len(self.writes) <= MOST_WRITES:
            return False
        self.rest_until = now + COOL_DOWN
        return True

    def again_in(self, result: TickResult, interval: float, resync: float, *, active: bool) -> float | None:
        """Seconds until the next tick, or None for the job's own rhythm. `active`: a release is under way."""
        self.hurried = self.hurried + 1 if result.again_in is not None and not result.wrote else 0
        # What is tried again and again and moves nothing gets no hurry.
        if result.again_in is not None and self.times < SAME and self.hurried <= MOST_HURRY:
            # A notice that waits for its notifier slows no watch and no train down; a server that asks for time does.
            longest = interval if active and result.failure is None else resync
            return min(max(result.again_in, 0.1), longest)
        if result.failure is not None and not active:
            # The slow round is for apps of which everything is known: one that could not be looked at may hide a
            # claim whose release is gone.
            return min(interval * 2.0 ** min(self.times, 10), UNSEEN)
        return None


def rest_after(times: int, interval: float) -> float:
    """Seconds of rest after so many identical faults in a row; after days they are thousands."""
    return min(interval * 2.0 ** min(times - SAME + 1, 16), LONGEST_BACKOFF)
