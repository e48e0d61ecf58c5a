"""An HTTP server whose every answer a test writes byte by byte, so that it can be wrong in any way."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(self.body.decode()).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """The open connection to one client, to answer on."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        self._sock = sock
        self._stopped = stopped
        self.keep = True  # whether the next request may come over the same connection

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def drip(self, data: bytes, every: float) -> None:
        """One byte at a time, until all are sent, the client has gone, or the test is over."""
        for byte in data:
            if self._stopped.wait(every):
                return
            self._sock.sendall(bytes([byte]))

    def silence(self, seconds: float = 90.0) -> None:
        """Says nothing until the client hangs up, at most for so long."""
        self._sock.settimeout(seconds)
        with contextlib.suppress(OSError):
            self._sock.recv(1)
        self.keep = False

    def close(self) -> None:
        self.keep = False


Answer = Callable[[Asked, Line], None]


def plain(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A complete answer."""
    head = {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}
    lines = [f"HTTP/1.1 {status} Word", *(f"{name}: {value}" for name, value in head.items())]
    data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def answer(asked: Asked, line: Line) -> None:
        line.send(data)

    return answer


def obj(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A complete answer of JSON."""
    return plain(json.dumps(value).encode(), status, headers)


def status(
    code: int, message: str = "", reason: str = "", *, name: str = "", headers: Any = None, **details: Any
) -> Answer:
    """The API server's own error object."""
    if name:
        details = {"name": name, "kind": "things", **details}
    body = {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code}
    return obj({**body, "details": details} if details else body, code, headers)


def hang_up(asked: Asked, line: Line) -> None:
    """Closes the connection without a word."""
    line.close()


def raw(*parts: bytes) -> Answer:
    """Exactly these bytes, then the end of the connection."""

    def answer(asked: Asked, line: Line) -> None:
        for part in parts:
            line.send(part)
        line.close()

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def stream(*events: Any, end: Answer | None = None) -> Answer:
    """A watch: one line a chunk for each event, then `end`, or an orderly close."""

    def answer(asked: Asked, line: Line) -> None:
        line.send(CHUNKED)
        for event in events:
            line.send(chunk(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"))
        if end is not None:
            end(asked, line)
        else:
            line.send(b"0\r\n\r\n")

    return answer


@dataclass(slots=True)
class Server:
    """Answers each request with the next answer of its list, and the last one again and again."""

    answers: list[Answer]
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    _listener: socket.socket = field(default_factory=socket.socket)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(32)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                return  # the client does not like our certificate
        line = Line(sock, self._stopped)
        with contextlib.suppress(OSError), sock, sock.makefile("rb") as incoming:
            while line.keep and (asked := _read_request(incoming)) is not None:
                with self._lock:
                    self.asked.append(asked)
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                answer(asked, line)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _read_request(incoming: Any) -> Asked | None:
    first = incoming.readline().decode().split(" ")
    if len(first) < 3:
        return None
    headers: dict[str, str] = {}
    while (row := incoming.readline().decode().strip()) != "":
        name, _, value = row.partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", "0")))
    parts = urlsplit(first[1])
    query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Asked(first[0], parts.path, query, headers, body)


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """An address at which nobody listens, and which nobody else is given for the length of the block."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextlib.contextmanager
def serving(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server with these answers, for the length of the block."""
    server = Server(list(answers), tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def pages(kind: str, *items: Iterable[Any], version: str = "100") -> list[Answer]:
    """A list in pages, each with a token for the next."""
    many = list(items)
    answers = []
    for index, page in enumerate(many):
        token = {"continue": f"token-{index + 1}"} if index + 1 < len(many) else {}
        answers.append(obj({"kind": kind, "metadata": {"resourceVersion": version, **token}, "items": list(page)}))
    return answers
