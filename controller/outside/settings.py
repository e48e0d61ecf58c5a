"""What the controller's configuration says of endpoints that webhook gates may call, and of notifiers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One endpoint. `secret_file` holds the key that signs the calls; `timeout` in seconds for one whole call."""

    name: str
    url: str
    secret_file: Path
    timeout: float = 5.0
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """The words of a notice where they are not the usual ones, with marks such as $app; None: the usual ones."""

    subject: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class HookSettings:
    """A notifier that posts JSON. Exactly one of `url` and `url_file`; a secret signs the posts."""

    name: str
    url: str = ""
    url_file: Path | None = None  # an address that is itself a secret
    format: Literal["generic", "slack"] = "generic"
    secret_file: Path | None = None
    ca_file: Path | None = None
    timeout: float = 10.0
    template: Template = Template()

    @property
    def key(self) -> str:
        """The word by which policies mean it."""
        return f"webhook/{self.name}"


@dataclass(frozen=True, slots=True)
class MailSettings:
    """A notifier that sends e-mail. `credentials_file` holds user:password; `timeout` in seconds for a whole mail."""

    name: str
    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    credentials_file: Path | None = None
    ca_file: Path | None = None
    timeout: float = 20.0
    template: Template = Template()

    @property
    def key(self) -> str:
        """The word by which policies mean it."""
        return f"email/{self.name}"


NotifierSettings = HookSettings | MailSettings
