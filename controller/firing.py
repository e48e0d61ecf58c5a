"""Which alerts concern a release: what fires now, what a post has told, what counts, and how it is said.

Two things are known of alerts. The level: what Alertmanager says fires at this instant, read at every tick; a lost,
late, doubled or reordered post can therefore not matter for longer than a tick. And the inbox: what posts have told. A
post that Alertmanager confirmed when it came counts even where the alert is over by the time of the tick, for an alert
that came and went was there; one that it did not confirm may be an old post that somebody sends again, and never counts
by itself.

What fired before a release began is not its doing, and does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.inbox import LONGEST_NAME, Told, instant, name_of
from controller.release.instants import stamp
from controller.release.observation import Firing
from controller.release.record import KnownAlert, Record
from controller.release.words import one_line
from controller.requests.outside import FiringAlerts, ReadFiring
from policies.schema import OnAlert

LEAD = 60.0  # seconds by which the clocks of Prometheus and ours may differ: what began that long before counts
MOST_KNOWN = 32  # alerts that a record remembers
MOST_CHARGED = 8  # alerts that one decision is charged to
_SAME = 1.0  # seconds within which two beginnings of one alert are the same
_SHOWN = 3  # alerts that a sentence names


@dataclass(frozen=True, slots=True)
class Level:
    """What fires at an instant and matches a policy, the earliest first.

    muted: what is silenced or inhibited. late: what was told while the release goes back already. unheard: why the
    level is not known; `active` is then what is known anyway.
    """

    active: tuple[Firing, ...] = ()
    muted: tuple[Firing, ...] = ()
    late: tuple[Firing, ...] = ()
    unheard: str = ""


def question(alerts: Sequence[OnAlert]) -> ReadFiring:
    """The level read for a policy."""
    return ReadFiring(tuple(dict.fromkeys(each.labels for each in alerts)))


def level(alerts: Sequence[OnAlert], found: FiringAlerts, now: float) -> Level:
    """What Alertmanager says, in the words of the policy. An alert that matches twice means the graver of both."""
    active: dict[str, Firing] = {}
    muted: dict[str, Firing] = {}
    for item in found.items:
        labels = {str(name): str(value) for name, value in (item.get("labels") or {}).items()}
        silent = _is_muted(item)
        matching = [each for each in alerts if each.matches(labels)]
        counting = [each for each in matching if each.even_silenced or not silent]
        if matching:
            firing = _firing(item, labels, counting or matching, now)
            (active if counting else muted)[firing.fingerprint] = firing
    return Level(ordered(active.values()), ordered(muted.values()))


def _is_muted(item: Mapping[str, Any]) -> bool:
    status = item.get("status") or {}
    return status.get("state") == "suppressed" or bool(status.get("silencedBy") or status.get("inhibitedBy"))


def _firing(item: Mapping[str, Any], labels: Mapping[str, str], alerts: Sequence[OnAlert], now: float) -> Firing:
    notes = item.get("annotations") or {}
    return Firing(
        fingerprint=str(item.get("fingerprint") or ""),
        name=name_of(labels),
        labels=labels,
        since=instant(item.get("startsAt"), now)[0],
        then=_graver(alerts),
        summary=str(notes.get("summary") or notes.get("description") or ""),
    )


def _graver(alerts: Sequence[OnAlert]) -> Any:
    return "rollBack" if any(each.then == "rollBack" for each in alerts) else "pause"


def ordered(found: Iterable[Firing]) -> tuple[Firing, ...]:
    """The earliest first."""
    return tuple(sorted(found, key=lambda each: (each.since, each.fingerprint)))


def with_inbox(seen: Level, alerts: Sequence[OnAlert], inbox: Sequence[Told]) -> Level:
    """The level and what posts have told: what was heard first, and what was confirmed and is over by now.

    An alert that only pauses has no say once it is over.
    """
    active = {each.fingerprint: _with_post(each, inbox) for each in seen.active}
    silent = {each.fingerprint for each in seen.muted}
    for told in inbox:
        matching = [each for each in alerts if each.matches(told.labels)]
        if told.fingerprint in active or told.fingerprint in silent or not told.confirmed or not matching:
            continue
        if _graver(matching) == "rollBack":
            active[told.fingerprint] = Firing(
                told.fingerprint,
                told.name,
                told.labels,
                told.since,
                "rollBack",
                True,
                told.summary,
                told.heard,
                over=True,
            )
    return replace(seen, active=ordered(active.values()))


def _with_post(firing: Firing, inbox: Sequence[Told]) -> Firing:
    for told in inbox:
        if told.fingerprint == firing.fingerprint and abs(told.since - firing.since) <= _SAME:
            return replace(firing, told=True, heard=told.heard)
    return firing


# ------------------------------------------------------------------------------------------- what counts


def counting(firing: Iterable[Firing], record: Record, now: float) -> tuple[Firing, ...]:
    """What counts against a release under way: what did not fire before it began."""
    return tuple(each for each in firing if not _before(each, record, now))


def _before(firing: Firing, record: Record, now: float) -> bool:
    if now < record.started and not firing.over:
        # The clock was set back behind the beginning: what has just begun by it, and fires, began after the release.
        if firing.since < now - LEAD:
            return True
    elif firing.since < record.started - LEAD:
        return True
    elif firing.heard and firing.heard < record.started and firing.since < record.started:
        return True  # its post came before there was a release
    # `alreadyFiring: ignore` is about one firing; an alert that was over and fires again is another one.
    known = [each for each in record.alerts if each.part == "before" and each.fingerprint == firing.fingerprint]
    return any(firing.since <= each.since + _SAME for each in known)


def remembered(record: Record, firing: Iterable[Firing], part: Any, now: float) -> Record:
    """The record with these alerts in it, each firing once in each part."""
    new = [
        KnownAlert(each.fingerprint, each.name, each.since, now, part, each.heard)
        for each in firing
        if not is_known(record, each, part)
    ]
    if not new:
        return record
    # What does not count is remembered longest: forgotten, it would count.
    found = sorted((*record.alerts, *new), key=lambda each: each.part != "before")
    before = sum(each.part == "before" for each in found)
    kept = found if len(found) <= MOST_KNOWN else [*found[:before][:MOST_KNOWN], *found[before:][before - MOST_KNOWN :]]
    return replace(record, alerts=tuple(kept[:MOST_KNOWN]))


def graver(firing: Sequence[Firing]) -> tuple[Firing, ...]:
    """The alerts that a decision is charged to: the earliest few of those that turn back, else of those that hold."""
    turning = [each for each in firing if each.then == "rollBack"]
    return tuple((turning or firing)[:MOST_CHARGED])


def is_known(record: Record, firing: Firing, part: str) -> bool:
    """Whether the record has this firing in a part."""
    return any(
        each.fingerprint == firing.fingerprint and each.part == part and round(each.since) == round(firing.since)
        for each in record.alerts
    )


# --------------------------------------------------------------------------------------------- how it is said


def described(firing: Sequence[Firing], now: float | None) -> str:
    """The alerts in words, the first few by name; without `now` they do not say for how long they have fired."""
    told = "; ".join(_one(each, now) for each in firing[:_SHOWN])
    more = f"; and {len(firing) - _SHOWN} more" if len(firing) > _SHOWN else ""
    return f"{told}{more}"


def _one(firing: Firing, now: float | None) -> str:
    labels = ", ".join(
        f"{name}={value[:40]}" for name, value in sorted(firing.labels.items()) if name not in ("alertname", "__name__")
    )
    since = f"since {stamp(firing.since)[11:19]}Z"
    since += f", for {max(0.0, now - firing.since):.0f}s" if now is not None else ""
    summary = f": {firing.summary[:120]}" if firing.summary else ""
    # Labels and annotations may hold whatever a rule says, line breaks too.
    return one_line(f"alert {firing.name[:LONGEST_NAME] or '?'} ({labels[:160]}) fires {since}{summary}", 400)
