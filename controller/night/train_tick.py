"""One tick of a train, sans-I/O like that of an app: look at its cars, and write who leaves next into its status.

    look     trains, policies and releases from the watch cache; what would be written?
    leap     if anything: the releases by a quorum read where it is bold, then the train itself, and decide again
    write    the status by compare-and-swap; only where it says all already, one linked release that takes a car back

Bold is what old looks may not decide: that somebody leaves, a night begins or is over, or a car is taken back. All else
(who has ended or turned back, and so the stop of the line, and what the others wait for) a look that is behind says
later, and never wrongly; it asks for no list of all releases of the namespace.

The status is the night's whole memory. The releases are read before it, so a status that can still be written was
current for everything that was read; and two controllers that call at once are one call and a conflict. Killed after
any request, the next tick goes on from what it sees: what a night lists has left, and a linked release has a name that
follows from the release that it takes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.attempt import SOON, Reading, TickResult
from controller.morning import payload_of, report_of_train
from controller.night.platform import (
    Train,
    night_status,
    policies_of,
    seats_of,
    train_of,
    trains_of,
)
from controller.night.riders import riders_of
from controller.night.train import (
    Departed,
    Recall,
    Seat,
    TrainNight,
    called,
    finished,
    leaves_next,
    night_of,
    recall,
    told_at,
)
from controller.night.windows import closing, frozen, opening, wall
from controller.own_releases import own_release, release_name
from controller.release.instants import rfc3339
from controller.release.names import AppKey, TrainKey
from controller.requests import Answer, objects_in
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadPolicies, ReadReleases, ReadTrain, ReadTrains
from controller.requests.outside import Deliver, Delivery
from controller.requests.writes import WriteTrainStatus

Object = Mapping[str, Any]
_ASLEEP = 10.0  # seconds after which a night without news is looked at again; openings are looked for at every tick


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look came to: the status as it should be, and whose linked release is to be asked for.

    told: the time up to which the report of the night may be made, None while it may not.
    """

    status: Mapping[str, Any]
    night: TrainNight | None
    back: Departed | None
    told: float | None
    note: str


def train_tick(key: TrainKey, now: float) -> Reading[TickResult]:
    """Advance one train by one step. `now`: seconds since the epoch, the only time this tick knows."""
    objects = yield ReadTrains(key.namespace)
    if isinstance(objects, Failure):
        return TickResult(key, failure=None if objects.kind is FailureKind.NO_KIND else objects)
    trains = trains_of(objects_in(objects))
    train = next((each for each in trains if each.name == key.train), None)
    if train is None:
        return TickResult(key)
    policies = yield ReadPolicies(key.namespace)
    if isinstance(policies, Failure):
        return TickResult(key, failure=policies)
    releases: Answer = ()
    if _awake(train, now):
        releases = yield ReadReleases(key.namespace, "")
        if isinstance(releases, Failure):
            return TickResult(key, failure=releases)
    glance = _look(train, trains, objects_in(policies), objects_in(releases), now)
    if _same(train, glance) and glance.back is None:
        return (yield from _tell(key, train, glance))

    fresh = _bold(train, glance)
    if fresh:
        releases = yield ReadReleases(key.namespace, "", fresh=True)
        if isinstance(releases, Failure):
            return TickResult(key, failure=releases, again_in=releases.retry_after)
    latest = yield ReadTrain(key.namespace, key.train)
    if not isinstance(latest, Mapping):
        return TickResult(key, failure=latest if isinstance(latest, Failure) else None)
    train = train_of(latest)
    leap = _look(train, trains, objects_in(policies), objects_in(releases), now)
    if not fresh and _bold(train, leap):
        return TickResult(key, again_in=SOON, note="the train was newer than the looks at its releases")
    if not _same(train, leap):
        return (yield from _write(key, train, leap.status, leap.note))
    if leap.back is not None:
        return (yield from _take_back(key, train, leap.back))
    return TickResult(key, note=leap.note)


def _bold(train: Train, seen: _Seen) -> bool:
    """Whether a look comes to something that the watch cache alone may not decide."""
    before, after = train.night, seen.night
    if seen.back is not None:
        return True
    if before is None or after is None or before.id != after.id:
        return after is not None
    return len(after.departed) > len(before.departed) or (after.over is not None and before.over is None)


def _awake(train: Train, now: float) -> bool:
    """Whether there is, or may begin, a night to look after: else nobody asks for releases."""
    if train.night is not None and train.night.over is None:
        return True
    return train.spec is not None and opening(train.spec.window, now) is not None


# -------------------------------------------------------------------------------------------------------- looking


def _look(
    train: Train, trains: Sequence[Train], policies: Sequence[Object], releases: Sequence[Object], now: float
) -> _Seen:
    known = policies_of(policies)
    now = max(now, train.night.latest) if train.night is not None else now
    seats, problem = ((), train.refused) if train.spec is None else seats_of(train, trains, known)
    riders = riders_of(releases, seats, known, now)
    back = recall(train.night, seats, riders)
    # A train that is refused calls nobody; what it took back before is brought to its end.
    night, ice, ends = train.night, "", None
    if train.spec is not None and not problem:
        window = train.spec.window
        present = opening(window, now)
        night = night_of(night, present, now, busy=back.busy)
        held = frozen(train.spec.freeze, window.zone, now)
        ice = f"frozen until {wall(window.zone, held.until)}: {held.why}" if held is not None else ""
        ends = closing(window, present) if present is not None else None
        if night is not None and night.over is None:
            night = called(night, train.spec, seats, riders, now, frozen=ice, ends=ends)
            back = recall(night, seats, riders)
            night = finished(night, riders, back, now)
    phase, because = _phase(train, night, seats, problem, ice, back, now)
    return _Seen(
        _status(train, night, phase, because, now),
        night,
        back.next,
        told_at(night, riders, back),
        f"{phase}: {because}",
    )


