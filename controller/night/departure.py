"""The one question that a release asks before it begins, and again until its first pod moves: may it leave now?

It stays where it is with a hold that says why and until when; no deadline ends that wait. Whoever brings something back
(a rollback, a restore) does not ask, nor does a release that a person sent off at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.attempt import seconds
from controller.case import Case
from controller.night import ride
from controller.night.hours import ASKS, next_departure, own_hours, zone_of
from controller.night.platform import Train
from controller.night.ride import Boarded
from controller.night.windows import opening, wall
from controller.release.decision import Hold
from controller.release.record import Held
from controller.release.vocabulary import HoldReason, Phase
from policies.schema import ReleasePolicySpec


def asks(case: Case) -> bool:
    """Whether it has to ask at all."""
    return case.origin in ASKS and case.attempt.spec.now is None


def departure(case: Case, trains: Sequence[Train] = ()) -> Hold | Boarded | None:
    """Why this release may not leave now, or by which train it leaves; None where it rides none and may leave."""
    policy = case.policy.spec
    if not asks(case):
        return None
    written = case.attempt.record.latest
    own = own_hours(policy, _not_before(case), case.now, written)
    train = _train(case, trains)
    if own is not None or train is None:
        return own
    least, _ = policy.strategy.moves.shortest(policy.observe.at_least)
    begun = case.attempt.record.phase is not Phase.QUEUED
    # A clock that was set back opens nothing.
    return ride.ticket(train, case.attempt.uid, least.seconds, max(case.now, written), begun=begun)


def _train(case: Case, trains: Sequence[Train]) -> Train | None:
    return ride.train_for(trains, case.app.policy, case.policy.metadata.labels)


def missed(case: Case, stay: Hold, trains: Sequence[Train] = ()) -> str:
    """What to tell of an opening that went by without a start since the release was looked at last, or ""."""
    record, policy = case.attempt.record, case.policy.spec
    if record.held is not None and record.held.reason is HoldReason.QUARANTINED:
        return ""  # no opening would have let it leave
    if stay.reason is HoldReason.AWAITS_TRAIN:
        train = _train(case, trains)
        asked = None if record.because else seconds(case.attempt.created)
        return ride.missed(train, record.held, asked, case.now) if train is not None else ""
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
