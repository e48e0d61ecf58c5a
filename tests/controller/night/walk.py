"""A window by walking minute for minute over the clock on the wall: slow, and with nothing in common with the program.

The walk is a numpy array of UTC minutes and what the wall clock shows at each; a window is then a question about it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from policies.windows import Window, known_zones

MINUTE = 60
DAY = 1440 * MINUTE
HOUR, WEEK = 60, 7  # strides over minutes and over noons
YEARS = (2024, 2040)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> float:
    return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()


def offsets(zone: str, instants: NDArray[np.int64], stride: int) -> NDArray[np.int64]:
    """Seconds that the wall clock is ahead of UTC at each instant.

    The clock is read at each `stride`-th instant, and at every one between two that differ: no zone changes its clocks
    and takes that back within a stride, of an hour of minutes or of a week of noons.
    """
    clock = ZoneInfo(zone)

    def read(some: NDArray[np.int64]) -> list[int]:
        ahead = (datetime.fromtimestamp(at, clock).utcoffset() for at in some.tolist())
        return [round(each.total_seconds()) for each in ahead if each is not None]

    out = np.empty(len(instants), dtype=np.int64)
    coarse = [*range(0, len(instants) - 1, stride), len(instants) - 1]
    seen = read(instants[coarse])
    for (begin, end), (before, after) in zip(pairwise(coarse), pairwise(seen), strict=True):
        out[begin:end] = before if before == after else read(instants[begin:end])
    out[-1] = seen[-1]
    return out


def minutes(first: date, days: int) -> NDArray[np.int64]:
    """Every UTC minute of some dates."""
    start = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    return np.arange(start, start + days * DAY, MINUTE, dtype=np.int64)


def walked(window: Window, day: date, instants: NDArray[np.int64], shown: NDArray[np.int64]) -> tuple[float, float]:
    """(opens, closes) of a date by the walk, (0, 0) where it does not open; `shown` is what the wall clock shows."""
    if day.weekday() not in window.days.numbers:
        return 0.0, 0.0
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    begin = midnight + window.opens.minutes * MINUTE
    end = midnight + window.closes.minutes * MINUTE + (DAY if window.closes <= window.opens else 0)
    inside = np.concatenate([[False], (begin <= shown) & (shown < end), [False]])
    turns = np.flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2)
    if not turns.size:
        return 0.0, 0.0
    first, after = turns[np.argmax(turns[:, 1] - turns[:, 0])]
    return float(instants[first]), float(instants[after - 1] + MINUTE)


@cache
def zones_with_changes() -> dict[tuple[tuple[str, int, int], ...], str]:
    """What becomes of the clocks of all zones from 2024 to 2040, and one zone of each kind.

    The key lists the dates after which another offset holds at noon UTC, with the offset before and after.
    """
    noons = np.arange(int(utc(YEARS[0], 1, 1, 12)), int(utc(YEARS[1] + 1, 1, 1, 12)), DAY, dtype=np.int64)
    found: dict[tuple[tuple[str, int, int], ...], str] = {}
    for zone in sorted(known_zones()):
        ahead = offsets(zone, noons, WEEK)
        places = np.flatnonzero(ahead[1:] != ahead[:-1])
        key = tuple(
            (datetime.fromtimestamp(int(noons[n]), UTC).date().isoformat(), int(ahead[n]), int(ahead[n + 1]))
            for n in places
        )
        found.setdefault(key or (("", int(ahead[0]), int(ahead[0])),), zone)
    return found


def days_around(key: tuple[tuple[str, int, int], ...]) -> list[date]:
    """The dates of the changes of a zone."""
    return [date.fromisoformat(day) for day, before, after in key if before != after]


def near(day: date) -> list[date]:
    return [day + timedelta(days=step) for step in range(-2, 3)]
