"""When a release of a policy may leave, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policies.schema import ReleasePolicy


def hours(policy: ReleasePolicy, longest: float, now: float) -> Iterator[str]:
    """The window, its next opening and what fits into it; the freezes to come. Nothing for a policy without either.

    longest: seconds of the longest observation of all stages.
    """
    from controller.cli.view import span
    from controller.night.hours import zone_of
    from controller.night.windows import closing, next_opening, opening, wall
    from policies.openings import frozen_from_to

    spec, window = policy.spec, policy.spec.window
    if window is not None:
        shortest, _ = spec.strategy.moves.shortest(spec.observe.at_least)
        present = opening(window, now)
        shown = present or next_opening(window, now)
        closes = closing(window, shown)
        which = "open now" if present is not None else f"opens in {span(shown.opens - now)}"
        yield f"window {window.days} {window.opens} to {window.closes} {window.zone}, on closing {window.on_close}"
        yield f"{which}: {wall(window.zone, shown.opens)} to {wall(window.zone, closes)}, {span(closes - shown.opens)}"
        fits = "fits" if longest <= closes - shown.opens else "does not fit"
        yield f"the shortest release ({shortest}) fits; the longest observation ({span(longest)}) {fits}"
    for freeze in spec.freeze or ():
        first, after = frozen_from_to(freeze, zone_of(spec))
        if after > now:
            zone = freeze.zone or zone_of(spec)
            yield f"frozen from {wall(zone, first)} to {wall(zone, after)}: {freeze.why}"


def leaves(policy: ReleasePolicy, not_before: float | None, now: float) -> str:
    """When a release that is asked for now leaves, and why not before; "" where it leaves at once."""
    from controller.cli.view import span
    from controller.night.hours import own_hours, zone_of
    from controller.night.windows import wall

    stay = own_hours(policy.spec, not_before, now)
    if stay is None:
        return ""
    when = "at no time in sight" if stay.until is None else f"{wall(zone_of(policy.spec), stay.until)}, in "
    return f"it leaves {when}{span(stay.until - now) if stay.until is not None else ''}: {stay.because}"


def hours_json(policy: ReleasePolicy, now: float) -> dict[str, Any] | None:
    """The next time at which a release may leave, as plain data; None for a policy that asks no hours."""
    from controller.night.hours import next_departure
    from controller.night.windows import closing, next_opening, opening
    from controller.release.instants import rfc3339

    spec, window = policy.spec, policy.spec.window
    if window is None and not spec.freeze:
        return None
    at = next_departure(spec, None, now)
    told: dict[str, Any] = {"nextDeparture": rfc3339(at) if at is not None else None}
    if window is not None:
        shown = opening(window, now) or next_opening(window, now)
        told |= {"opens": rfc3339(shown.opens), "closes": rfc3339(closing(window, shown)), "night": shown.id}
    return told
