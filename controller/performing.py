"""Performs the requests of ticks, one after the other, against the cluster and the metric stores.

Events are told on the side: they are news for people, and a tick that moves pods does not wait for them. A queue that
is full drops the oldest news; the record has everything.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import Any, Protocol

from controller.attempt import TickResult
from controller.clock import Clock
from controller.report import Report
from controller.requests import Answer, Request
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Fetch
from controller.requests.outside import CallWebhook, Deliver, Delivery, FiringAlerts, ReadFiring
from controller.requests.writes import WriteEvent

_MOST_NEWS = 500
# After which a tick asks stores and endpoints no more: many gates and a silent store must not outlast it.
_OUTSIDE_SECONDS = 20.0

Turn = Generator[Request, Answer, TickResult]


class Shell(Protocol):
    """What performs the requests of a tick against the cluster."""

    def begin_tick(self) -> None:
        """Forgets what this thread's last tick has read."""

    def perform(self, request: Any) -> Answer:
        """The answer; a fault of the cluster is a Failure."""


class Store(Protocol):
    """What answers the questions of the gates."""

    def perform(self, ask: Fetch) -> Answer:
        """The answer; a fault of a store is a Failure."""


class Endpoints(Protocol):
    """What webhook gates call."""

    def perform(self, call: CallWebhook) -> Answer:
        """The answer; a fault of an endpoint is a Failure."""


class Notifiers(Protocol):
    """What takes notices, and sends them in its own time."""

    def perform(self, notice: Deliver) -> Delivery:
        """Where a notice stands; never waits."""


class Alertmanagers(Protocol):
    """What knows which alerts fire."""

    def perform(self, ask: ReadFiring) -> FiringAlerts | Failure:
        """The alerts that fire and match; a fault is a Failure."""


class Performer:
    """Safe to share between threads; a tick runs in one of them. After `stop` no request begins any more."""

    def __init__(
        self,
        shell: Shell,
        store: Store,
        clock: Clock,
        report: Report,
        endpoints: Endpoints | None = None,
        notifiers: Notifiers | None = None,
        alertmanagers: Alertmanagers | None = None,
    ) -> None:
        self._shell = shell
        self._store = store
        self._endpoints = endpoints
        self._notifiers = notifiers
        self._alertmanagers = alertmanagers
        self._clock = clock
        self._report = report
        self._stopping = threading.Event()
        self._news: queue.Queue[WriteEvent | None] = queue.Queue(_MOST_NEWS)
        self._teller = threading.Thread(target=self._tell, name="events", daemon=True)

    def start(self) -> None:
        """Begins to tell events."""
        self._teller.start()

    def stop(self) -> None:
        """From now on no request begins; those under way go on to their end."""
        self._stopping.set()
        self._drop(None)

    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def drive(self, turn: Turn) -> TickResult | None:
        """Performs the requests of one tick; None when it was stopped before its end. Raises what the tick raises."""
        self._shell.begin_tick()
        answer: Answer = None
        asked = 0.0  # seconds that the metric store and the endpoints have had in this tick
        try:
            while True:
                request = turn.send(answer)
                if self._stopping.is_set():
                    return None
                if isinstance(request, Fetch | CallWebhook):
                    if asked > _OUTSIDE_SECONDS:
                        whose = "the store" if isinstance(request, Fetch) else "answers"
                        answer = Failure(FailureKind.UNAVAILABLE, f"{whose} took {asked:.0f} s of this tick already")
                        continue
                    began = self._clock.monotonic()
                    answer = self._perform(request)
                    asked += self._clock.monotonic() - began
                    continue
                answer = self._perform(request)
        except StopIteration as end:
            result: TickResult = end.value
            return result
        finally:
            turn.close()

    def _perform(self, request: Request) -> Answer:
        if isinstance(request, WriteEvent):
            self._drop(request)
            return None
        if isinstance(request, Deliver):
            if self._notifiers is None:
                return Delivery("failed", "no notifier is in the controller's configuration")
            return self._notifiers.perform(request)
        began = self._clock.monotonic()
        answer: Answer
        if isinstance(request, Fetch):
            answer = self._store.perform(request)
        elif isinstance(request, ReadFiring):
            answer = self._fires(request)
        elif not isinstance(request, CallWebhook):
            answer = self._shell.perform(request)
        elif self._endpoints is None:
            answer = Failure(FailureKind.ABSENT, "no endpoint is configured")
        else:
            answer = self._endpoints.perform(request)
        self._count(request, answer, began)
        return answer

    def _fires(self, request: ReadFiring) -> FiringAlerts | Failure:
        # With a bound of its own: a store that has used up the time of a tick must not hide an alert.
        if self._alertmanagers is None:
            return Failure(FailureKind.ABSENT, "no Alertmanager is in the controller's configuration")
        return self._alertmanagers.perform(request)

    def _drop(self, news: WriteEvent | None) -> None:
        while True:
            try:
                self._news.put_nowait(news)
                return
            except queue.Full:
                try:
                    self._news.get_nowait()
                except queue.Empty:
                    continue

    def _tell(self) -> None:
        while True:
            news = self._news.get()
            if self._stopping.is_set():
                return
            if news is None:
                continue
            began = self._clock.monotonic()
            try:
                answer = self._shell.perform(news)
            except Exception as error:
                self._report.untold(news.release, f"{type(error).__name__}: {error}")
                continue
            self._count(news, answer, began)
            if isinstance(answer, Failure):
                self._report.untold(news.release, answer.message)

    def _count(self, request: Request, answer: Answer, began: float) -> None:
        outcome = answer.kind.value if isinstance(answer, Failure) else "Ok"
        self._report.performed(type(request).__name__, outcome, self._clock.monotonic() - began)
