"""The courier: takes notices from ticks without waiting, and sends them in threads of its own, one for each notifier.

What is in its hands is lost when the process ends; the record still has it, and the next process is asked again. So
everything arrives at least once, and a repetition carries the same id. A notifier that does not answer rests, longer
each time, and keeps no other notifier waiting; one that refuses a notice several times is not asked about it again. A
notice that it fails to take several times lets others pass: it may be this one alone that does it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.clock import Clock
from controller.outside.hook import Hook, Outcome
from controller.outside.mail import Mail
from controller.outside.settings import HookSettings, NotifierSettings
from controller.requests.outside import Deliver, Delivery

MOST_WAITING = 500  # notices in the hands of one notifier; the others stay in their records meanwhile
MOST_KNOWN = 2000  # notices whose end is remembered until a tick has marked it
FIRST_REST, LONGEST_REST = 5.0, 300.0  # seconds after a try that failed, doubled each time
MOST_REFUSALS = 4
_GIVES_WAY = 4  # tries that failed, after which a notice lets others pass
_FORGOTTEN = 3600.0  # seconds for which nobody asked about a notice: its record has given it up, or is gone
_OFTEN, _SELDOM = 1.0, 60.0  # seconds after which a tick may ask again
_IDLE = 3600.0

Heard = Callable[[str, str, str], None]  # notifier, outcome, because


class Sender(Protocol):
    """One way to send a notice."""

    def send(self, notice: Deliver) -> Outcome:
        """One try; bounded in time, never raises for the receiver's faults."""


def sender_of(settings: NotifierSettings, clock: Clock) -> Sender:
    """The sender of a configured notifier."""
    return Hook(settings, clock) if isinstance(settings, HookSettings) else Mail(settings)


@dataclass(slots=True)
class _Parcel:
    notice: Deliver
    taken: float  # monotonic seconds, as the others
    due: float
    asked: float
    failures: int = 0
    refusals: int = 0
    because: str = "on its way"


class Courier:
    """The configured notifiers by kind and name. Safe to share between threads."""

    def __init__(self, senders: Mapping[str, Sender], clock: Clock, heard: Heard = lambda *_: None) -> None:
        self._rounds = {name: _Round(name, sender, clock, heard) for name, sender in senders.items()}

    @classmethod
    def of(cls, settings: Iterable[NotifierSettings], clock: Clock, heard: Heard = lambda *_: None) -> Courier:
        """The courier of a configuration."""
        return cls({one.key: sender_of(one, clock) for one in settings}, clock, heard)

    def perform(self, notice: Deliver) -> Delivery:
        """Where a notice stands; one that is new is taken."""
        found = self._rounds.get(notice.notifier)
        if found is None:
            known = ", ".join(sorted(self._rounds)) or "none"
            return Delivery("failed", f"{notice.notifier} is not in the controller's configuration; known: {known}")
        return found.ask(notice)

    def waiting(self) -> dict[str, int]:
        """Notices in the hands of each notifier."""
        return {name: found.waiting() for name, found in self._rounds.items()}

    def stop(self) -> None:
        """No try begins any more."""
        for each in self._rounds.values():
            each.stop()


class _Round:
    """One notifier's notices, and the thread that sends them, the oldest first."""

    def __init__(self, name: str, sender: Sender, clock: Clock, heard: Heard) -> None:
        self._name, self._sender, self._clock, self._heard = name, sender, clock, heard
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._parcels: OrderedDict[str, _Parcel] = OrderedDict()
        self._ended: OrderedDict[str, Delivery] = OrderedDict()
        self._rest_until = 0.0
        self._failures = 0  # tries in a row that did not reach the notifier

    def ask(self, notice: Deliver) -> Delivery:
        with self._lock:
            if (ended := self._ended.get(notice.id)) is not None:
                return ended
            parcel = self._parcels.get(notice.id)
            if parcel is None and len(self._parcels) >= MOST_WAITING:
                return Delivery("pending", f"{MOST_WAITING} notices wait for {self._name} already", _SELDOM)
            now = self._clock.monotonic()
            if parcel is None:
                parcel = self._parcels[notice.id] = _Parcel(notice, now, now, now)
                if self._thread is None and not self._stopping:
                    self._thread = threading.Thread(target=self._run, name=f"notifier {self._name}", daemon=True)
                    self._thread.start()
                self._news.set()
            parcel.asked = now
            wait = max(parcel.due, self._rest_until) - now
            return Delivery("pending", parcel.because, min(max(wait, _OFTEN), _SELDOM))

    def waiting(self) -> int:
        with self._lock:
            return len(self._parcels)

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
        self._news.set()

    def _run(self) -> None:
        while True:
            self._news.clear()
            with self._lock:
                if self._stopping:
                    return
                now = self._clock.monotonic()
                self._forget(now)
                parcel = min(self._parcels.values(), key=lambda each: each.due, default=None)
                due = max(parcel.due, self._rest_until) if parcel is not None else now + _IDLE
            if parcel is None or due > now:
                self._clock.wait(self._news, due - now)
                continue
            try:
                outcome = self._sender.send(parcel.notice)
            except Exception as error:
                outcome = Outcome("refused", f"internal error: {type(error).__name__}")  # a fault of ours
            self._heard(self._name, outcome.state, outcome.because)
            with self._lock:
                self._take_in(parcel, outcome)

    def _forget(self, now: float) -> None:
        for name in [name for name, each in self._parcels.items() if now - each.asked > _FORGOTTEN]:
            del self._parcels[name]

    def _take_in(self, parcel: _Parcel, outcome: Outcome) -> None:
        now = self._clock.monotonic()
        parcel.because = outcome.because or outcome.state
        if outcome.state == "later":
            self._failures += 1
            self._rest_until = now + _rest(self._failures)
            parcel.failures += 1
            if parcel.failures >= _GIVES_WAY:
                parcel.due = now + _rest(parcel.failures)
            return
        if self._failures > 1:
            # It was the notifier and no single notice: what gave way meanwhile has its place again.
            for each in self._parcels.values():
                each.due = each.taken if not each.refusals else each.due
        self._failures, self._rest_until = 0, 0.0
        if outcome.state == "refused":
            parcel.refusals += 1
            if parcel.refusals < MOST_REFUSALS:
                parcel.due = now + _rest(parcel.refusals)
                return
        self._parcels.pop(parcel.notice.id, None)
        self._ended[parcel.notice.id] = Delivery("sent" if outcome.state == "sent" else "failed", outcome.because)
        while len(self._ended) > MOST_KNOWN:
            self._ended.popitem(last=False)


def _rest(times: int) -> float:
    return float(min(FIRST_REST * 2 ** min(times - 1, 16), LONGEST_REST))  # after days there are a thousand times
