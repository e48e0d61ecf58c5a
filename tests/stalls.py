"""How long the machine stood still: a bound in seconds is to say something of the program, and not of the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_EVERY = 0.02  # seconds


@contextmanager
def stalls() -> Iterator[Callable[[], float]]:
    """Seconds since the block began for which a thread that was due did not run, as a function."""
    over = threading.Event()
    late = 0.0

    def count() -> None:
        nonlocal late
        due = time.monotonic() + _EVERY
        while not over.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            late += max(0.0, now - due)
            due = now + _EVERY

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield lambda: late
    finally:
        over.set()
        thread.join()
