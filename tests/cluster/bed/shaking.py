"""Lateness on purpose: requests come late, and servers stand still.

A test that passes only where everything is quick passes by luck, and fails by chance on another machine. With the
variable NIGHTFERRY_SHAKEN (`make shaken-test`; 1 is the usual strength) every HTTP request of the tests, of the bed's
kubelet and of the controllers may be late on its way and on its way back, and the servers of the bed are halted one
after the other. Nothing fails that would not fail on a slow machine: no request is lost, and no halt is as long as a
lease.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool

STRENGTH = "NIGHTFERRY_SHAKEN"
# Of a hundred requests two wait for as long as a slow API server takes, and twenty-three as if a core were busy.
LATE = ((0.02, 0.3, 1.5), (0.23, 0.0, 0.12))  # probability, shortest and longest wait in seconds
HALTS_EVERY = 2.5  # seconds on average, at strength 1
LONGEST_HALT = 2.0  # seconds; etcd and the API server bear it without losing a lease of their own
_thread = threading.local()


def strength() -> float:
    """How much is shaken in this process; 0 for not at all. Raises ValueError for a strength that is no number."""
    return float(os.environ.get(STRENGTH) or 0.0)


def lateness(rng: random.Random, times: float) -> float:
    """Seconds that one way of a request takes longer; `times` as many ways are late as at strength 1."""
    drawn = rng.random()
    for probability, shortest, longest in LATE:
        if drawn < probability * times:
            return rng.uniform(shortest, longest)
        drawn -= probability * times
    return 0.0


def shake_requests(times: float) -> None:
    """From now on every request that this process sends through urllib3 may be late, both ways."""
    if times <= 0:
        return
    pool: Any = HTTPConnectionPool
    pool.urlopen = _late(pool.urlopen, random.Random(), times)


def never_late() -> None:
    """The calling thread is late no more: it plays a router, and requests follow the objects of a story at once."""
    _thread.follows = True


def _late(send: Callable[..., Any], rng: random.Random, times: float) -> Callable[..., Any]:
    @functools.wraps(send)
    def late(*args: Any, **kwargs: Any) -> Any:
        if getattr(_thread, "follows", False):
            return send(*args, **kwargs)
        time.sleep(lateness(rng, times))
        try:
            return send(*args, **kwargs)
        finally:
            time.sleep(lateness(rng, times))

    return late


@contextmanager
def halted_at_times(servers: Sequence[subprocess.Popen[bytes]], times: float) -> Iterator[None]:
    """While the block lasts, one of the servers after the other stands still for a while."""
    if times <= 0:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_halt, args=(servers, times, over), name="halts")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _halt(servers: Sequence[subprocess.Popen[bytes]], times: float, over: threading.Event) -> None:
    rng = random.Random()
    while not over.wait(rng.expovariate(times / HALTS_EVERY)):
        server = rng.choice(servers)
        server.send_signal(signal.SIGSTOP)
        over.wait(rng.uniform(0.05, LONGEST_HALT))
        server.send_signal(signal.SIGCONT)
