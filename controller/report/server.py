"""The process over HTTP: /metrics, /healthz (the scheduler lives), /readyz (the cluster is seen as it is now).

Alive does not mean connected: a controller that lost the API server is restarted by nobody, because a restart would
not bring the server back and would lose the watch cache.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Page = tuple[int, str, bytes]
Routes = dict[str, Callable[[], Page]]
_PATIENCE = 10.0  # seconds for a client to send its request


def words(status: int, text: str) -> Page:
    """A page of one plain line."""
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()


class Server:
    """Serves `routes` at an address until stopped. Port 0 takes a free one. Raises OSError where it cannot listen."""

    def __init__(self, address: tuple[str, int], routes: Routes) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE
            wbufsize = -1  # head and body in one piece
            server_version = "nightferry"
            sys_version = ""

            def do_GET(self) -> None:
                page = routes.get(self.path.partition("?")[0])
                status, kind, body = page() if page is not None else words(404, "not here")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes come every few seconds; they are no news."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET

            def handle_error(self, *_: object) -> None:
                """A client that went away in mid-answer is no fault of ours."""

        self._listener = Listener(address, Handler)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.2,), name="http", daemon=True)

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
