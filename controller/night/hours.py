"""When a release may leave by its own policy: not before the time that was asked for, in no freeze, in its window.

It leaves only while the rest of the opening holds the shortest possible release, so that none begins that cannot end.
A clock that was set back opens nothing: the latest time at which the record was written is asked about too.
"""

from __future__ import annotations

from controller.night.windows import closing, frozen, next_opening, opening, wall
from controller.release.decision import Hold
from controller.release.vocabulary import HoldReason
from policies.openings import frozen_from_to
from policies.schema import ReleasePolicySpec

ASKS = ("change", "home")  # the origins that ask for hours; whoever brings something back does not
_LEAVES = "it leaves"
_MOST_TURNS = 2000  # openings and freezes looked at; ten years of nights, for a policy that is frozen for years


def own_hours(spec: ReleasePolicySpec, not_before: float | None, now: float, latest: float = 0.0) -> Hold | None:
    """Why a release that was not begun has to wait, and until when; None where it may leave.

    `not_before`: the time that the release itself asks for. `latest`: the latest time at which its record was written.
    """
    for at in sorted({now, max(now, latest)}, reverse=True):
        if (shut := _shut(spec, not_before, at)) is not None:
            reason, because, _ = shut
            return Hold(reason, because, next_departure(spec, not_before, at), _LEAVES)
    return None


def next_departure(spec: ReleasePolicySpec, not_before: float | None, now: float) -> float | None:
    """The first instant from `now` on at which it may leave; None where none is in sight."""
    at = now
    for _ in range(_MOST_TURNS):
        shut = _shut(spec, not_before, at)
        if shut is None:
            return at
        at = shut[2]
    return None


def zone_of(spec: ReleasePolicySpec) -> str:
    """The zone in which people think of this app's hours."""
    return spec.window.zone if spec.window is not None else "UTC"


def _shut(spec: ReleasePolicySpec, not_before: float | None, now: float) -> tuple[HoldReason, str, float] | None:
    """Why nothing leaves at an instant, and the next one at which to ask again."""
    zone, window = zone_of(spec), spec.window
    if not_before is not None and now < not_before:
        return HoldReason.NOT_BEFORE, f"asked not to leave before {wall(zone, not_before)}", not_before
    held = frozen(spec.freeze or (), zone, now)
    if held is not None:
        return HoldReason.FROZEN, f"frozen until {wall(zone, held.until)}: {held.why}", held.until
    if window is None:
        return None
    present = opening(window, now)
    if present is None:
        opens = next_opening(window, now).opens
        return HoldReason.WINDOW_CLOSED, f"the window is closed; it opens {wall(zone, opens)}", opens
    closes = closing(window, present)
    freezes = [first for each in spec.freeze or () if (first := frozen_from_to(each, zone)[0]) > now]
    ends = min([closes, *freezes])
    shortest, _ = spec.strategy.moves.shortest(spec.observe.at_least)
    if ends - now >= shortest.seconds:
        return None
    ending = "the window closes" if ends == closes else "a freeze begins"
    because = f"{ending} {wall(zone, ends)}: too little is left, the shortest release takes {shortest}"
    return HoldReason.WINDOW_CLOSED, because, ends
