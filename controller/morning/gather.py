"""From the objects of the cluster to the report; pure. What cannot be read is said, and left out of the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from controller.morning.figures import figures
from controller.morning.gauged import gauged
from controller.morning.value import GROUPS, Decided, Group, Journey, Report, TrainRide
from controller.record import RecordInvalid, RecordTooNew, read_record
from controller.release.record import Entry, Record
from controller.release.vocabulary import ENDS, HoldReason, Phase

Object = Mapping[str, Any]
MOST_JOURNEYS = 500  # of one report, by their groups; the figures count all
_PERSONS = frozenset({HoldReason.MANUAL, HoldReason.PAUSED_BY_PERSON, HoldReason.UNDECIDED, HoldReason.QUARANTINED})
_QUIET = frozenset({"Preflight", "Unhold"})


def report_of(
    releases: Iterable[Object],
    trains: Iterable[Object] = (),
    *,
    since: float,
    until: float,
    made: float,
    title: str = "Releases",
    zone: str = "UTC",
    only: Callable[[Object, Journey], bool] = lambda *_: True,
) -> Report:
    """What happened in [since, until). only: whether the page, and its figures too, are about a release."""
    journeys: list[Journey] = []
    unread: list[str] = []
    for obj in releases:
        metadata = obj.get("metadata") or {}
        try:
            one = journey(obj)
        except (RecordInvalid, RecordTooNew, ValueError) as error:
            unread.append(f"{metadata.get('namespace', '')}/{metadata.get('name', '')}: {' '.join(str(error).split())}")
            continue
        if only(obj, one):
            journeys.append(one)
    back = {(each.namespace, each.of): each for each in sorted(journeys, key=attrgetter("took_back")) if each.of}
    told = sorted((_linked(each, back) for each in journeys if _concerned(each, since, until)), key=_order)
    return Report(
        title=title,
        since=since,
        until=until,
        made=made,
        zone=zone,
        figures=figures(journeys, since, until),
        journeys=tuple(told[:MOST_JOURNEYS]),
        omitted=_counted(told[MOST_JOURNEYS:]),
        trains=tuple(ride for each in trains if (ride := ride_of(each, since, until)) is not None),
        unread=tuple(sorted(unread)),
    )


def report_of_train(train: Object, releases: Iterable[Object], made: float, zone: str = "") -> Report | None:
    """The report of a train's last night: of the releases that left with it or wanted to, of what took these back, and
    of what was under way meanwhile of its cars, such as one that was parked the night before; None before its first
    night. It begins with the opening, on the clock of the train's window.
    """
    metadata, spec, status = (train.get(key) or {} for key in ("metadata", "spec", "status"))
    night = status.get("night")
    if not isinstance(night, Mapping) or not (opened := _seconds(night.get("opened"))):
        return None
    until = _seconds(night.get("over")) or made
    rows = [*(night.get("departed") or ()), *(night.get("waiting") or ())]
    uids = frozenset(str(each.get("uid")) for each in rows if isinstance(each, Mapping))
    found = list(releases)
    names = {str(each["metadata"].get("name")) for each in found if each["metadata"].get("uid") in uids}
    cars = {str(each.get("policy")) for each in (*rows, *(spec.get("cars") or ())) if isinstance(each, Mapping)}

    def concerned(obj: Object, one: Journey) -> bool:
        under_way = one.app in cars and one.began is not None
        return str(obj["metadata"].get("uid")) in uids or one.of in names or under_way

    return report_of(
        found,
        [train],
        since=opened,
        until=max(until, opened) + 1.0,
        made=made,
        title=f"Night {night.get('id', '')} of train {metadata.get('name', '')}",
        zone=zone or str((spec.get("window") or {}).get("zone") or "UTC"),
        only=concerned,
    )


def _counted(journeys: Sequence[Journey]) -> tuple[tuple[Group, int], ...]:
    found = Counter(each.group for each in journeys if not each.took_back)
    return tuple((group, found[group]) for group in GROUPS if found[group])


def _linked(one: Journey, back: Mapping[tuple[str, str], Journey]) -> Journey:
    """A release with the one that takes it back; once that is done it has not arrived, and needs nobody."""
    by = back.get((one.namespace, one.release))
    if by is None:
        return one
    settled = by.took_back and one.group in ("arrived", "person")
    return replace(one, taken_by=by.release, group="back" if settled else one.group)


def _concerned(one: Journey, since: float, until: float) -> bool:
    """Whether a release did anything in this time, or was under way or waiting at its end."""
    last = one.ended if one.ended is not None else until
    return one.asked < until and last >= since


def _order(one: Journey) -> tuple[int, float, str]:
    return GROUPS.index(one.group), one.ended or one.began or one.asked, one.release


def journey(obj: Object) -> Journey:
    """One Release object as the report tells it. Raises RecordInvalid and RecordTooNew."""
    metadata, spec, status = (obj.get(key) or {} for key in ("metadata", "spec", "status"))
    record = read_record(status)
    held = record.held
    ended = next((entry.at for entry in reversed(record.decisions) if entry.kind in _ENDINGS), None)
    return Journey(
        namespace=str(metadata.get("namespace", "")),
        app=str(spec.get("policy", "")),
        release=str(metadata.get("name", "")),
        outcome=record.phase.value,
        group=_group(record, _origin(spec)),
        because=held.because if held is not None and held.because else record.because or "waits for the controller",
        cause=record.cause.value if record.cause is not None else "",
        version=_version(spec),
        origin=_origin(spec),
        of=str(spec.get("rollbackOf") or spec.get("restoreOf") or ""),
        asked_by=str(spec.get("requestedBy") or ""),
        reason=str(spec.get("reason") or ""),
        asked=_seconds(metadata.get("creationTimestamp")),
        began=record.started or None,
        turned=next((entry.at for entry in record.decisions if entry.kind == "RollBack"), None),
        ended=(ended if ended is not None else record.since) if record.phase in ENDS else None,
        held=held.reason.value if held is not None else "",
        until=held.until if held is not None else None,
        then=held.then if held is not None else "",
        stage=record.stage,
        stages=record.stages,
        doors=tuple(_doors(spec)),
        decisions=tuple(_decided(entry) for entry in record.decisions if entry.kind not in _QUIET),
        untold=tuple(f"{each.notifier}: {each.event} ({each.failed})" for each in record.notices if each.failed),
    )


_ENDINGS = frozenset(phase.value for phase in ENDS)


def _group(record: Record, origin: str) -> Group:
    waits_for_person = record.held is not None and record.held.reason in _PERSONS
    if record.phase is Phase.NEEDS_HUMAN or (waits_for_person and record.started > 0.0):
        return "person"
    if record.phase is Phase.SUCCEEDED:
        return "back" if origin in ("rollback", "restore") else "arrived"
    if record.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK):
        return "back"
    if record.phase is Phase.CANCELLED:
        return "nothing"
    return "waits" if record.started == 0.0 else "way"


def _version(spec: Object) -> str:
    images = spec.get("images")
    if isinstance(images, Mapping) and images:
        return ", ".join(str(image).rpartition("/")[2] for image in images.values())
    for key, words in (("template", "the template's version"), ("home", "to the first Deployment")):
        if spec.get(key):
            return words
    return ", ".join(map(str, spec.get("config") or ())) or ""


def _origin(spec: Object) -> str:
    for key, origin in (("restoreOf", "restore"), ("rollbackOf", "rollback"), ("home", "home")):
        if spec.get(key):
            return origin
    return "change"


def _doors(spec: Object) -> Iterable[str]:
    for key, words in (
        ("skipGates", "gates skipped"),
        ("now", "left outside its hours"),
        ("abort", "aborted by a person"),
        ("lift", "quarantine lifted"),
    ):
        given = spec.get(key)
        if given:
            reason = given.get("reason") if isinstance(given, Mapping) else ""
            yield f"{words}: {reason}" if reason else words


def _decided(entry: Entry) -> Decided:
    stage = "canary" if entry.phase is Phase.CANARY else f"batch {entry.stage}" if entry.phase is Phase.BATCH else ""
    return Decided(entry.at, entry.kind, entry.because, stage, tuple(gauged(each) for each in entry.verdicts))


def ride_of(train: Object, since: float, until: float) -> TrainRide | None:
    """A train's last night, where it overlaps [since, until)."""
    night = (train.get("status") or {}).get("night")
    if not isinstance(night, Mapping):
        return None
    opened, closes = (_seconds(night.get(key)) or None for key in ("opened", "closes"))
    if opened is None or opened >= until or (closes is not None and closes < since):
        return None
    metadata = train.get("metadata") or {}
    return TrainRide(
        namespace=str(metadata.get("namespace", "")),
        train=str(metadata.get("name", "")),
        night=str(night.get("id", "")),
        opened=opened,
        closes=closes,
        departed=_pairs(night.get("departed"), "ended"),
        waiting=_pairs(night.get("waiting"), "because"),
        stopped=str(night.get("stopped") or ""),
        recalled=str(night.get("recalled") or ""),
    )


def _pairs(rows: Any, second: str) -> tuple[tuple[str, str], ...]:
    found: Sequence[Any] = rows if isinstance(rows, list | tuple) else ()
    return tuple(
        (str(each.get("release", "")), str(each.get(second) or "")) for each in found if isinstance(each, Mapping)
    )


def _seconds(stamp: Any) -> float:
    try:
        return datetime.fromisoformat(str(stamp or "").replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
