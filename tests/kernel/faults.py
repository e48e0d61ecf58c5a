"""Every single fault at every request of a story, without those that cannot differ from one that is tried.

A read changes nothing in the world. So a controller killed before or after any of the reads that precede a tick's
first write has left the same world as one killed before the tick's first request; a crash before one write is a crash
after the write before it; and a read whose answer is lost is a read that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.requests import (
    Failure,
    FailureKind,
    FetchCounts,
    Read,
    ReviewAccess,
    Write,
    WriteEvent,
)
from controller.simulation.driver import Crash, Fault, LoseAnswer, Point, Refuse, Stale

BACK_IN = 2.0  # seconds until a killed controller ticks again
ERROR = Failure(FailureKind.UNAVAILABLE, "500 internal error")
CONFLICT = Failure(FailureKind.CONFLICT, "409 the object has been modified")
PAST = (Stale(seconds=20.0), Stale(changes=2))


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault at one request. `stands_for`: how many (request, fault) pairs leave the same world."""

    index: int
    fault: Fault
    stands_for: int = 1

    def __str__(self) -> str:
        return f"{self.fault} at request {self.index}"


def single_faults(points: Sequence[Point]) -> Iterator[Trial]:
    """Crash before and after, 500, 409, a lost answer and a stale read at every one of these requests."""
    yield from _crashes(points)
    for point in points:
        is_write = isinstance(point.request, Write)
        yield Trial(point.index, Refuse(ERROR), 1 if is_write else 2)
        if is_write:
            yield Trial(point.index, LoseAnswer())
            if not isinstance(point.request, WriteEvent):
                yield Trial(point.index, Refuse(CONFLICT))
        elif isinstance(point.request, Read) and not isinstance(point.request, FetchCounts | ReviewAccess):
            for fault in PAST:
                yield Trial(point.index, fault)


def _crashes(points: Sequence[Point]) -> Iterator[Trial]:
    ticks: dict[int, list[Point]] = {}
    for point in points:
        ticks.setdefault(point.tick, []).append(point)
    for tick in ticks.values():
        writes = [point.index for point in tick if isinstance(point.request, Write)]
        bounds = [tick[0].index, *(index + 1 for index in writes), tick[-1].index + 1]
        yield Trial(tick[0].index, Crash("before", BACK_IN), max(1, 2 * (bounds[1] - bounds[0]) - 1))
        for write, following in zip(writes, bounds[2:], strict=True):
            yield Trial(write, Crash("after", BACK_IN), 1 + 2 * (following - write - 1) + (following <= tick[-1].index))
