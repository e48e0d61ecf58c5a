"""The one HTTP client of the API server, and every way in which a call to it can fail.

The official client is used for configuration, credentials and TLS alone. Answers stay raw bytes, because its models
cost seconds for large lists, refuse what a newer server adds, and drop it on the way back. Nothing is retried in here
but one: after a 401 the credentials are read again and the call is made once more, because a 401 did nothing.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException

from controller import wire
from controller.clock import Clock
from controller.cluster.failures import Failed, failed_status, unavailable
from controller.requests.failure import Failure

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

_POOL = 32  # connections kept: ticks side by side, and the watches
_CONNECT_TIMEOUT = 3.0  # seconds for a TCP connection, and for its TLS handshake
_OBJECT_CAP = 64 * 1024 * 1024  # bytes; a page of 500 pods is about 4 MB, and etcd holds no object above 1.5 MB
_LINE_CAP = 8 * 1024 * 1024  # bytes of one watch event

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a success status. `data` is the whole body."""

    status: int
    data: bytes


class Stream:
    """An open watch: its lines as they come. `cut` ends a blocked reading from another thread, at once."""

    def __init__(self, response: urllib3.BaseHTTPResponse, connection: Connection, what: str) -> None:
        self._response = response
        self._what = what
        self._connection = connection

    def lines(self) -> Iterator[bytes]:
        """Each complete, non-empty line without its end. A line that the server never finished is left out.

        Raises StreamBroken when the stream ends in any other way than by the server closing it.
        """
        rest = bytearray()
        try:
            # read1 returns what has arrived; a read of a fixed size may sit on an event until more follows.
            while piece := self._response.read1(65536):
                rest += piece
                if len(rest) > _LINE_CAP:
                    raise StreamBroken(unavailable(f"a watch event longer than {_LINE_CAP} bytes").failure)
                *complete, tail = bytes(rest).split(b"\n")
                rest = bytearray(tail)
                for line in complete:
                    if line.strip():
                        yield line
        except _TRANSPORT_ERRORS as error:
            raise StreamBroken(self._connection.failed(error, self._what).failure) from error

    def cut(self) -> None:
        """Ends the stream from any thread."""
        try:
            self._response.shutdown()
        except (OSError, ValueError, RuntimeError):
            # Already closed, or finished in this very moment: both are what was asked for.
            return

    def close(self) -> None:
        """Gives the connection up. For the reading thread, after `lines` has ended."""
        self._response.close()


