"""A loop over apps that exist only in a test: copies to look at, ticks that a test writes, a shell that listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from controller.attempt import TickResult
from controller.cluster.cache import Kind
from controller.loop import Loop, SystemClock
from controller.performing import Performer
from controller.release.names import AppKey, Key
from controller.report import Report
from controller.requests import Answer, Request
from controller.requests.fetches import Fetch
from controller.requests.looks import ReadPolicy
from controller.roster import Roster
from controller.settings import Settings

Ticking = Generator[Request, Answer, TickResult]
CHECKOUT = AppKey("shop", "checkout")
SEARCH = AppKey("shop", "search")


def policy(name: str, *, deployment: str | None = None, generation: int = 1) -> dict[str, Any]:
    """A ReleasePolicy as the cache has it."""
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": generation},
        "spec": {"target": {"deployment": deployment or name}, "strategy": {"twin": {}}},
    }


def release(name: str, app: str, phase: str | None = None, *, generation: int = 1) -> dict[str, Any]:
    """A Release as the cache has it."""
    status = {"status": {"phase": phase}} if phase is not None else {}
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": generation},
        "spec": {"policy": app},
        **status,
    }


class Copies:
    """What the watch cache would say."""

    def __init__(
        self,
        *policies: Mapping[str, Any],
        releases: tuple[Mapping[str, Any], ...] = (),
        trains: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        self.policies = list(policies)
        self.releases = list(releases)
        self.trains = list(trains)

    def read_all(self, kind: Kind, namespace: str | None = None) -> list[Mapping[str, Any]]:
        return list({Kind.POLICY: self.policies, Kind.RELEASE: self.releases, Kind.TRAIN: self.trains}.get(kind, []))


class Shell:
    """Performs requests: notes them, and answers what `answers` says."""

    def __init__(self, answers: Callable[[Request], Answer] = lambda request: None) -> None:
        self.performed: list[Request] = []
        self.begun = 0
        self._answers = answers

    def begin_tick(self) -> None:
        self.begun += 1

    def perform(self, request: Request) -> Answer:
        self.performed.append(request)
        return self._answers(request)


class Store:
    """The metric side of it: has nothing to say."""

    def perform(self, ask: Fetch) -> Answer:
        return None


class Times:
    """When each app was ticked, on the steady clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: dict[AppKey, list[float]] = {}

    def note(self, app: AppKey) -> None:
        with self._lock:
            self._at.setdefault(app, []).append(time.monotonic())

    def of(self, app: AppKey) -> list[float]:
        with self._lock:
            return list(self._at.get(app, ()))

    def count(self, app: AppKey) -> int:
        return len(self.of(app))

    def rests(self, app: AppKey, seconds: float) -> bool:
        """Whether its last tick began longer ago than this."""
        return time.monotonic() - self.of(app)[-1] > seconds


def quiet(app: AppKey) -> Ticking:
    """A tick that looks at the policy and finds nothing to do."""
    yield ReadPolicy(app.namespace, app.policy)
    return TickResult(app)


@contextmanager
def running(
    copies: Copies,
    ticks: Callable[[AppKey], Ticking],
    *,
    interval: float = 0.2,
    resync: float = 60.0,
    shell: Shell | None = None,
    report: Report | None = None,
    clock: Any = None,
    learner: Any = None,
) -> Any:
    """A started loop; stopped at the end of the block."""
    clock, report = clock or SystemClock(), report or Report()

    def of_app(key: Key, now: float, settings: Settings) -> Ticking:
        assert isinstance(key, AppKey)
        return ticks(key)

    loop = Loop(
        Performer(shell or Shell(), Store(), clock, report),
        Roster(copies),
        clock,
        Settings(interval=interval),
        report,
        resync=resync,
        ticks=of_app,
        learner=learner,
    )
    loop.start()
    try:
        yield loop
    finally:
        loop.stop(5.0)


def eventually(question: Callable[[], object], within: float = 30.0) -> None:
    """Waits until the answer is yes."""
    until = time.monotonic() + within
    while not question():
        assert time.monotonic() < until, "it did not happen in time"
        threading.Event().wait(0.01)
