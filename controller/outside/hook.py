"""Notices by webhook: one bounded POST, as plain JSON or as a chat takes it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from controller.addresses import split
from controller.clock import Clock
from controller.outside.post import Line, UnreadableSecret, read_secret, signed
from controller.outside.settings import HookSettings
from controller.outside.wording import chat, worded
from controller.requests.failure import Failure
from controller.requests.outside import Deliver

_LATER = frozenset({408, 425, 429, *range(500, 600)})  # statuses by which a server says that it could take it later
MOST_TEXT = 30_000  # characters of a text that chats take
_BEGUN = re.compile(r"&[a-z]*\Z")  # `&amp;` and its like, cut short


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to. later: the notifier may take it another time; refused: only if somebody changes it."""

    state: Literal["sent", "later", "refused"]
    because: str = ""


class Hook:
    """Posts to one address. Safe to share between threads."""

    def __init__(self, settings: HookSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._line = Line(clock, settings.timeout, settings.ca_file)

    def send(self, notice: Deliver) -> Outcome:
        """One try; never raises for the receiver's faults, and never names an address that came from a file."""
        told = self._settings
        body = json.dumps(self._body(notice), sort_keys=True, separators=(",", ":")).encode()
        try:
            url = told.url if told.url_file is None else _address(read_secret(told.url_file))
            secret = None if told.secret_file is None else read_secret(told.secret_file)
        except UnreadableSecret as error:
            return Outcome("refused", str(error))
        if not url:
            return Outcome("refused", f"{told.url_file} holds no address that begins with https:// or http://")
        # A status is all that counts: what was taken must not be sent again for the sake of a long or slow answer.
        answer = self._line.send(url, body, signed(notice.id, body, secret, self._clock), listens=False)
        if isinstance(answer, Failure):
            return Outcome("later", answer.message)
        if 200 <= answer.status < 300:
            return Outcome("sent", f"HTTP {answer.status}")
        if 300 <= answer.status < 400:
            return Outcome("refused", f"HTTP {answer.status}: redirects are not followed; correct its url")
        words = f"HTTP {answer.status}"
        return Outcome("later", words) if answer.status in _LATER else Outcome("refused", f"{words}: check its url")

    def _body(self, notice: Deliver) -> dict[str, Any]:
        words = worded(notice, self._settings.template)
        if self._settings.format == "slack":
            return {"text": _cut(chat(f"*{words.subject}*\n{words.chat or words.text}"), words.whole)}
        return {**notice.payload, "id": notice.id, "subject": words.subject, "text": words.text}


def _address(secret: bytes) -> str:
    """The address in a file, or "" where it holds none."""
    try:
        text = secret.decode("ascii")
        parts, port = split(text)
    except ValueError:
        return ""
    whole = text.isprintable() and " " not in text and bool(parts.hostname) and port != 0
    return text if whole and text.startswith(("https://", "http://")) else ""


def _cut(text: str, whole: str) -> str:
    """What a chat takes of a text, not cut within the characters that stand for one, and saying that it was cut."""
    more = f"\n(cut here; {whole} has the rest)" if whole else "\n(cut here)"
    return text if len(text) <= MOST_TEXT else _BEGUN.sub("", text[: MOST_TEXT - len(more)]) + more
