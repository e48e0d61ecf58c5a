"""The part of the controller's configuration that says who can be told: webhooks and e-mail.

Whoever writes a policy names a notifier and never an address, a mailbox or a password: those are the operator's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controller.addresses import FileName, Url
from controller.outside.settings import HookSettings, MailSettings, NotifierSettings
from controller.outside.settings import Template as Words
from controller.outside.wording import MARKS, unknown_marks
from policies.model import Part, Problem, refused
from policies.names import NotifierName
from policies.values import Duration

# What every mail server takes; more (quotes, comments, groups) could begin a second header or receiver.
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"{_LABEL}(\.{_LABEL}){{0,30}}"
_ADDRESS = re.compile(rf"[A-Za-z0-9._+=/-]{{1,64}}@{_NAME}")
_ADDRESS_ALLOWED = "an e-mail address such as night-shift@example.org"
_SERVER = re.compile(rf"(?P<host>\[[0-9a-fA-F:]+\]|{_NAME}):(?P<port>[0-9]{{1,5}})")
_SERVER_ALLOWED = "host:port such as mail.example.org:587"
MOST_RECEIVERS = 50


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise refused(_ADDRESS_ALLOWED)
    return text


def _server(text: str) -> str:
    found = _SERVER.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= 65535:
        raise refused(_SERVER_ALLOWED, "no server" if "@" in text else "")
    return text


def _words(text: str) -> str:
    if not text.strip() or len(text) > 8192:
        raise refused("a text of 1 to 8192 characters")
    if unknown := unknown_marks(text):
        found = "a $ that is no mark (write $$)" if unknown == ["$"] else ", ".join(f"${name}" for name in unknown)
        raise refused("the marks " + ", ".join(f"${name}" for name in MARKS), found)
    return text


MailAddress = Annotated[str, AfterValidator(_address)]
MailServer = Annotated[str, AfterValidator(_server)]
Marked = Annotated[str, AfterValidator(_words)]


class TemplatePart(Part):
    """The words of a notice; values are put in place of marks such as $app, $release, $words and $because."""

    subject: Marked | None = Field(default=None, description="One line. Default: $app: $words ($release).")
    text: Marked | None = Field(default=None, description="The text below it.")

    def problems(self) -> Iterator[Problem]:
        if self.subject is not None and not self.subject.isprintable():
            yield Problem(("subject",), "more than one line", "one line of printable characters")


class HookPart(Part):
    """A receiver of JSON."""

    url: Url | None = Field(default=None, description="Where notices are posted to.")
    url_file: FileName | None = Field(
        default=None, description="A file with that address, where the address itself is a secret."
    )
    format: Literal["generic", "slack"] = Field(
        default="generic",
        description="generic: every field as JSON. slack: a text, as Slack, Mattermost and others take it.",
    )
    secret_file: FileName | None = Field(default=None, description="A file with the secret that signs the posts.")
    ca_file: FileName | None = Field(default=None, description="A file with the certificates to trust.")
    timeout: Duration = Field(default=Duration.of("10s"), description="Longest time for one post.")

    def problems(self) -> Iterator[Problem]:
        if (self.url is None) == (self.url_file is None):
            found = "neither url nor urlFile" if self.url is None else "url and urlFile"
            yield Problem((), found, "exactly one of url and urlFile")
        yield from _times(self.timeout)


class EmailPart(Part):
    """A mail server, and who receives what it sends."""

    smtp: MailServer = Field(description="The mail server: host:port.")
    tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls", description="How the connection is encrypted; none sends in the clear, without credentials."
    )
    sender: MailAddress = Field(alias="from", description="The address that mails come from.")
    to: tuple[MailAddress, ...] = Field(
        strict=False, min_length=1, max_length=MOST_RECEIVERS, description="The addresses that mails go to."
    )
    credentials_file: FileName | None = Field(default=None, description="A file with user:password.")
    ca_file: FileName | None = Field(default=None, description="A file with the certificates to trust.")
    timeout: Duration = Field(default=Duration.of("20s"), description="Longest time for one mail.")

    def problems(self) -> Iterator[Problem]:
        if self.tls == "none" and self.credentials_file is not None:
            yield Problem(("credentialsFile",), "credentials with tls: none", "tls: starttls or implicit")
        yield from _times(self.timeout)


class NotifierPart(Part):
    """Who can be told, by one way."""

    name: NotifierName = Field(description="The name by which policies call the notifier.")
    webhook: HookPart | None = Field(default=None, description="By webhook.")
    email: EmailPart | None = Field(default=None, description="By e-mail.")
    template: TemplatePart = Field(default=TemplatePart(), description="Other words than the usual ones.")

    def problems(self) -> Iterator[Problem]:
        if (self.webhook is None) == (self.email is None):
            found = "neither webhook nor email" if self.webhook is None else "webhook and email"
            yield Problem((), found, "exactly one of webhook and email")

    def settings(self, folder: Path) -> NotifierSettings:
        """The notifier as its adapter knows it; relative file names count from the configuration's folder."""

        def placed(name: str | None) -> Path | None:
            return None if name is None else folder / name

        words = Words(self.template.subject, self.template.text)
        if (hook := self.webhook) is not None:
            return HookSettings(
                name=self.name,
                url=hook.url or "",
                url_file=placed(hook.url_file),
                format=hook.format,
                secret_file=placed(hook.secret_file),
                ca_file=placed(hook.ca_file),
                timeout=hook.timeout.seconds,
                template=words,
            )
        mail = self.email
        assert mail is not None
        host, _, port = mail.smtp.rpartition(":")
        return MailSettings(
            name=self.name,
            host=host.strip("[]"),
            port=int(port),
            sender=mail.sender,
            to=mail.to,
            tls=mail.tls,
            credentials_file=placed(mail.credentials_file),
            ca_file=placed(mail.ca_file),
            timeout=mail.timeout.seconds,
            template=words,
        )


def _times(timeout: Duration) -> Iterator[Problem]:
    if not 0.1 <= timeout.seconds <= 60:
        yield Problem(("timeout",), str(timeout), "between 100ms and 1m")
