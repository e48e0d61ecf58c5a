"""What the controller's configuration says of alerts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AlertmanagerSettings:
    """One Alertmanager. `url` is the base address, `timeout` the seconds for one question.

    Credentials are names of files, never the secrets themselves; `basic_auth_file` holds `user:password`.
    """

    name: str
    url: str
    timeout: float = 5.0
    bearer_token_file: Path | None = None
    basic_auth_file: Path | None = None
    ca_file: Path | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class AlertsSettings:
    """Every Alertmanager of one house, and where their posts come in (None: nowhere).

    watchdog: labels of an alert that always fires; without it nobody evaluates rules, and nothing is known.
    """

    alertmanagers: tuple[AlertmanagerSettings, ...] = ()
    watchdog: tuple[tuple[str, str], ...] = ()
    listen: tuple[str, int] | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
