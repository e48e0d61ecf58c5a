"""Which entry of the decision log people are told of, and the queue of such notices in the record; pure.

A notice is queued in the write that decides, so a decision without its notice never existed. It stays until it was
sent or given up, and its id follows from release, decision and notifier: whatever is sent twice by a crash carries the
same id. The marks are absolute: a notice that is done is never open again.

Told is what turned a release that moves, its end, and a night that it missed. What a release waits for before its
start (its hour, its train, the learner) is no news: the end of the waiting is. But that its version is in quarantine
is told at once: somebody can do something about it before its hour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from controller.record import MOST_ENTRIES, noted
from controller.release.instants import rfc3339
from controller.release.names import AppKey
from controller.release.record import Entry, Notice, Record
from controller.release.vocabulary import ENDS, FORWARD, Cause, HoldReason, Phase
from controller.requests.outside import Deliver, Delivery
from controller.typed import reader
from policies.notify import Event, NotifyRoute
from policies.release import ReleaseSpec

MOST_NOTICES = 40  # kept in a record; beyond it those go first that are done, then the oldest that are no endings
MOST_WORDS = 512  # characters of the reason
PATIENCE = 24 * 3600.0  # seconds after which a notice that could not be sent is given up
GIVEN_UP = "NoticeFailed"
_read = reader(Notice)
_ENDINGS: Mapping[str, Event] = {
    Phase.SUCCEEDED.value: "succeeded",
    Phase.ROLLED_BACK.value: "rolledBack",
    Phase.NEEDS_HUMAN.value: "needsHuman",
    Phase.CANCELLED.value: "cancelled",
}
_OTHERS: Mapping[str, Event] = {
    "RollBack": "rollingBack",
    "WindowMissed": "windowMissed",
    "WatchBlind": "watchBlind",
    "WatchDegraded": "paused",
}
_MOVING = FORWARD | {Phase.ROLLING_BACK}
_IN_QUARANTINE = f"Hold{HoldReason.QUARANTINED.value}"


def queued(before: Record, after: Record, uid: str, routes: Sequence[NotifyRoute]) -> Record:
    """The record with a notice for each notifier that wants to hear of what was decided since `before`."""
    told = [(entry, event) for entry in new_entries(before, after) if (event := event_of(entry, before, after))]
    if any(event != "resumed" for _, event in told):
        told = [(entry, event) for entry, event in told if event != "resumed"]
    known = {notice.id for notice in after.notices}
    fresh: dict[str, Notice] = {}
    for entry, event in told:
        for route in routes:
            one = _notice(entry, event, route.notifier, uid, after)
            if event in route.events and one.id not in known:
                fresh[one.id] = one
    return replace(after, notices=_bounded((*after.notices, *fresh.values()))) if fresh else after


def rescued(status: Mapping[str, Any]) -> tuple[Notice, ...]:
    """The notices of a record that cannot be read as a whole: an edit by hand loses none that it did not touch."""
    raw = (status.get("record") or {}).get("notices") if isinstance(status.get("record"), Mapping) else None
    found: list[Notice] = []
    for each in raw if isinstance(raw, list) else ():
        try:
            found.append(_read(each))
        except msgspec.ValidationError:
            continue
    return tuple(found[-MOST_NOTICES:])


def new_entries(before: Record, after: Record) -> tuple[Entry, ...]:
    """What the decision log has since `before`, compared by value: an entry holds evidence, which has no hash."""
    if after.decisions is before.decisions:
        return ()
    old = before.decisions[-MOST_ENTRIES:]
    known = set(map(id, old))
    return tuple(entry for entry in after.decisions if id(entry) not in known and entry not in old)


def event_of(entry: Entry, before: Record, after: Record) -> Event | None:
    """The event that people know an entry by, or None for one that is not told."""
    if (end := _ENDINGS.get(entry.kind)) is not None:
        return "superseded" if end == "cancelled" and after.cause is Cause.SUPERSEDED else end
    if entry.kind == "Advance":
        return "started" if before.phase not in _MOVING else "advanced"
    if entry.kind.startswith("Hold"):
        return "paused" if entry.phase in _MOVING or entry.kind == _IN_QUARANTINE else None
    if entry.kind == "Unhold":
        return "resumed" if entry.phase in _MOVING and after.held is None and after.phase not in ENDS else None
    return _OTHERS.get(entry.kind)


def _notice(entry: Entry, event: Event, notifier: str, uid: str, after: Record) -> Notice:
    name = hashlib.sha256(f"{uid}/{entry.kind}/{entry.at!r}/{notifier}".encode()).hexdigest()[:32]
    cause = after.cause.value if after.cause is not None and event not in ("started", "advanced") else ""
    return Notice(
        name, notifier, event, entry.at, entry.because[:MOST_WORDS], stage=entry.stage, stages=after.stages, cause=cause
    )


def _bounded(notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """The newest that find room. An ending is never given up for room."""
    kept = list(notices)
    while len(kept) > MOST_NOTICES:
        done = next((each for each in kept if each.done), None)
        passing = next((each for each in kept if each.event not in _ENDINGS.values()), kept[0])
        kept.remove(done or passing)
    return tuple(kept)


# ------------------------------------------------------------------------------------------------- delivering


def open_notices(record: Record) -> Iterator[Notice]:
    """Those that nobody knows to have arrived, the oldest first."""
    return (notice for notice in record.notices if not notice.done)


def delivery_of(notice: Notice, app: AppKey, release: str, spec: ReleaseSpec) -> Deliver:
    """The request that sends a notice; the same at each repetition, whatever became of the release meanwhile."""
    payload: dict[str, Any] = {
        "event": notice.event,
        "at": rfc3339(notice.at),
        "namespace": app.namespace,
        "app": app.policy,
        "release": release,
        "because": notice.because,
        "cause": notice.cause,
        "batch": notice.stage,
        "batches": notice.stages,
        "images": dict(spec.images or {}),
        "requestedBy": spec.requested_by or "",
        "reason": spec.reason or "",
    }
    return Deliver(notice.notifier, notice.id, payload)


def heard(record: Record, notice: Notice, answer: Delivery, now: float) -> Record:
    """The record after a notifier's answer; one that is given up says so in the decision log."""
    if answer.state == "sent":
        return _marked(record, replace(notice, done=True))
    if answer.state == "pending" and now - notice.at < PATIENCE:
        return record
    why = answer.because or "no answer"
    if answer.state == "pending":
        why = f"not sent within 24h: {why}"
    after = _marked(record, replace(notice, done=True, failed=why[:MOST_WORDS]))
    return noted(after, GIVEN_UP, f"{notice.notifier} was not told of {notice.event}: {why}", now)


def _marked(record: Record, notice: Notice) -> Record:
    return replace(record, notices=tuple(notice if each.id == notice.id else each for each in record.notices))
