"""One POST to one endpoint, signed where there is a secret.

    Nightferry-Id: <the same for a repetition of the same question>
    Nightferry-Timestamp: <seconds since the epoch>
    Nightferry-Signature: v1=<hex of HMAC-SHA256(secret, id "." timestamp "." body)>

The receiver refuses a time stamp older than a few minutes, and answers an id that it knows as it did before: so a call
that somebody has recorded is worth nothing later. No redirect is followed: it would carry the question and its
signature elsewhere. The secret is in no message; an endpoint's own words are shown by the gate, on one line.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from pathlib import Path

import requests
import urllib3

from controller import wire
from controller.clock import Clock
from controller.outside.settings import EndpointSettings
from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import CallWebhook, Spoken
from controller.sessions import paced_session
from controller.wire_faults import reason

MAX_BODY = 16 * 1024  # bytes of an answer, decompressed
MAX_SECRET = 4096  # bytes
_CONNECT_TIMEOUT = 2.0


class UnreadableSecret(Exception):
    """The file cannot be read, or holds no secret."""


class Post:
    """Calls one endpoint. Safe to share between threads: each has a session of its own."""

    def __init__(self, settings: EndpointSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._line = Line(clock, settings.timeout, settings.ca_file)

    def send(self, call: CallWebhook) -> Spoken | Failure:
        """The endpoint's answer as it came, or why there is none. Never raises for the endpoint's faults."""
        body = json.dumps(call.payload, sort_keys=True, separators=(",", ":")).encode()
        try:
            secret = read_secret(self._settings.secret_file)
        except UnreadableSecret as error:
            return Failure(FailureKind.UNAUTHORIZED, str(error))
        return self._line.send(self._settings.url, body, signed(call.id, body, secret, self._clock))


def signed(name: str, body: bytes, secret: bytes | None, clock: Clock) -> dict[str, str]:
    """The headers of a call; without a secret it carries its id and no signature."""
    at = f"{clock.now():.0f}"
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "nightferry",
        "Nightferry-Id": name,
        "Nightferry-Timestamp": at,
    }
    if secret is not None:
        signature = hmac.new(secret, b".".join((name.encode(), at.encode(), body)), hashlib.sha256).hexdigest()
        headers["Nightferry-Signature"] = f"v1={signature}"
    return headers


def read_secret(path: Path) -> bytes:
    """The secret in a file; read for each call, because somebody else rotates it. Raises UnreadableSecret."""
    try:
        with path.open("rb") as stream:
            secret = stream.read(MAX_SECRET + 1).strip()
    except OSError:
        raise UnreadableSecret(f"{path} cannot be read") from None
    if not secret or len(secret) > MAX_SECRET:
        raise UnreadableSecret(f"{path} holds no secret of 1 to {MAX_SECRET} bytes")
    return secret


class Line:
    """Posts bodies, bounded in time (`timeout` seconds for one whole call) and in the size of the answer."""

    def __init__(self, clock: Clock, timeout: float, ca_file: Path | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._ca_file = ca_file
        self._own = threading.local()

    def send(self, url: str, body: bytes, headers: dict[str, str], *, listens: bool = True) -> Spoken | Failure:
        """The answer as it came, or why there is none. Who does not listen wants the status alone."""
        try:
            with wire.deadline(self._clock, self._timeout):
                response = self._session(url).post(
                    url,
                    data=body,
                    headers=headers,
                    timeout=(min(_CONNECT_TIMEOUT, self._timeout), self._timeout),
                    stream=True,
                    allow_redirects=False,
                )
                try:
                    return Spoken(response.status_code, wire.read_body(response.raw, MAX_BODY) if listens else b"")
                finally:
                    if not response.raw.closed:
                        response.close()
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, wire.TooLarge) as error:
            return Failure(FailureKind.UNAVAILABLE, reason(error))

    def _session(self, url: str) -> requests.Session:
        found: requests.Session | None = getattr(self._own, "session", None)
        if found is None:
            found = self._own.session = paced_session(url, verify=str(self._ca_file or "") or True)
        return found
