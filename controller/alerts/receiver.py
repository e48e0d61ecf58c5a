"""The listener for Alertmanager's posts: POST /alerts, and nothing else.

In this order, so that a stranger costs nothing: the path, the token, the length, the body, what it says. Nothing of a
body is read before its sender is known. 200 only after everything is in the cluster; 503 where it is not, and
Alertmanager sends it again.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable, Iterator
from typing import Protocol

from controller.alerts.posts import Malformed, Post, read_post
from controller.alerts.settings import AlertsSettings
from controller.clock import Clock
from controller.listener import Certificate, Exchange, Listener
from controller.requests.failure import Failure, FailureKind
from controller.wire import one_line

MOST_BYTES = 1024 * 1024
MOST_AT_ONCE = 64
_LONGEST_TOKEN = 8192
PATH = "/alerts"

Take = Callable[[Post, float], Failure | None]


class Doorkeeper(Protocol):
    """Who knows whether the bearer of a token may post."""

    def judge(self, token: str) -> Failure | None:
        """None for a bearer who may; UNAUTHORIZED, FORBIDDEN, or that nobody can be asked."""


Counted = Callable[[str], None]


class Receiver(Listener):
    """Listens until stopped. Port 0 takes a free one. Raises OSError where it cannot listen, or has no certificate.

    `take` keeps what a post says. `counted` hears how each request ended, in a word.
    """

    def __init__(self, settings: AlertsSettings, door: Doorkeeper, take: Take, clock: Clock, counted: Counted) -> None:
        assert settings.listen is not None

        class Posting(Exchange):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                status, word, text = _answer(self, door, take, clock)
                counted(word)
                self._tell(status, text)

            def do_GET(self) -> None:
                counted("lost")
                self._tell(405 if self.path == PATH else 404, "this listener takes POST /alerts only")

            do_HEAD = do_PUT = do_DELETE = do_PATCH = do_GET

            def _tell(self, status: int, text: str) -> None:
                self.say(status, "text/plain; charset=utf-8", f"{text}\n".encode(), last=status != 200)

        super().__init__(
            settings.listen,
            Posting,
            "alerts",
            certificate=Certificate(settings.cert_file, settings.key_file) if settings.cert_file is not None else None,
            most=MOST_AT_ONCE,
            busy=lambda: counted("busy"),
        )


def _answer(request: Exchange, door: Doorkeeper, take: Take, clock: Clock) -> tuple[int, str, str]:
    """(status, a word for the count, a line for whoever asks)."""
    if request.path.partition("?")[0] != PATH:
        return 404, "lost", "not here"
    if (refused := _refused(request, door)) is not None:
        return refused
    length = _length(request)
    if length is None:
        return 411, "malformed", "Content-Length: a number of bytes is needed"
    if length > MOST_BYTES:
        return 413, "large", f"the body has {length} bytes, and {MOST_BYTES} are allowed: lower max_alerts"
    body = _body(request, length, clock)
    if len(body) < length:
        return 400, "cut", f"body: {len(body)} of {length} bytes came"
    received = clock.now()
    post = read_post(body, received)
    if isinstance(post, Malformed):
        return 400, "malformed", f"{post.field}: {post.because}"
    failure = take(post, received)
    if failure is not None:
        return 503, "unkept", f"not kept: {one_line(failure.message, 200)}"
    return 200, "kept", f"{len(post.alerts)} alerts"


def _refused(request: Exchange, door: Doorkeeper) -> tuple[int, str, str] | None:
    """Why the sender may not post, before anything of the body is read."""
    scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
    token = token.strip()
    if not hmac.compare_digest(scheme.lower().encode(), b"bearer") or not 0 < len(token) <= _LONGEST_TOKEN:
        return 401, "stranger", "a bearer token of a service account is needed"
    judged = door.judge(token)
    if judged is None:
        return None
    match judged.kind:
        case FailureKind.UNAUTHORIZED:
            return 401, "stranger", "the token is not accepted"
        case FailureKind.FORBIDDEN:
            return 403, "forbidden", one_line(judged.message, 200)
    return 503, "unjudged", f"nobody can say who this is: {one_line(judged.message, 160)}"


def _length(request: Exchange) -> int | None:
    text = (request.headers.get("Content-Length") or "").strip()
    if request.headers.get("Transfer-Encoding") or not (text.isascii() and text.isdigit()) or len(text) > 12:
        return None
    return int(text)


def _body(request: Exchange, length: int, clock: Clock) -> bytes:
    """So many bytes, or those that came in time before the client stopped."""
    pieces: list[bytes] = []
    until = clock.monotonic() + request.timeout
    with _in_time():
        while (left := length - sum(map(len, pieces))) > 0 and clock.monotonic() < until:
            piece = request.rfile.read1(min(left, 65536))
            if not piece:
                break
            pieces.append(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    try:
        yield
    except OSError:
        return  # the client went away, or was silent for too long: what came is all there is
