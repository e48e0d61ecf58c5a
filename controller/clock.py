"""The clock that is made once and handed down: nothing else in the product may read time."""

from __future__ import annotations

import threading
from typing import Protocol


class Clock(Protocol):
    """Time as the adapters need it. The scheduler implements it; tests bring their own."""

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back, and is what deadlines and ages are measured with."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; -> whether it is set."""
