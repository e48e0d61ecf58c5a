"""What the night says to a release under way: whether its window is open, and whether a freeze holds.

A clock that was set back reopens nothing: the present instant and the latest of a write must both lie in an opening.
"""

from __future__ import annotations

from controller.night.hours import ASKS, zone_of
from controller.night.windows import frozen, next_opening, opening, wall
from controller.release.observation import Night
from controller.release.record import Record
from policies.release import ReleaseSpec
from policies.schema import ReleasePolicySpec


def night(policy: ReleasePolicySpec, spec: ReleaseSpec, record: Record, now: float) -> Night:
    """The night of a release; for one that asks no window it is never over."""
    if record.origin not in ASKS or spec.now is not None:
        return Night()
    zone, window = zone_of(policy), policy.window
    closed, opens, why, thaws = "", None, "", None
    for at in dict.fromkeys((now, max(now, record.latest))):  # one instant, but for a clock that was set back
        if window is not None and opening(window, at) is None:
            opens = next_opening(window, at).opens
            closed = f"the window {window.opens} to {window.closes} is closed until {wall(zone, opens)}"
        if (held := frozen(policy.freeze or (), zone, at)) is not None:
            why, thaws = f"frozen until {wall(zone, held.until)}: {held.why}", held.until
    return Night(closed=closed, opens=opens, frozen=why, thaws=thaws)
