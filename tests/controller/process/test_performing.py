"""How the requests of a tick are performed, one after the other, within the time that a tick may take."""

from __future__ import annotations

import threading
from collections.abc import Generator

from controller.attempt import TickResult
from controller.performing import Performer
from controller.release.names import AppKey
from controller.report import Report
from controller.requests import Answer, Request
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Fetch, FetchCounts
from controller.requests.looks import ReadPolicy
from policies.schema import Selector
from tests.controller.process.apps import CHECKOUT, Shell

SILENT = Failure(FailureKind.UNAVAILABLE, "timed out")


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.at += seconds
        return event.is_set()


class SlowStore:
    """Every question takes five seconds and gets no answer."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.asked = 0

    def perform(self, ask: Fetch) -> Answer:
        self.asked += 1
        self.clock.at += 5.0
        return SILENT


def question() -> FetchCounts:
    selector = Selector.read("http_requests_total")
    return FetchCounts("default", "errors", "requests", selector, "shop", "namespace", "pod", ("a",), 0, 60, 30, 30)


def many_gates(app: AppKey, got: list[Answer]) -> Generator[Request, Answer, TickResult]:
    for _ in range(32):
        got.append((yield question()))
    got.append((yield ReadPolicy(app.namespace, app.policy)))
    return TickResult(app)


def test_a_silent_store_with_many_gates_does_not_use_up_the_tick_so_that_it_can_still_write() -> None:
    got: list[Answer] = []
    clock, shell = HandClock(), Shell(lambda request: {})
    store = SlowStore(clock)
    performer = Performer(shell, store, clock, Report())

    assert performer.drive(many_gates(CHECKOUT, got)) is not None

    assert clock.at <= 30.0
    assert store.asked < 32
    assert all(isinstance(each, Failure) and each.kind is FailureKind.UNAVAILABLE for each in got[:32])
    assert got[32] == {}

    # The next tick has its own time.
    before = store.asked
    performer.drive(many_gates(CHECKOUT, []))
    assert store.asked == 2 * before
