"""One post of Alertmanager's webhook (version 4), read and judged: a value, or the field that is wrong.

Unknown fields are ignored: a newer Alertmanager says more. Missing ones are not filled in: what the post does not say
is not made up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from controller.inbox import instant, name_of
from controller.wire import one_line

VERSION = "4"


class _Alert(msgspec.Struct):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    startsAt: str
    fingerprint: str
    annotations: dict[str, str] = {}
    endsAt: str = ""


class _Post(msgspec.Struct):
    version: str
    alerts: list[_Alert]
    truncatedAlerts: int = 0


_post = msgspec.json.Decoder(_Post)
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")
_FIELD = re.compile(r"field `(?P<field>[^`]+)`")


@dataclass(frozen=True, slots=True)
class Posted:
    """One alert of a post. since: epoch seconds, never after its receipt; wrong: why that had to be put right."""

    fingerprint: str
    name: str
    labels: dict[str, str]
    since: float
    ended: bool
    summary: str
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Post:
    """What a post says. `truncated`: how many alerts Alertmanager has left out."""

    alerts: tuple[Posted, ...]
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a body is no post: the field, and what is wrong with it, in one line."""

    field: str
    because: str


def read_post(body: bytes, received: float) -> Post | Malformed:
    """The post in a body that came at `received` (epoch seconds)."""
    try:
        found = _post.decode(body)
    except msgspec.ValidationError as error:
        return _malformed(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Malformed("body", f"no JSON: {one_line(str(error), 160)}")
    if found.version != VERSION:
        return Malformed("version", f"found {one_line(found.version, 20)!a}, and this receiver knows {VERSION}")
    for index, each in enumerate(found.alerts):
        if not each.fingerprint.strip():
            return Malformed(f"alerts[{index}].fingerprint", "empty")
        if not each.labels:
            return Malformed(f"alerts[{index}].labels", "no label")
    return Post(tuple(_posted(each, received) for each in found.alerts), max(0, found.truncatedAlerts))


def _posted(alert: _Alert, received: float) -> Posted:
    since, wrong = instant(alert.startsAt, received)
    notes = alert.annotations
    return Posted(
        fingerprint=one_line(alert.fingerprint, 64),
        name=name_of(alert.labels),
        labels=alert.labels,
        since=since,
        # endsAt says nothing more: 0001-01-01 while it fires, or when it will be taken for over unless told again.
        ended=alert.status == "resolved",
        summary=one_line(notes.get("summary") or notes.get("description") or "", 256),
        wrong=wrong,
    )


def _malformed(message: str) -> Malformed:
    """The decoder's message with the field in the words of the JSON."""
    path = _PATH.search(message)
    where = path["path"].replace("[...]", "[]") if path is not None else ""
    missing = _FIELD.search(message)
    if missing is not None:
        where = f"{where}.{missing['field']}".lstrip(".")
    return Malformed(where or "body", one_line(_PATH.sub("", message), 160))