def _phase(
    train: Train, night: TrainNight | None, seats: Sequence[Seat], problem: str, ice: str, back: Recall, now: float
) -> tuple[str, str]:
    if problem or train.spec is None:
        return "Refused", problem
    window = train.spec.window
    if back.busy and night is not None:
        return "Recalling", night.recalled
    if night is not None and night.stopped and night.over is None:
        stuck = f"; not taken back: {', '.join(back.stuck)}" if back.stuck else ""
        return "Stopped", f"{night.stopped}{stuck}"
    if night is not None and night.closed is None:
        return ("Frozen", ice) if ice else ("Open", f"open until {wall(window.zone, night.closes)}")
    return "Closed", f"{leaves_next(window, now)}, with {len(seats)} cars"


def _status(train: Train, night: TrainNight | None, phase: str, because: str, now: float) -> dict[str, Any]:
    ready = "False" if phase == "Refused" else "True"
    before: Object = next((c for c in train.status.get("conditions") or () if c.get("type") == "Ready"), {})
    since = before.get("lastTransitionTime") if before.get("status") == ready else None
    counts = f"{len(night.departed)} left, {len(night.waiting)} waiting" if night is not None else None
    return {
        "observedGeneration": train.generation,
        "phase": phase,
        "because": because[:1024],
        "counts": counts,
        "conditions": [
            {
                "type": "Ready",
                "status": ready,
                "reason": "Refused" if phase == "Refused" else "Valid",
                "message": because[:1024] if phase == "Refused" else "the train can leave",
                "observedGeneration": train.generation,
                "lastTransitionTime": since or rfc3339(now),
            }
        ],
        "night": night_status(night) if night is not None else None,
    }


def _same(train: Train, seen: _Seen) -> bool:
    """Whether the status says it all already."""
    return bool(_present(train.status) == _present(seen.status))


def _present(value: Any) -> Any:
    """Without what a merge patch would take away, and without empty lists, which a server may leave out."""
    if isinstance(value, Mapping):
        return {key: _present(part) for key, part in value.items() if part is not None and part not in ([], ())}
    return [_present(part) for part in value] if isinstance(value, list | tuple) else value


# -------------------------------------------------------------------------------------------------------- writing


def _write(key: TrainKey, train: Train, status: Object, note: str) -> Reading[TickResult]:
    answer = yield WriteTrainStatus(key.namespace, key.train, train.resource_version, status)
    if isinstance(answer, Failure):
        return TickResult(key, failure=answer, again_in=SOON if answer.kind is FailureKind.CONFLICT else None)
    return TickResult(key, wrote=1, again_in=SOON, note=note)


def _take_back(key: TrainKey, train: Train, car: Departed) -> Reading[TickResult]:
    """Ask for the linked release; one of this name that is there already is it."""
    assert train.night is not None
    name = release_name(car.policy, "recall", car.uid[:8])
    reason = f"train {key.train} takes its cars back: {train.night.recalled}"[:1000]
    answer = yield own_release(AppKey(key.namespace, car.policy), name, rollbackOf=car.release, reason=reason)
    if isinstance(answer, Failure) and answer.kind is not FailureKind.EXISTS:
        return TickResult(key, failure=answer)
    return TickResult(key, wrote=1, again_in=SOON, note=f"{car.release} is taken back by {name}")


def _tell(key: TrainKey, train: Train, seen: _Seen) -> Reading[TickResult]:
    """Hand the report of a night to those who are to have it and have not got it yet."""
    night, routes = seen.night, train.spec.report if train.spec is not None else ()
    missing = [route.notifier for route in routes if night is not None and route.notifier not in night.reported]
    if night is None or seen.told is None or not missing:
        return TickResult(key)
    releases = yield ReadReleases(key.namespace, "")
    if isinstance(releases, Failure):
        return TickResult(key, failure=releases)
    zone = train.spec.window.zone if train.spec is not None else "UTC"
    metadata = {"namespace": key.namespace, "name": key.train}
    told_of = {"metadata": metadata, "spec": {"cars": train.claims}, "status": seen.status}
    report = report_of_train(told_of, objects_in(releases), seen.told, zone)
    if report is None:
        return TickResult(key)
    payload = payload_of(report)
    asked_enough: list[str] = []
    words: list[str] = []
    again: float | None = None
    for notifier in missing:
        answer = yield Deliver(notifier, f"{train.uid}/{night.id}/{notifier}", payload)
        if isinstance(answer, Delivery) and answer.state != "pending":
            asked_enough.append(notifier)
            lost = answer.state == "failed"
            words.append(f"could not be sent to {notifier}: {answer.because}" if lost else f"sent to {notifier}")
        elif isinstance(answer, Delivery):
            again = min(again or _ASLEEP, answer.again_in or _ASLEEP)
    if not asked_enough:
        return TickResult(key, again_in=again)
    status = {**train.status, "night": night_status(replace(night, reported=(*night.reported, *asked_enough)))}
    return (yield from _write(key, train, status, f"report of {night.id} {', '.join(words)}"))
