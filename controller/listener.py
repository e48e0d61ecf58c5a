"""A listener of ours for HTTP: an address, a certificate if there is one, and a bound on clients if there is one."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class Exchange(BaseHTTPRequestHandler):
    """One request of a client and its answer. `timeout`: seconds for a client to send, and to take the answer."""

    timeout: ClassVar[float] = 10.0
    wbufsize = -1  # head and body in one piece
    server_version = "nightferry"
    sys_version = ""

    def say(self, status: int, kind: str, body: bytes, *, last: bool = False) -> None:
        """Answers. `last`: what is left of the request was not read, and must not become the next one."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if last:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """What matters is counted, and probes that come every few seconds are no news."""


class Certificate:
    """The certificate of a listener, read again whenever its file has changed: somebody else rotates it.

    Raises OSError or ValueError where there is none to begin with.
    """

    def __init__(self, cert_file: Path, key_file: Path | None) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._lock = threading.Lock()
        self._known = self._read()

    def current(self) -> ssl.SSLContext:
        """What the next client is shown."""
        with self._lock:
            # In the middle of being replaced it cannot be read: the one that is known holds.
            with contextlib.suppress(OSError, ValueError):
                if self._known[0] != self._cert_file.stat().st_mtime:
                    self._known = self._read()
            return self._known[1]

    def _read(self) -> tuple[float, ssl.SSLContext]:
        changed = self._cert_file.stat().st_mtime
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self._cert_file, self._key_file)
        return changed, made


class Listener:
    """Listens at an address until stopped. Port 0 takes a free one. Raises OSError where it cannot listen.

    most: clients at once, None for any number; `busy` hears of each that is turned away.
    """

    def __init__(
        self,
        address: tuple[str, int],
        exchange: type[Exchange],
        name: str,
        *,
        certificate: Certificate | None = None,
        most: int | None = None,
        busy: Callable[[], None] = lambda: None,
    ) -> None:
        room = threading.BoundedSemaphore(most) if most is not None else None

        class Sockets(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET

            def process_request(self, request: Any, client_address: Any) -> None:
                if room is not None and not room.acquire(blocking=False):
                    busy()
                    self.shutdown_request(request)
                    return
                super().process_request(request, client_address)

            def process_request_thread(self, request: Any, client_address: Any) -> None:
                try:
                    super().process_request_thread(request, client_address)
                finally:
                    if room is not None:
                        room.release()

            def finish_request(self, request: Any, client_address: Any) -> None:
                if certificate is None:
                    super().finish_request(request, client_address)
                    return
                request.settimeout(exchange.timeout)
                with certificate.current().wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)

            def handle_error(self, *_: object) -> None:
                """A client that went away in mid-answer, or speaks no TLS, is no fault of ours."""

        self._sockets = Sockets(address, exchange)
        self._thread = threading.Thread(target=self._sockets.serve_forever, args=(0.2,), name=name, daemon=True)

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self._sockets.server_address[1])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answers no more."""
        self._sockets.shutdown()
        self._sockets.server_close()
