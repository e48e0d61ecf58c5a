"""The one question that a release asks before it begins, and again until its first pod moves: may it leave now?

It stays where it is with a hold that says why and until when; no deadline ends that wait. Whoever brings something back
(a rollback, a restore) does not ask, nor does a release that a person sent off at once.
"""

from __future__ import annotations

from controller.attempt import seconds
from controller.case import Case
from controller.night.hours import ASKS, next_departure, own_hours, zone_of
from controller.night.windows import opening, wall
from controller.release import Held, Hold, HoldReason, Phase
from policies.schema import ReleasePolicySpec


def departure(case: Case) -> Hold | None:
    """Why this release may not leave now, or None."""
    spec = case.attempt.spec
    if case.origin not in ASKS or spec.now is not None:
        return None
    return own_hours(case.policy.spec, _not_before(case), case.now, case.attempt.record.written)


def missed(case: Case, stay: Hold) -> str:
    """What to tell of an opening that went by without a start since the release was looked at last, or ""."""
    record, policy = case.attempt.record, case.policy.spec
    if stay.reason is not HoldReason.WINDOW_CLOSED or policy.window is None:
        return ""
    if record.held is None and record.phase is not Phase.QUEUED:
        return f"it was not ready to leave before its hours ended: {stay.because}"
    promised = _promised(case, record.held, policy)
    if promised is None or promised > case.now:
        return ""
    zone = zone_of(policy)
    if record.held is not None and record.held.reason not in _HOURS:
        return f"its hours ended while it waited ({record.held.because}): {stay.because}"
    away = "nobody let it go: the controller was away, or another release of the app was under way"
    return f"it could leave from {wall(zone, promised)} on, but {away}; now {stay.because}"


_HOURS = frozenset({HoldReason.WINDOW_CLOSED, HoldReason.FROZEN, HoldReason.NOT_BEFORE})


def _promised(case: Case, held: Held | None, policy: ReleasePolicySpec) -> float | None:
    """When it could leave, by what was said last, or else by when it was asked for."""
    if held is None:
        return next_departure(policy, _not_before(case), seconds(case.attempt.created))
    if held.reason in _HOURS:
        return held.until
    return held.since if policy.window is not None and opening(policy.window, held.since) is not None else None


def _not_before(case: Case) -> float | None:
    asked = case.attempt.spec.not_before
    return asked.seconds if asked is not None else None
