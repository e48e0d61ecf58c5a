"""The words of a notice: a subject, a text, and what goes with them; pure, and the same for every notifier.

A template is the operator's, its values are not: they are put in place of marks such as $app and never read as a
template. Whatever could be a line of its own in a header, or a mention in a chat, is taken out of them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.morning import brief, html, markdown, report_from
from controller.outside.settings import Template
from controller.release.words import command, printable
from controller.requests.outside import Deliver

MARKS = (
    "app", "at", "batch", "batches", "because", "cause", "event", "id", "images", "namespace", "reason", "release",
    "requestedBy", "words",
)  # fmt: skip
MOST_SUBJECT = 160
_WORDS: Mapping[str, str] = {
    "started": "a release has begun",
    "advanced": "the release goes on",
    "paused": "the release stands still",
    "resumed": "the release goes on after a pause",
    "rollingBack": "the release turns back",
    "rolledBack": "the release was rolled back",
    "succeeded": "the release has succeeded",
    "needsHuman": "the release needs a person",
    "cancelled": "the release was cancelled before its start",
    "superseded": "a newer release takes this one's place",
    "windowMissed": "the release missed its window",
    "watchBlind": "nobody can see how the released version does",
    "test": "this is a test",
}
_SUBJECT = "$app: $words ($release)"
_TEXT = """$app: $words

$because

release    $release in namespace $namespace
version    $images
asked by   $requestedBy
at         $at

nightferry explain $release -n $namespace
"""


@dataclass(frozen=True, slots=True)
class Worded:
    """One notice in words. attachments: (file name, MIME subtype of text or application, content). chat: the text for
    a chat, where that is another one. whole: the command that shows what may be cut."""

    subject: str
    text: str
    attachments: tuple[tuple[str, str, str], ...] = ()
    chat: str = ""
    whole: str = ""


def worded(notice: Deliver, template: Template) -> Worded:
    """The words of a notice or of a report."""
    if notice.payload.get("event") == "report":
        return _report(notice.payload)
    values = _values(notice)
    subject = string.Template(template.subject or _SUBJECT).safe_substitute({k: one_line(v) for k, v in values.items()})
    text = string.Template(template.text or _TEXT).safe_substitute(values)
    whole = command("explain", values["release"], values["namespace"])
    return Worded(one_line(subject)[:MOST_SUBJECT], text, whole=whole)


def unknown_marks(text: str) -> list[str]:
    """The marks of a template that no notice has; a text with a stray $ has "$"."""
    found = string.Template(text)
    if not found.is_valid():
        return ["$"]
    return sorted({name for name in found.get_identifiers() if name not in MARKS})


def one_line(text: str) -> str:
    """The text on one line, without characters that steer a terminal or begin a header."""
    return " ".join(printable(text).split())


_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_LINK = re.compile(r"\](?=\s*[(\[:])")  # of Markdown, which some chats know


def chat(text: str) -> str:
    """The text as a chat shows it: what it could read as a mention, or as a link under other words, is only text."""
    text = _LINK.sub("]\u200b", _MENTION.sub("@\u200b", text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _values(notice: Deliver) -> dict[str, str]:
    payload = notice.payload
    told = {mark: one_line(str(payload.get(mark, ""))) for mark in MARKS}
    images = payload.get("images") or {}
    event = str(payload.get("event", ""))
    reason = told["reason"]
    return {
        **told,
        "id": notice.id,
        "images": one_line(", ".join(str(image) for image in images.values())) or "unchanged images",
        "words": _WORDS.get(event, event),
        "requestedBy": (told["requestedBy"] or "nobody in particular") + (f": {reason}" if reason else ""),
    }


def _report(payload: Mapping[str, Any]) -> Worded:
    """A report is made into pages here, beside the ticks."""
    found = report_from(payload)
    pages = (("nightferry-report.html", "html", html(found)),)
    whole = next((command("report", ride.train, ride.namespace, flag="--train") for ride in found.trains), "")
    return Worded(one_line(str(payload.get("title", "")))[:MOST_SUBJECT], markdown(found), pages, brief(found), whole)
