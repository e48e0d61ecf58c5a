"""Carries one range query to a Prometheus API and brings its answer back whole, in time, and not too large.

The query goes through `prometheus-api-client` with a session of our own, because that library, left alone, puts a POST
query into the URL, retries and sleeps in silence, follows redirects, has no deadline, and drops the warnings of an
answer. The session does the call itself and gives the library the raw body to hand through; the exact instants
override the library's, which it rounds to whole seconds.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import msgspec
import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from requests.utils import get_environ_proxies

from controller import wire
from controller.clock import Clock
from controller.credentials import Credentials, UnreadableCredentials
from controller.metrics.settings import SourceSettings
from controller.requests.failure import Failure, FailureKind
from controller.sessions import ONCE, Paced
from controller.wire_faults import reason

MAX_BODY = 8 * 1024 * 1024  # bytes, decompressed
EXCERPT = 256  # bytes of an answer that a message may show
_CONNECT_TIMEOUT = 2.0

_KINDS: dict[int, FailureKind] = {
    400: FailureKind.INVALID,
    401: FailureKind.UNAUTHORIZED,
    403: FailureKind.FORBIDDEN,
    422: FailureKind.INVALID,
    429: FailureKind.THROTTLED,
}


class Cause(StrEnum):
    """What a caller may do about a fault other than to wait."""

    TOO_LARGE = "TooLarge"
    TIMED_OUT = "TimedOut"
    REFUSED = "Refused"
    OTHER = "Other"


@dataclass(frozen=True, slots=True)
class Fault:
    """A Failure, and what it comes from."""

    failure: Failure
    cause: Cause = Cause.OTHER


class _Said(msgspec.Struct):
    error: str


_said = msgspec.json.Decoder(_Said)


class _Refused(Exception):
    """An answer with another status than 200."""

    def __init__(self, status: int, body: bytes, retry_after: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body, self.retry_after = status, body, retry_after


class _Raw:
    """A successful answer as the library reads it: what it takes for the result is the whole body."""

    status_code = 200

    def __init__(self, body: bytes) -> None:
        self._body = body

    def json(self) -> dict[str, dict[str, bytes]]:
        return {"data": {"result": self._body}}


class _Session(requests.Session):
    """One bounded call at a time; for one thread."""

    def __init__(self, settings: SourceSettings, credentials: Credentials, clock: Clock) -> None:
        super().__init__()
        self._settings = settings
        self._credentials = credentials
        self._clock = clock
        self.trust_env = False  # a .netrc would replace our Authorization; proxies are taken below
        self.proxies = get_environ_proxies(settings.url)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.verify = False if settings.insecure_skip_verify else str(settings.ca_file or "") or True

    def get_redirect_target(self, resp: requests.Response) -> None:
        """No redirect is ever followed: it would carry the query and the token elsewhere."""

    def request(self, method: str, url: str, params: Any = None, **_: Any) -> Any:  # type: ignore[override]
        """The library's call. Raises _Refused, and what a transport raises."""
        with wire.deadline(self._clock, self._settings.timeout):
            body = self._call(method, url, params)
            if body is None:
                self._credentials.forget()
                body = self._call(method, url, params)
        if body is None:
            raise _Refused(401, b"", "")
        return _Raw(body)

    def _call(self, method: str, url: str, params: Any) -> bytes | None:
        """The body of a 200, or None for a 401 where reading the credentials again may help."""
        response = super().request(
            method,
            url,
            data=params,
            headers={"Accept": "application/json", "User-Agent": "nightferry", **self._credentials.headers()},
            timeout=(_CONNECT_TIMEOUT, self._settings.timeout),
            stream=True,
            allow_redirects=False,
        )
        try:
            if response.status_code == 401 and self._credentials.any:
                return None
            body = wire.read_body(response.raw, MAX_BODY)
        finally:
            if not response.raw.closed:
                response.close()
        if response.status_code != 200:
            raise _Refused(response.status_code, body, response.headers.get("Retry-After", ""))
        return body


