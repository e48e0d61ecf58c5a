"""The load generator: requests at a fixed rate to the Service's real Endpoints, which it watches.

Open loop: the rate does not wait for answers, except that a sender which has fallen behind does not catch up by a
burst; what it left out is counted as `skipped`. Each connection goes to one endpoint chosen by a seeded draw, as a
kube-proxy would choose, and carries `burst` requests. A request that gets no whole answer is lost, whatever the
reason, and so is one that finds no endpoint. There is no retry.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import urllib3

from tests.cluster.bed.addresses import local_address
from tests.cluster.bed.api import Api, ApiError, Object, Watch
from tests.cluster.bed.shaking import never_late

# Who is killed breaks the connection. A machine that stands still for seconds loses nobody's request.
TIMEOUT = 20.0
SENDERS = 2
RECONNECT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Totals:
    """What a load generator has done so far."""

    answered: int = 0
    lost: int = 0
    skipped: int = 0
    by_pod: Mapping[str, int] = field(default_factory=dict)
    by_code: Mapping[str, int] = field(default_factory=dict)
    losses: tuple[str, ...] = ()

    @property
    def error_ratio(self) -> float:
        """The share of answers that were not 2xx."""
        bad = sum(count for code, count in self.by_code.items() if not code.startswith("2"))
        return bad / self.answered if self.answered else 0.0


class Load:
    """Sends `rate` requests a second to a Service until stopped. Use it as a context manager."""

    def __init__(self, api: Api, namespace: str, service: str, *, rate: float, burst: int = 1, seed: int = 1) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/endpoints"
        self._service = service
        self._rate = rate
        self._burst = burst
        self._seed = seed
        self._lock = threading.Lock()
        self._totals = _Tally()
        self._endpoints: list[tuple[str, tuple[str, int]]] = []
        self._found = threading.Event()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watch: Watch | None = None

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begins to send once the Service has its first endpoint."""
        jobs = [threading.Thread(target=self._follow, daemon=True)]
        jobs += [threading.Thread(target=self._send, args=(number,), daemon=True) for number in range(SENDERS)]
        for job in jobs:
            job.start()
        self._threads = jobs

    def stop(self) -> Totals:
        """Ends the load after the requests in flight and returns the totals."""
        self._stop.set()
        if self._watch is not None:
            self._watch.close()
        for thread in self._threads:
            thread.join(TIMEOUT + 1)
        return self.totals()

    def totals(self) -> Totals:
        """The totals so far."""
        with self._lock:
            return self._totals.frozen()

    def _follow(self) -> None:
        never_late()
        while not self._stop.is_set():
            try:
                listed = self._api.read(self._path, fieldSelector=f"metadata.name={self._service}")
                for item in listed["items"]:
                    self._take(item)
                self._watch = self._api.watch(self._path, revision=listed["metadata"]["resourceVersion"])
                if self._stop.is_set():  # too late to be closed by who stops
                    self._watch.close()
                for event in self._watch:
                    if event.object["metadata"].get("name") == self._service and event.kind != "BOOKMARK":
                        self._take(event.object if event.kind != "DELETED" else {})
            except (ApiError, urllib3.exceptions.HTTPError, OSError):
                self._stop.wait(RECONNECT_SECONDS)

    def _take(self, endpoints: Object) -> None:
        found = ready_addresses(endpoints)
        self._endpoints = found
        if found:
            self._found.set()

    def _send(self, number: int) -> None:
        draw = random.Random(self._seed * SENDERS + number)
        pause = self._burst * SENDERS / self._rate
        while not self._found.wait(0.1):
            if self._stop.is_set():
                return
        due = time.monotonic() + pause * number / SENDERS
        while not self._stop.wait(max(due - time.monotonic(), 0.0)):
            self._exchange(draw)
            due += pause
            late = time.monotonic() - due
            if late > 1.0:
                missed = int(late / pause)
                due += missed * pause
                with self._lock:
                    self._totals.skipped += missed * self._burst

    def _chosen(self, draw: random.Random) -> tuple[str, tuple[str, int]] | None:
        """A pod and its address, or None where there is no ready endpoint."""
        endpoints = self._endpoints
        return draw.choice(endpoints) if endpoints else None

    def _exchange(self, draw: random.Random) -> None:
        chosen = self._chosen(draw)
        if chosen is None:
            self._note_loss("the Service has no ready endpoint", self._burst)
            return
        pod, address = chosen
        try:
            codes = _ask(address, self._burst)
            reason = "the connection ended early"
        except OSError as error:
            codes = []
            reason = str(error)
        with self._lock:
            self._totals.answered += len(codes)
            self._totals.by_pod[pod] += len(codes)
            self._totals.by_code.update(codes)
        if len(codes) < self._burst:
            self._note_loss(f"{pod}: {reason}", self._burst - len(codes))

    def _note_loss(self, sentence: str, count: int) -> None:
        with self._lock:
            self._totals.lost += count
            if len(self._totals.losses) < 20:
                self._totals.losses.append(f"{time.strftime('%H:%M:%S')} {sentence}")


@dataclass(slots=True)
class _Tally:
    answered: int = 0
    lost: int = 0
    skipped: int = 0
    by_pod: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)

    def frozen(self) -> Totals:
        return Totals(self.answered, self.lost, self.skipped, dict(self.by_pod), dict(self.by_code), tuple(self.losses))


def ready_addresses(endpoints: Object) -> list[tuple[str, tuple[str, int]]]:
    """(pod, its address on the wire) of each ready address of an Endpoints object."""
    return [
        (address.get("targetRef", {}).get("name", address["ip"]), (local_address(address["ip"]), port["port"]))
        for subset in endpoints.get("subsets") or []
        for address in subset.get("addresses") or []
        for port in subset["ports"][:1]
    ]


def _ask(address: tuple[str, int], burst: int) -> list[str]:
    """Sends `burst` requests over one connection; the status codes of the whole answers. Raises OSError."""
    request = b"GET / HTTP/1.1\r\nHost: service\r\n"
    with socket.create_connection(address, TIMEOUT) as connection:
        connection.settimeout(TIMEOUT)
        connection.sendall((request + b"\r\n") * (burst - 1) + request + b"Connection: close\r\n\r\n")
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return _codes(b"".join(parts))


def _codes(data: bytes) -> list[str]:
    codes = []
    while data:
        head, mark, rest = data.partition(b"\r\n\r\n")
        place = head.find(b"Content-Length: ")
        length = int(head[place + 16 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if not mark or len(rest) < length:
            break
        codes.append(head.split(b" ", 2)[1].decode())
        data = rest[length:]
    return codes
