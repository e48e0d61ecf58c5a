"""The Authorization header of a metric source or an Alertmanager, read from a file that somebody else rotates."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

from controller.clock import Clock

MAX_AGE = 60.0  # seconds after which a file is read again


class UnreadableCredentials(Exception):
    """A credentials file cannot be read, or holds nothing that fits in a header. The message names the file only."""


class Credentials:
    """Reads a token file or a user file; again each minute, and whenever `forget` says that it was refused."""

    def __init__(self, token: Path | None, user: Path | None, clock: Clock) -> None:
        self._token, self._user = token, user
        self._clock = clock
        self._lock = threading.Lock()
        self._header: str | None = None
        self._read_at: float | None = None
        self._secrets: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there are credentials at all."""
        return self._token is not None or self._user is not None

    def headers(self) -> dict[str, str]:
        """The headers to send. Raises UnreadableCredentials."""
        if not self.any:
            return {}
        with self._lock:
            now = self._clock.monotonic()
            if self._header is None or self._read_at is None or now - self._read_at >= MAX_AGE:
                self._header, self._read_at = self._read(), now
            return {"Authorization": self._header}

    def forget(self) -> None:
        """Makes the next call read the file."""
        with self._lock:
            self._read_at = None

    def hidden(self, text: str) -> str:
        """A text without our secrets, for a message: a proxy's error page may echo what it was sent."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _read(self) -> str:
        path = self._token or self._user
        assert path is not None  # `any` was asked
        try:
            text = path.read_text().strip()
        except (OSError, ValueError):
            raise UnreadableCredentials(f"{path} cannot be read") from None
        if not text or not text.isascii() or not text.isprintable():
            raise UnreadableCredentials(f"{path} does not hold one line of printable ASCII")
        if self._token is not None:
            self._secrets = (text,)
            return f"Bearer {text}"
        user, separator, password = text.partition(":")
        if not (user and separator and password):
            raise UnreadableCredentials(f"{path} does not hold user:password")
        packed = base64.b64encode(text.encode()).decode()
        self._secrets = (packed, password)
        return f"Basic {packed}"
