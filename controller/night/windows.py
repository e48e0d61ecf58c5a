"""What a window and freezes say of an instant; `now` and all other instants are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from policies.openings import Opening, frozen_from_to, local_date, opening_of
from policies.windows import Freeze, Window

__all__ = ["Frozen", "Opening", "closing", "frozen", "next_opening", "opening", "openings_from", "wall"]

_LONGEST_SHUT = 800  # days; a window of one weekday whose hour a clock jumps over opens a week later


@dataclass(frozen=True, slots=True)
class Frozen:
    """A freeze that holds at an instant: why, and the instant after its last day."""

    why: str
    until: float


def opening(window: Window, now: float) -> Opening | None:
    """The opening that `now` stands in, if the window is open."""
    return next((each for each in _near(window, now) if each.opens <= now < each.closes), None)


def next_opening(window: Window, now: float) -> Opening:
    """The first opening that begins after `now`."""
    return next(openings_from(window, now))


def openings_from(window: Window, now: float) -> Iterator[Opening]:
    """The openings that begin after `now`, in order."""
    day = local_date(window.zone, now)
    shut = 0
    for ahead in range(-2, 1_000_000):
        found = opening_of(window, day + timedelta(days=ahead))
        shut = 0 if found is not None else shut + 1
        if shut > _LONGEST_SHUT:
            raise ValueError(f"the window of {window.zone} does not open within {_LONGEST_SHUT} days")
        if found is not None and found.opens > now:
            yield found


def closing(window: Window, at: Opening) -> float:
    """When the window is closed after an opening: whole days that follow one another are one time."""
    closes = at.closes
    for following in openings_from(window, at.opens):
        if following.opens > closes or closes - at.opens > 30 * 86400.0:
            break
        closes = following.closes
    return closes


def frozen(freezes: Sequence[Freeze], zone: str, now: float) -> Frozen | None:
    """The freeze that holds now, of several the one that lasts longest; `zone` is that of the window, if any."""
    spans = [(each, *frozen_from_to(each, zone)) for each in freezes]
    held = [Frozen(each.why, until) for each, first, until in spans if first <= now < until]
    return max(held, key=lambda each: each.until, default=None)


def wall(zone: str, at: float) -> str:
    """An instant as the clock on the wall of a zone shows it, such as `Mon 2026-11-23 01:00 Asia/Shanghai`.

    In the hour that comes twice it says which of both it is: `Sun 2026-10-25 02:30 CET Europe/Berlin`.
    """
    moment = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
    return moment.strftime(f"%a %Y-%m-%d %H:%M{' %Z' if comes_twice(moment) else ''} {zone}")


def comes_twice(moment: datetime) -> bool:
    """Whether the clock on the wall of its zone shows this time twice, as in the night in which it is set back."""
    return moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()


def _near(window: Window, now: float) -> Iterator[Opening]:
    """The openings that may hold an instant: a window spans two dates at most, and a zone may leave one out."""
    day = local_date(window.zone, now)
    for days in range(-2, 2):
        if (found := opening_of(window, day + timedelta(days=days))) is not None:
            yield found
