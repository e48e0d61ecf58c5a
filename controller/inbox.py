"""What Alertmanager's posts have told of a policy: the inbox in its status, as a value and as plain JSON.

An alert is in the inbox before its post is answered, so a controller that is killed right afterwards loses nothing. It
is bounded: of one alert (fingerprint) the latest word counts, and where there are too many the oldest go. That is no
loss either, because the level is read at every tick; the inbox makes an alert quick, and lets one count that was over
before anybody could look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from controller.release.instants import LAST_TIME, stamp
from controller.release.words import one_line

MOST_TOLD = 16  # alerts in the inbox of one policy
LONGEST_NAME = 128
_LONGEST_VALUE = 256
_MOST_LABELS = 24


@dataclass(frozen=True, slots=True)
class Told:
    """One alert as a post told it.

    since: epoch seconds at which it began to fire. heard: when its post came. ended: when it was told to be over, None
    while it fires. confirmed: whether Alertmanager itself said at that time that it fires; a post by itself may be an
    old one that somebody sends again.
    """

    fingerprint: str
    name: str
    labels: Mapping[str, str]
    since: float
    heard: float
    ended: float | None = None
    confirmed: bool = False
    summary: str = ""


def instant(text: object, received: float) -> tuple[float, str]:
    """(epoch seconds, "") of an alert's time stamp; one that cannot be true is clamped to `received`, and it says why.

    A time without a zone could be any of 26 hours, and one in the future has not come.
    """
    try:
        at = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return received, f"{str(text)[:40]!a} is no time"
    if at.tzinfo is None:
        return received, f"{str(text)[:40]} names no zone"
    if at.year < 1971:
        return received, f"{str(text)[:40]} is before there was time"
    seconds = at.timestamp()
    if seconds > received:
        return received, f"{str(text)[:40]} is {seconds - received:.0f} s ahead" if seconds > received + 5.0 else ""
    return seconds, ""


def name_of(labels: Mapping[str, str]) -> str:
    """What an alert is called, within bounds."""
    return one_line(labels.get("alertname", ""), LONGEST_NAME)


def read_inbox(policy: object) -> tuple[Told, ...]:
    """The inbox in a ReleasePolicy object, oldest first. What somebody broke by hand in there is left out."""
    status = policy.get("status") if isinstance(policy, Mapping) else None
    entries = (status.get("inbox") if isinstance(status, Mapping) else None) or ()
    return tuple(told for entry in entries if (told := _read(entry)) is not None) if isinstance(entries, list) else ()


def _read(entry: object) -> Told | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("labels"), Mapping):
        return None
    heard, wrong = instant(entry.get("heard"), LAST_TIME)
    if wrong or not entry.get("fingerprint"):
        return None
    ended = instant(entry["ended"], LAST_TIME)[0] if entry.get("ended") else None
    return Told(
        fingerprint=str(entry["fingerprint"]),
        name=one_line(str(entry.get("alert", "")), LONGEST_NAME),
        labels={str(name): str(value) for name, value in entry["labels"].items()},
        since=instant(entry.get("since"), heard)[0],
        heard=heard,
        ended=ended,
        confirmed=entry.get("confirmed") is True,
        summary=str(entry.get("summary") or ""),
    )


def written(inbox: Iterable[Told]) -> list[dict[str, Any]]:
    """The inbox as it stands in the status."""
    return [
        {
            "fingerprint": told.fingerprint,
            "alert": told.name,
            "labels": dict(told.labels),
            "since": stamp(told.since),
            "heard": stamp(told.heard),
            **({"ended": stamp(told.ended)} if told.ended is not None else {}),
            "confirmed": told.confirmed,
            **({"summary": told.summary} if told.summary else {}),
        }
        for told in inbox
    ]


def joined(inbox: Iterable[Told], news: Iterable[Told]) -> tuple[Told, ...]:
    """The inbox after news, oldest first: the same whatever is told twice, and in whatever order it comes.

    A firing is known by fingerprint and beginning. Once it was confirmed it stays so; once it was told to be over it
    stays over; and the end of something that was never told to fire says nothing.
    """
    known = {(told.fingerprint, told.since): told for told in inbox}
    for told in news:
        key = (told.fingerprint, told.since)
        before = known.get(key)
        if before is None:
            if told.ended is None:
                known[key] = told
            continue
        known[key] = replace(
            before, ended=_first(before.ended, told.ended), confirmed=before.confirmed or told.confirmed
        )
    return tuple(sorted(known.values(), key=lambda each: (each.heard, each.fingerprint, each.since))[-MOST_TOLD:])


def _first(one: float | None, other: float | None) -> float | None:
    known = [at for at in (one, other) if at is not None]
    return min(known) if known else None


def cut(labels: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """The labels as an inbox keeps them, within bounds; those that were asked for first.

    A policy asks for values of 253 characters at most, so a longer one is as little asked for when it is cut.
    """
    kept = {name: value[:_LONGEST_VALUE] for name, value in sorted(labels.items()) if len(name) <= _LONGEST_VALUE}
    first = {name: kept[name] for name in sorted(set(wanted)) if name in kept}
    return dict(list({**first, **kept}.items())[: max(_MOST_LABELS, len(first))])
