"""A real SMTP server in the test's own process, and what it received."""

from __future__ import annotations

import contextlib
import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from controller.outside.settings import MailSettings


class Inbox:
    """What the mail server received; `answer` is said to each mail instead of accepting it."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.receivers: list[list[str]] = []
        self.answer = "250 accepted"
        self.unknown: set[str] = set()

    async def handle_RCPT(self, _: Any, __: Any, envelope: Envelope, address: str, ___: Any) -> str:
        if address in self.unknown:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        if self.answer.startswith("250"):
            found = email.message_from_bytes(content, policy=email.policy.default)
            assert isinstance(found, EmailMessage)
            self.mails.append(found)
            self.receivers.append(list(envelope.rcpt_tos))
        return self.answer


class Listening(Controller):
    """aiosmtpd at a port of the system's choice."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd says of itself that it is typed


@contextlib.contextmanager
def mail_server(inbox: Inbox, **options: Any) -> Iterator[MailSettings]:
    running = Listening(inbox, hostname="127.0.0.1", port=0, ready_timeout=60.0, **options)
    running.start()
    try:
        yield MailSettings("shift", "127.0.0.1", running.port, "ferry@shop.example", ("a@shop.example",), tls="none")
    finally:
        running.stop()
