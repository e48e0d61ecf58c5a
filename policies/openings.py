"""From the clock on the wall to instants: when a window opens and closes on a date, in any time zone.

An opening is the longest run of instants at which the wall clock stands between the window's `from` and `to` of that
date; of two equal runs the first. So nothing ever happens while the clock on the wall says that the window is closed,
not even in an hour that is repeated, and no date has more than one opening. Where the clock jumps over a part of the
window, it is shorter; where it jumps over all of it, there is none on that date.

Instants are seconds since the epoch (UTC).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from policies.kept import kept
from policies.values import Duration, Wait
from policies.windows import Freeze, Window

# The nights whose changes of clocks a policy is held against. Fixed: what is legal must not change with the calendar.
FIRST_YEAR, LAST_YEAR = 2026, 2040

_HOUR = 3600.0
_FURTHEST = 26 * _HOUR  # no zone is, or was, further from UTC; two changes of a clock are more than an hour apart
_DAY = timedelta(days=1)

Run = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Opening:
    """One time for which a window is open, from `opens` to just before `closes`; `id` is the date of its night."""

    opens: float
    closes: float
    id: str

    @property
    def length(self) -> float:
        """In seconds."""
        return self.closes - self.opens


@kept
def opening_of(window: Window, day: date) -> Opening | None:
    """The opening that belongs to a date, if the window opens on it."""
    if day.weekday() not in window.days.numbers:
        return None
    begin = datetime.combine(day, time()) + timedelta(minutes=window.opens.minutes)
    found = runs(window.zone, begin, begin + window.length)
    if not found:
        return None
    opens, closes = max(found, key=lambda run: run[1] - run[0])
    return Opening(opens, closes, day.isoformat())


def frozen_from_to(freeze: Freeze, zone: str) -> Run:
    """The first instant of a freeze and the first one after it; `zone` counts where the freeze names none."""
    zone = freeze.zone or zone
    first, after = datetime.combine(freeze.first.at, time()), datetime.combine(freeze.last.at, time()) + _DAY
    # Dates that a zone left out, and midnights that it had twice, are inside: from the first instant to the last.
    return runs(zone, first, first + 3 * _DAY)[0][0], runs(zone, after - 3 * _DAY, after)[-1][1]


def narrowest(window: Window) -> tuple[float, date | None]:
    """The seconds of its shortest opening in any year looked at, 0 where it stays shut; and the date of that night.

    The date is None where all openings have their ordinary length.
    """
    least, on = window.length.total_seconds(), None
    for changed in changes(window.zone):
        near = local_date(window.zone, changed)
        for days in range(-2, 2):
            day = near + timedelta(days=days)
            if day.weekday() in window.days.numbers:
                found = opening_of(window, day)
                length = found.length if found is not None else 0.0
                if length < least:
                    least, on = length, day
    return least, on


def too_narrow(window: Window, shortest: Duration, where: str) -> str:
    """Why a window cannot hold the shortest possible release on every night, with both lengths; or "".

    `where` says where the time of the shortest release goes.
    """
    length, night = narrowest(window)
    if length >= shortest.seconds:
        return ""
    on = f" in the night of {night}, when clocks are changed" if night is not None else ""
    return f"a window of {Wait(round(length * 1000))}{on}, for {where}, which are {shortest}"


@lru_cache(maxsize=8192)
def runs(zone: str, begin: datetime, end: datetime) -> tuple[Run, ...]:
    """The runs of instants at which the wall clock of a zone stands in [begin, end), which have no zone; in order."""
    clock = ZoneInfo(zone)
    low, high = _as_utc(begin) - _FURTHEST, _as_utc(end) + _FURTHEST
    found: list[Run] = []
    at, offset = low, _offset(clock, low)
    while at < high:
        until = _until_changed(clock, at, high, offset)
        opens, closes = max(at, _as_utc(begin) - offset), min(until, _as_utc(end) - offset)
        if opens < closes:
            if found and found[-1][1] == opens:
                found[-1] = (found[-1][0], closes)
            else:
                found.append((opens, closes))
        at, offset = until, _offset(clock, until)
    return tuple(found)


@lru_cache(maxsize=1024)
def changes(zone: str) -> tuple[float, ...]:
    """The instants at which the clocks of a zone are changed in the years that are looked at."""
    clock = ZoneInfo(zone)
    at, high = (_as_utc(datetime(year, 1, 1)) for year in (FIRST_YEAR, LAST_YEAR + 1))  # noqa: DTZ001 - taken as UTC
    found = []
    while at < high:
        at = _until_changed(clock, at, high, _offset(clock, at), step=24 * _HOUR)
        if at < high:
            found.append(at)
    return tuple(found)


def local_date(zone: str, at: float) -> date:
    """The date that a calendar on the wall shows."""
    return datetime.fromtimestamp(at, ZoneInfo(zone)).date()


def _until_changed(clock: ZoneInfo, at: float, high: float, offset: float, step: float = _HOUR) -> float:
    """The first instant after `at` with another offset from UTC, or `high`; whole seconds."""
    low = at
    while (above := min(low + step, high)) < high and _offset(clock, above) == offset:
        low = above
    if _offset(clock, above) == offset:
        return high
    while above - low > 1.0:
        middle = (low + above) // 2
        low, above = (middle, above) if _offset(clock, middle) == offset else (low, middle)
    return above


def _offset(clock: ZoneInfo, at: float) -> float:
    """Seconds that the wall clock is ahead of UTC."""
    ahead = datetime.fromtimestamp(at, clock).utcoffset()
    assert ahead is not None
    return ahead.total_seconds()


def _as_utc(wall: datetime) -> float:
    return wall.replace(tzinfo=UTC).timestamp()
