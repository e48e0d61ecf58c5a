"""Clocks, connections and objects for the tests of the adapters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kubernetes.client import Configuration

from controller.cluster.connection import Connection

TOKEN = "canary-token-that-must-never-be-shown"  # the word tells on any message that carries it


class RealClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


class SetClock(RealClock):
    """Time that stands still until a test moves it. A wait notes how long it was meant to be, and ends at once."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at
        self.waited: list[float] = []

    def now(self) -> float:
        return 1_700_000_000.0 + self.at

    def monotonic(self) -> float:
        return self.at

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waited.append(seconds)
        # Longer than nothing, so that a loop that only waits does not spin.
        return event.wait(0.005)


def connection_to(
    url: str, clock: Any = None, *, reload: Callable[[Configuration], None] | None = None, token: str = TOKEN
) -> Connection:
    """A connection without a kubeconfig file."""
    configuration = Configuration()
    configuration.host = url
    configuration.api_key["BearerToken"] = f"Bearer {token}"
    return Connection(configuration, clock or RealClock(), reload=reload)


def thing(name: str, version: str = "1", namespace: str = "shop", **more: Any) -> dict[str, Any]:
    """An object as the API server writes it in a list."""
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version}, **more}


def event(kind: str, one: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": one}


def eventually(question: Callable[[], bool], what: str, within: float = 30.0) -> None:
    """Asks again until the answer is yes. Raises AssertionError after `within` seconds."""
    until = time.monotonic() + within
    while not question():
        assert time.monotonic() < until, f"not within {within:g} s: {what}"
        time.sleep(0.005)
