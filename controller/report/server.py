"""The process over HTTP: /metrics, /healthz (the scheduler lives), /readyz (the cluster is seen as it is now).

Alive does not mean connected: a controller that lost the API server is restarted by nobody, because a restart would
not bring the server back and would lose the watch cache.
"""

from __future__ import annotations

from collections.abc import Callable

from controller.listener import Exchange, Listener

Page = tuple[int, str, bytes]
Routes = dict[str, Callable[[], Page]]


def words(status: int, text: str) -> Page:
    """A page of one plain line."""
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()


class Server(Listener):
    """Serves `routes` at an address until stopped. Port 0 takes a free one. Raises OSError where it cannot listen."""

    def __init__(self, address: tuple[str, int], routes: Routes) -> None:
        class Visit(Exchange):
            def do_GET(self) -> None:
                page = routes.get(self.path.partition("?")[0])
                self.say(*(page() if page is not None else words(404, "not here")))

        super().__init__(address, Visit, "http")
