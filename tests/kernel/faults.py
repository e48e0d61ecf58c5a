"""Single faults at the requests of a story: every one of them, or those that can tell something new.

`every_fault` leaves out only what cannot differ. A read changes nothing in the world. So a controller killed before or
after any of the reads that precede a tick's first write has left the same world as one killed before the tick's first
request; a crash before one write is a crash after the write before it; and a read whose answer is lost is a read that
failed.

`telling_faults` is the part of it that every run of the tests affords. Two requests are alike where the same is asked
of the same object in the same phase of the release; the first and the last stage are told apart from those between. Of
writes that are alike the first one meets every fault, each later one a fault in turn; of reads that are alike one meets
a fault in turn, and so do ticks. It is no drawing of lots: the same story has the same part. With
NIGHTFERRY_EXHAUSTIVE=1 every fault is tried.

`tried` chooses the stories: those that go through every kind of write of a strategy, or all of them.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from controller.requests import Read, Request
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import FetchCounts
from controller.requests.looks import ReviewAccess
from controller.requests.writes import Write, WriteEvent, WriteRecord
from controller.simulation.driver import Crash, Fault, Freeze, LoseAnswer, Point, Refuse, Stale

EXHAUSTIVE = os.environ.get("NIGHTFERRY_EXHAUSTIVE") == "1"
BACK_IN = 2.0  # seconds until a killed controller ticks again
ERROR = Failure(FailureKind.UNAVAILABLE, "500 internal error")
CONFLICT = Failure(FailureKind.CONFLICT, "409 the object has been modified")
PAST = (Stale(seconds=20.0), Stale(changes=2))
T = TypeVar("T")
PAUSES = (5.0, 40.0, 130.0)  # seconds


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault at one request. `stands_for`: how many (request, fault) pairs leave the same world."""

    index: int
    fault: Fault
    stands_for: int = 1

    def __str__(self) -> str:
        return f"{self.fault} at request {self.index}"


def tried(stories: Mapping[str, T], *usual: str) -> list[T]:
    """The stories on which every run of the tests tries faults; all of them where every fault is asked for."""
    return list(stories.values()) if EXHAUSTIVE else [stories[name] for name in usual]


def single_faults(points: Sequence[Point]) -> Iterator[Trial]:
    """What a run of the tests tries: the faults that can tell something new, or every fault where that is asked for."""
    return every_fault(points) if EXHAUSTIVE else telling_faults(points)


def every_fault(points: Sequence[Point]) -> Iterator[Trial]:
    """Crash before and after, 500, 409, a lost answer and a stale read at every one of these requests."""
    for tick in _ticks(points):
        yield _killed_at_its_beginning(tick)
    for point in points:
        yield from _of_write(point, points) if isinstance(point.request, Write) else _of_read(point)


def telling_faults(points: Sequence[Point]) -> Iterator[Trial]:
    """Of `every_fault`: all at the first write of its kind and place, else one in turn."""
    places, turns, first = _places(points), _Turns(), beginnings(points)
    yield from (_killed_at_its_beginning(tick) for tick in _ticks(points) if tick[0].index in first)
    for point in points:
        alike = (places[point.index], _what(point.request))
        if isinstance(point.request, Write):
            trials = list(_of_write(point, points))
            whole = turns.first(alike) and not isinstance(point.request, WriteEvent)
            yield from trials if whole else turns.one_of(trials, "write")
        elif turns.first(alike):
            yield from turns.one_of(list(_of_read(point)), "read")


def paused(points: Sequence[Point]) -> Iterator[tuple[Point, Freeze]]:
    """A writer that is paused before a request while another one takes over: each pause before a write, one before a
    read. Unless every fault is asked for, only the first of the requests that are alike, each pause in turn."""
    turns = _Turns()
    for point in told_apart(points):
        pauses = [Freeze(each, "b") for each in PAUSES]
        is_write = isinstance(point.request, Write)
        if EXHAUSTIVE:
            yield from ((point, each) for each in (pauses if is_write else pauses[1:2]))
        else:
            yield from ((point, each) for each in turns.one_of(pauses, "write" if is_write else "read"))