class Transport:
    """Queries to one source. Safe to share between threads: each thread has a session of its own."""

    def __init__(self, settings: SourceSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._credentials = Credentials(settings.bearer_token_file, settings.basic_auth_file, clock)
        self._own = threading.local()

    def query_range(self, query: str, *, start: float, end: float, step: float) -> bytes | Failure:
        """The body of a successful answer, not judged further. `start` and `end` in epoch seconds, both asked for."""
        answer = self.ask_range(query, start=start, end=end, step=step)
        return answer.failure if isinstance(answer, Fault) else answer

    def ask_range(self, query: str, *, start: float, end: float, step: float) -> bytes | Fault:
        """As `query_range`, for callers that need the cause of a failure."""
        exact = {
            "start": f"{start:.3f}",
            "end": f"{end:.3f}",
            "timeout": f"{round(self._settings.timeout * 1000)}ms",
            "partial_response": "false",  # Thanos; the others do not know it and do not mind
        }
        try:
            body: bytes = self._connect().custom_query_range(
                query,
                datetime.fromtimestamp(start, UTC),
                datetime.fromtimestamp(end, UTC),
                f"{step:.3f}",
                params=exact,
            )
        except _Refused as refused:
            return Fault(self._failure(refused), _cause(refused))
        except UnreadableCredentials as error:
            failure = Failure(FailureKind.UNAUTHORIZED, f"source {self._settings.name}: {error}")
            return Fault(failure, Cause.REFUSED)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, wire.TooLarge) as error:
            why = reason(error)
            failure = Failure(FailureKind.UNAVAILABLE, f"source {self._settings.name}: {why}")
            if isinstance(error, wire.TooLarge):
                return Fault(failure, Cause.TOO_LARGE)
            return Fault(failure, Cause.TIMED_OUT if why == "timed out" else Cause.OTHER)
        return body

    def _connect(self) -> PrometheusConnect:
        found: PrometheusConnect | None = getattr(self._own, "connect", None)
        if found is None:
            session = _Session(self._settings, self._credentials, self._clock)
            url = self._settings.url.rstrip("/")
            found = PrometheusConnect(url, session=session, retry=ONCE, method="POST")
            # The library has mounted an adapter of its own for this address.
            session.mount(url, Paced(max_retries=ONCE))
            self._own.connect = found
        return found

    def _failure(self, refused: _Refused) -> Failure:
        kind = _KINDS.get(refused.status, FailureKind.UNAVAILABLE)
        text = refused.retry_after.strip()
        wait = min(float(text), 300.0) if text.isascii() and text.isdigit() else None
        if kind is FailureKind.THROTTLED and wait is None:
            wait = 1.0
        try:
            said = wire.one_line(_said.decode(refused.body).error, EXCERPT)
        except (msgspec.DecodeError, RecursionError):
            said = excerpt(refused.body)
        message = f"source {self._settings.name}: HTTP {refused.status}: {self.hidden(said)}"
        return Failure(kind, message.rstrip(": "), wait)

    def hidden(self, text: str) -> str:
        """A server's own words without our secrets."""
        return self._credentials.hidden(text)


def _cause(refused: _Refused) -> Cause:
    """What an answer with another status than 200 comes from, as far as its status and its own words say."""
    if refused.status in (400, 401, 403, 422):
        # Stores with limits of their own say in words that a query has hit one (Prometheus: 422, "too many samples").
        limits = (b"too many samples", b"exceeded maximum resolution", b"(limit: ")
        return Cause.TOO_LARGE if any(words in refused.body for words in limits) else Cause.REFUSED
    return Cause.TIMED_OUT if refused.status in (408, 504) or b"timed out" in refused.body else Cause.OTHER


def excerpt(body: bytes) -> str:
    """The beginning of an answer, escaped to one line, for a message."""
    return wire.one_line(body[:EXCERPT].decode(errors="backslashreplace"), EXCERPT)
