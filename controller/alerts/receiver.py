"""The listener for Alertmanager's posts: POST /alerts, and nothing else.

In this order, so that a stranger costs nothing: the path, the token, the length, the body, what it says. Nothing of a
body is read before its sender is known. 200 only after everything is in the cluster; 503 where it is not, and
Alertmanager sends it again.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from controller.alerts.posts import Malformed, Post, read_post
from controller.alerts.settings import AlertsSettings
from controller.clock import Clock
from controller.requests.failure import Failure, FailureKind
from controller.wire import one_line

MOST_BYTES = 1024 * 1024
MOST_AT_ONCE = 64
_PATIENCE = 10.0  # seconds for a client to send its request, and to take the answer
_LONGEST_TOKEN = 8192
PATH = "/alerts"

Take = Callable[[Post, float], Failure | None]


class Doorkeeper(Protocol):
    """Who knows whether the bearer of a token may post."""

    def judge(self, token: str) -> Failure | None:
        """None for a bearer who may; UNAUTHORIZED, FORBIDDEN, or that nobody can be asked."""


Counted = Callable[[str], None]


class Receiver:
    """Listens until stopped. Port 0 takes a free one. Raises OSError where it cannot listen, or has no certificate.

    `take` keeps what a post says. `counted` hears how each request ended, in a word.
    """

    def __init__(self, settings: AlertsSettings, door: Doorkeeper, take: Take, clock: Clock, counted: Counted) -> None:
        assert settings.listen is not None
        room = threading.BoundedSemaphore(MOST_AT_ONCE)
        certificate = _Certificate(settings) if settings.cert_file is not None else None
        if certificate is not None:
            certificate.current()

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE
            wbufsize = -1  # head and body in one piece
            protocol_version = "HTTP/1.1"
            server_version = "nightferry"
            sys_version = ""

            def do_POST(self) -> None:
                status, word, text = _answer(self, door, take, clock)
                counted(word)
                self._say(status, text)

            def do_GET(self) -> None:
                counted("lost")
                self._say(405 if self.path == PATH else 404, "this listener takes POST /alerts only")

            do_HEAD = do_PUT = do_DELETE = do_PATCH = do_GET

            def _say(self, status: int, text: str) -> None:
                body = f"{text}\n".encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                if status != 200:
                    # What is left of the request was not read, and must not become the next one.
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """What matters is counted."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            address_family = socket.AF_INET6 if ":" in settings.listen[0] else socket.AF_INET  # type: ignore[index]

            def process_request(self, request: Any, client_address: Any) -> None:
                if not room.acquire(blocking=False):
                    counted("busy")
                    self.shutdown_request(request)
                    return
                super().process_request(request, client_address)

            def process_request_thread(self, request: Any, client_address: Any) -> None:
                try:
                    super().process_request_thread(request, client_address)
                finally:
                    room.release()

            def finish_request(self, request: Any, client_address: Any) -> None:
                if certificate is None:
                    super().finish_request(request, client_address)
                    return
                request.settimeout(_PATIENCE)
                with certificate.current().wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)

            def handle_error(self, *_: object) -> None:
                """A client that went away, or speaks no TLS, is no fault of ours."""

        self._listener = Listener(settings.listen, Handler)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.2,), name="alerts", daemon=True)

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self._listener.server_address[1])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answers no more."""
        self._listener.shutdown()
        self._listener.server_close()


class _Certificate:
    """The certificate, read again whenever its file has changed: somebody else rotates it."""

    def __init__(self, settings: AlertsSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: tuple[float, ssl.SSLContext] | None = None

    def current(self) -> ssl.SSLContext:
        told = self._settings
        assert told.cert_file is not None
        with self._lock:
            changed = told.cert_file.stat().st_mtime
            if self._known is None or self._known[0] != changed:
                try:
                    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    made.load_cert_chain(told.cert_file, told.key_file)
                except (OSError, ValueError):
                    if self._known is None:
                        raise
                    return self._known[1]  # in the middle of being replaced
                self._known = (changed, made)
            return self._known[1]


def _answer(request: BaseHTTPRequestHandler, door: Doorkeeper, take: Take, clock: Clock) -> tuple[int, str, str]:
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


def _refused(request: BaseHTTPRequestHandler, door: Doorkeeper) -> tuple[int, str, str] | None:
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


def _length(request: BaseHTTPRequestHandler) -> int | None:
    text = (request.headers.get("Content-Length") or "").strip()
    if request.headers.get("Transfer-Encoding") or not (text.isascii() and text.isdigit()) or len(text) > 12:
        return None
    return int(text)


def _body(request: BaseHTTPRequestHandler, length: int, clock: Clock) -> bytes:
    """So many bytes, or those that came in time before the client stopped."""
    pieces: list[bytes] = []
    until = clock.monotonic() + _PATIENCE
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