def told_apart(points: Sequence[Point]) -> list[Point]:
    """The first of all requests that are alike; all of them where every fault is asked for."""
    places, turns = _places(points), _Turns()
    return [each for each in points if turns.first((places[each.index], _what(each.request))) or EXHAUSTIVE]


def beginnings(points: Sequence[Point]) -> set[int]:
    """The first requests of ticks: the first tick of each place that makes the same writes; or of all ticks."""
    places, turns = _places(points), _Turns()
    return {tick[0].index for tick in _ticks(points) if turns.first(_course(tick, places)) or EXHAUSTIVE}


# ------------------------------------------------------------------------------------------------- the faults


def _of_read(point: Point) -> Iterator[Trial]:
    yield Trial(point.index, Refuse(ERROR), 2)
    if isinstance(point.request, Read) and not isinstance(point.request, FetchCounts | ReviewAccess):
        for fault in PAST:
            yield Trial(point.index, fault)


def _of_write(point: Point, points: Sequence[Point]) -> Iterator[Trial]:
    later = [each for each in points if each.tick == point.tick and each.index > point.index]
    reads = next((n for n, each in enumerate(later) if isinstance(each.request, Write)), len(later))
    yield Trial(point.index, Crash("after", BACK_IN), 1 + 2 * reads + (reads < len(later)))
    yield Trial(point.index, Refuse(ERROR))
    yield Trial(point.index, LoseAnswer())
    if not isinstance(point.request, WriteEvent):
        yield Trial(point.index, Refuse(CONFLICT))


def _killed_at_its_beginning(tick: Sequence[Point]) -> Trial:
    reads = next((n for n, each in enumerate(tick) if isinstance(each.request, Write)), None)
    return Trial(tick[0].index, Crash("before", BACK_IN), 2 * len(tick) - 1 if reads is None else 2 * reads + 1)


# ------------------------------------------------------------------------------------------- what is alike


def _ticks(points: Iterable[Point]) -> Iterable[Sequence[Point]]:
    ticks: dict[int, list[Point]] = {}
    for point in points:
        ticks.setdefault(point.tick, []).append(point)
    return ticks.values()


def _places(points: Iterable[Point]) -> dict[int, Hashable]:
    """Phase and stage of the release at each request, as the record said it last."""
    place: Hashable = None
    places = {}
    for point in points:
        places[point.index] = place
        if isinstance(point.request, WriteRecord):
            status = point.request.status
            batch = status.get("batch") or {}
            # Batches between the first and the last one run the same course.
            last = batch.get("index") in (0, None, batch.get("of"))
            place = (point.request.name, status.get("phase"), last, batch.get("name"))
    return places


def _course(tick: Sequence[Point], places: Mapping[int, Hashable]) -> Hashable:
    return places[tick[0].index], tuple(type(each.request) for each in tick if isinstance(each.request, Write))


def _what(request: Request) -> Hashable:
    """What is asked, of which object; not when, and not in which version."""
    write = getattr(request, "write", None)
    about = [str(getattr(request, each, "")) for each in ("name", "ref", "labels", "gate", "term", "fresh")]
    target = [str(getattr(write, each, "")) for each in ("name", "ref")]
    return (type(request), type(write), *about, *target)


class _Turns:
    """Who came first, and whose turn it is."""

    def __init__(self) -> None:
        self.seen: set[Hashable] = set()
        self.turn: dict[str, int] = {}

    def first(self, key: Hashable) -> bool:
        new = key not in self.seen
        self.seen.add(key)
        return new

    def one_of(self, these: Sequence[T], kind: str) -> Sequence[T]:
        self.turn[kind] = turn = self.turn.get(kind, -1) + 1
        return these[turn % len(these) :][:1]