class StreamBroken(Exception):
    """A watch ended by a fault of the transport."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


_TRANSPORT_ERRORS = (
    ApiException,
    ConfigException,
    http.client.HTTPException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,  # a header that a token file broke, and pydantic's ValidationError
    wire.TooLarge,
)


# What the client raises for a kubeconfig or token file that is missing, malformed or just being replaced.
SETUP_ERRORS = (ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError, yaml.YAMLError)


class Connection:
    """Calls to one API server. Safe to share between threads.

    `reload` reads the credentials again into the client's configuration; it may raise what configuration raises.
    """

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        *,
        user_agent: str = "nightferry",
        reload: Callable[[Configuration], None] | None = None,
    ) -> None:
        configuration.retries = False  # a repeated write is a second write; a repeated read hides the first fault
        configuration.connection_pool_maxsize = _POOL
        configuration.keep_alive = True  # a half-open watch is otherwise noticed by nobody
        self._configuration = configuration
        self._clock = clock
        self._reload = reload
        self._reloading = threading.Lock()
        self._api = ApiClient(configuration)
        self._api.user_agent = user_agent
        self._api.rest_client.pool_manager.pool_classes_by_scheme = dict(wire.POOLS)

    @property
    def host(self) -> str:
        """The address of the API server."""
        return str(self._configuration.host)

    def close(self) -> None:
        """Closes the idle connections."""
        self._api.rest_client.pool_manager.clear()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = JSON,
        deadline: float = 10.0,
    ) -> bytes | Failure:
        """One call -> the body of a success, or a Failure. `deadline` is in seconds and bounds the call as a whole."""
        answer = self.exchange(method, path, query=query, body=body, content_type=content_type, deadline=deadline)
        return answer.failure if isinstance(answer, Failed) else answer.data

    def exchange(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = JSON,
        deadline: float = 10.0,
    ) -> Reply | Failed:
        """As `request`, for callers that need the HTTP status of a failure (410 restarts a list)."""
        what = f"{method} {path}"
        arguments: dict[str, Any] = {
            "query": query,
            "body": body,
            "content_type": content_type,
            "read_timeout": deadline,
        }
        try:
            with wire.deadline(self._clock, deadline):
                response = self._send(method, path, **arguments)
                if response.status == 401 and self._read_credentials_again():
                    response.close()
                    response = self._send(method, path, **arguments)
                try:
                    data = wire.read_body(response, _OBJECT_CAP)
                except BaseException:
                    response.close()  # its rest must not become the beginning of the next answer
                    raise
                response.release_conn()
        except _TRANSPORT_ERRORS as error:
            return self.failed(error, what)
        if 200 <= response.status <= 299:
            return Reply(response.status, data)
        return self._scrubbed(failed_status(response.status, response.headers, data, method, what))

    def watch(self, path: str, query: Query, idle: float, deadline: float = 10.0) -> Stream | Failed:
        """Opens a watch. `idle` is the longest silence in seconds; `deadline` bounds the way to the first header."""
        what = f"watch {path}"
        try:
            with wire.deadline(self._clock, deadline):
                response = self._send("GET", path, query=query, read_timeout=idle)
                if response.status == 401 and self._read_credentials_again():
                    response.close()
                    response = self._send("GET", path, query=query, read_timeout=idle)
                if response.status != 200:
                    data = wire.read_body(response, _LINE_CAP)
                    response.release_conn()
                    return self._scrubbed(failed_status(response.status, response.headers, data, "GET", what))
        except _TRANSPORT_ERRORS as error:
            return self.failed(error, what)
        return Stream(response, self, what)

    def failed(self, error: Exception, what: str) -> Failed:
        """The one place where an exception of a call becomes a value."""
        return self._scrubbed(unavailable(f"{what}: {_reason(error)}"))

    def _send(
        self, method: str, path: str, *, query: Query, read_timeout: float, body: Any = None, content_type: str = JSON
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": JSON}
        if body is not None:
            headers["Content-Type"] = content_type
        arguments = self._api.param_serialize(
            method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        answer = self._api.call_api(*arguments, _request_timeout=(_CONNECT_TIMEOUT, read_timeout))
        response: urllib3.BaseHTTPResponse = answer.response
        return response

    def _read_credentials_again(self) -> bool:
        if self._reload is None:
            return False
        with self._reloading:
            try:
                self._reload(self._configuration)
            except SETUP_ERRORS:
                return False  # the 401 itself is the better message
        return True

    def _scrubbed(self, failed: Failed) -> Failed:
        # A proxy may echo the request, and http.client quotes a header it refuses.
        for part in str(self._configuration.api_key.get("BearerToken", "")).split():
            if part not in ("Bearer", "Basic"):
                failed = failed.without(part)
        return failed


def _reason(error: BaseException) -> str:
    match error:
        case wire.TooLarge():
            return str(error)
        case urllib3.exceptions.NewConnectionError() | ConnectionRefusedError():
            return "no connection"
        case urllib3.exceptions.TimeoutError() | TimeoutError():
            return "timed out"
        case ApiException():
            return wire.one_line(str(error.reason or error), 200)
        case urllib3.exceptions.ProtocolError() | ConnectionError():
            return "the connection broke"
        case urllib3.exceptions.MaxRetryError() if error.reason is not None:
            return _reason(error.reason)
        case ValueError():
            return type(error).__name__  # its words may quote a header
    return wire.one_line(f"{type(error).__name__}: {error}", 200)
