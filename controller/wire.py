"""HTTP connections that keep a total deadline, and bodies that keep a size: shared by the adapters of both worlds.

The read timeout of every HTTP client is the longest wait for *one* piece of an answer. A server that sends a byte
every half second keeps such a client for ever, in the headers as well as in the body. So the deadline is kept where
the bytes arrive: before each read from the socket its timeout is set to what is left of the call.

Use: put `POOLS` in place of a urllib3 pool manager's `pool_classes_by_scheme`, and make the call inside
`deadline(...)`. A call outside of it (a watch) keeps urllib3's own timeouts.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from controller.clock import Clock

_CHUNK = 65536


class TooLarge(Exception):
    """An answer is longer than its cap, counted after decompression."""


class _Until(threading.local):
    clock: Clock | None = None
    at: float = 0.0


_until = _Until()


@contextlib.contextmanager
def deadline(clock: Clock, seconds: float) -> Iterator[None]:
    """Whatever this thread reads over `POOLS` inside the block ends within `seconds`, or raises TimeoutError."""
    before = _until.clock, _until.at
    _until.clock, _until.at = clock, clock.monotonic() + seconds
    try:
        yield
    finally:
        _until.clock, _until.at = before


def seconds_left() -> float | None:
    """What is left of this thread's deadline, in seconds (never negative), or None outside of `deadline`."""
    return None if _until.clock is None else max(0.0, _until.at - _until.clock.monotonic())


class _PacedReader(io.RawIOBase):
    """A socket's incoming bytes; a read waits for what is left of the deadline, or as long as urllib3 asked for."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._patience = sock.gettimeout()  # the read timeout that urllib3 has set for this answer
        # makefile, so that the socket stays open for the body after the connection object has let go of it.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = seconds_left()
        if left == 0:
            raise TimeoutError("the deadline of the call has passed")
        self._sock.settimeout(self._patience if left is None else left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PacedSocket:
    """What `http.client` needs of a socket to read an answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(_PacedReader(self._sock), _CHUNK)


class _PacedResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(_PacedSocket(sock), *args, **kwargs)  # type: ignore[arg-type]


class _PacedConnection(HTTPConnection):
    response_class = _PacedResponse


class _PacedTlsConnection(HTTPSConnection):
    response_class = _PacedResponse


class _PacedPool(HTTPConnectionPool):
    ConnectionCls = _PacedConnection


class _PacedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _PacedTlsConnection


POOLS: Mapping[str, type[HTTPConnectionPool]] = {"http": _PacedPool, "https": _PacedTlsPool}


def read_body(response: urllib3.BaseHTTPResponse, cap: int) -> bytes:
    """The whole body, decompressed; at most `cap` bytes.

    Raises TooLarge beyond the cap, and what urllib3 raises for a broken or late body.
    """
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read1(_CHUNK, decode_content=True):
        size += len(chunk)
        if size > cap:
            raise TooLarge(f"the answer is longer than {cap} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


_BLANKS = re.compile(r"\s+")


def one_line(text: str, limit: int = 500) -> str:
    """`text` in one printable line of at most `limit` characters, so that an answer cannot forge a log line."""
    line = _BLANKS.sub(" ", text).strip()
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."
