"""From a post to the inboxes of the policies that it concerns, and to the ticks of their apps.

An alert is in the cluster before its post is answered. Posts that come at the same time for the same policy share one
write, so a storm costs a write per policy and moment, not one per alert. What Alertmanager itself does not say fires
is not kept: it is an old post that somebody sends again, or it is over; the next level read will know.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from controller.alerts.index import Index, index_of
from controller.alerts.posts import Post, Posted
from controller.clock import Clock
from controller.firing import level, question
from controller.inbox import Told, cut, joined, read_inbox, written
from controller.release.names import AppKey
from controller.requests import Answer
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadPolicy
from controller.requests.outside import FiringAlerts, ReadFiring
from controller.requests.writes import WritePolicyStatus
from policies.alerts import OnAlert

_TRIES = 25  # of a write that somebody else was faster with
FIRED_LATELY = 2.0  # seconds for which it is believed that an alert fires which Alertmanager has shown
_PAUSE = 0.04  # seconds between them: the watch brings the other's write
REST = 2.0  # for so many times as long as a question got no answer, no other one is asked


class Shell(Protocol):
    """What performs requests against the cluster."""

    def begin_tick(self) -> None: ...
    def perform(self, request: Any) -> Answer: ...


class Knows(Protocol):
    """What knows which alerts fire."""

    def perform(self, ask: ReadFiring) -> FiringAlerts | Failure: ...


class Ear(Protocol):
    """Who is told what came of alerts."""

    def came(self, outcome: str, number: int) -> None: ...
    def kept(self, app: AppKey, alerts: Sequence[Told], *, active: bool) -> None: ...
    def wrote(self) -> None: ...
    def ignored(self, app: AppKey, alerts: Sequence[Told]) -> None: ...
    def odd(self, name: str, because: str) -> None: ...


@dataclass(slots=True)
class _Ticket:
    """What one post has for one policy; `failure` where it could not be kept."""

    news: list[Told]
    done: bool = False
    failure: Failure | None = None


@dataclass(slots=True)
class _Box:
    """The posts that wait for one policy, and the right to write for all of them."""

    writing: threading.Lock = field(default_factory=threading.Lock)
    fires: frozenset[str] = frozenset()  # what the level showed last, by fingerprint; for whoever writes
    asked: float = -FIRED_LATELY  # when that was, by the steady clock
    waiting: list[_Ticket] = field(default_factory=list)


class Intake:
    """Safe to share between the threads of many posts.

    `policies` lists the ReleasePolicy objects of the watch cache, or says why it cannot; `active` says whether an app
    has a release under way; `wake` ticks an app as soon as it may.
    """

    def __init__(
        self,
        shell: Shell,
        knows: Knows,
        policies: Callable[[], Sequence[Mapping[str, Any]] | Failure],
        active: Callable[[AppKey], bool],
        wake: Callable[[AppKey], None],
        clock: Clock,
        ear: Ear,
    ) -> None:
        self._shell = shell
        self._knows = knows
        self._policies = policies
        self._active = active
        self._wake = wake
        self._clock = clock
        self._ear = ear
        self._lock = threading.Lock()
        self._boxes: dict[AppKey, _Box] = {}
        self._index = Index()
        self._filed: object = None
        self._resting = 0.0  # until when nobody is asked what fires, by the steady clock

    def take(self, post: Post, received: float) -> Failure | None:
        """Keeps what a post says; None once all of it is in the cluster, or concerns nobody."""
        index = self._known()
        if isinstance(index, Failure):
            return index
        news: dict[AppKey, list[Told]] = {}
        strangers = 0
        for alert in post.alerts:
            if alert.wrong:
                self._ear.odd(alert.name, f"startsAt {alert.wrong}: the time of its receipt counts")
            concerned = index.concerned(alert.labels)
            strangers += not concerned
            for app in concerned:
                news.setdefault(app, []).append(_told(alert, index.wanted[app], received))
        self._ear.came("unmatched", strangers)
        self._ear.came("matched", len(post.alerts) - strangers)
        failures = [self._keep(app, told, index.wanted[app]) for app, told in sorted(news.items(), key=_by_name)]
        if post.truncated:
            self._ear.came("truncated", post.truncated)
            for app in filter(self._active, index.wanted):
                self._wake(app)  # what was left out may concern anybody, also whom this told of an end: the level knows
        return next((each for each in failures if each is not None), None)

    def _known(self) -> Index | Failure:
        """The index of the policies as they are now, made anew only where one of them has changed."""
        policies = self._policies()
        if isinstance(policies, Failure):
            return policies
        filed = [((one.get("metadata") or {}).get("uid"), (one.get("metadata") or {}).get("generation"))
                 for one in policies]  # fmt: skip
        with self._lock:
            if filed != self._filed:
                self._index, self._filed = index_of(policies), filed
            return self._index

    # ------------------------------------------------------------------------------------------- one policy

    def _keep(self, app: AppKey, news: list[Told], alerts: Sequence[OnAlert]) -> Failure | None:
        ticket = _Ticket(news)
        with self._lock:
            box = self._boxes.setdefault(app, _Box())
            box.waiting.append(ticket)
        with box.writing:
            if not ticket.done:
                with self._lock:
                    tickets, box.waiting = box.waiting, []
                # Whoever comes first writes for all that wait.
                failure: Failure | None = Failure(FailureKind.UNAVAILABLE, "the post could not be kept")
                try:
                    failure = self._write(app, box, [told for each in tickets for told in each.news], alerts)
                finally:
                    for each in tickets:
                        each.done, each.failure = True, failure
        return ticket.failure

    def _write(self, app: AppKey, box: _Box, news: list[Told], alerts: Sequence[OnAlert]) -> Failure | None:
        news = self._confirmed(app, box, news, alerts)
        if not news:
            return None
        self._shell.begin_tick()
        failure: Failure | None = None
        for number in range(_TRIES):
            if number:
                self._clock.wait(threading.Event(), _PAUSE)
            policy = self._shell.perform(ReadPolicy(app.namespace, app.policy))
            if not isinstance(policy, Mapping):
                if isinstance(policy, Failure) and policy.kind is FailureKind.ABSENT:
                    return None  # the policy has gone, and nobody reads its inbox
                return policy if isinstance(policy, Failure) else Failure(FailureKind.UNAVAILABLE, "no answer")
            before = read_inbox(policy)
            after = joined(before, news)
            if after == before:
                self._heard(app, news)
                return None
            version = str((policy.get("metadata") or {}).get("resourceVersion", ""))
            status = {"inbox": written(after)}
            answer = self._shell.perform(WritePolicyStatus(app.namespace, app.policy, version, status))
            if not isinstance(answer, Failure):
                self._ear.wrote()
                self._heard(app, news)
                return None
            failure = answer
            if failure.kind is not FailureKind.CONFLICT:
                break
        return failure

    def _heard(self, app: AppKey, news: list[Told]) -> None:
        if firing := [told for told in news if told.ended is None]:
            self._ear.kept(app, firing, active=self._active(app))
            self._wake(app)

    def _confirmed(self, app: AppKey, box: _Box, news: list[Told], alerts: Sequence[OnAlert]) -> list[Told]:
        """The news with Alertmanager's own word; what it does not say fires is left out, unless it says nothing."""
        firing = [told for told in news if told.ended is None]
        if not firing:
            return news
        fires = box.fires if self._clock.monotonic() - box.asked < FIRED_LATELY else frozenset()
        if not {told.fingerprint for told in firing} <= fires:
            # In a storm one answer speaks for all posts of a moment; what it does not have may be younger than it.
            asked = self._clock.monotonic()
            answer = self._fires(alerts)
            if answer is None:
                return news
            fires = frozenset(each.fingerprint for each in level(alerts, answer, self._clock.now()).active)
            box.fires, box.asked = fires, asked
        if stale := [told for told in firing if told.fingerprint not in fires]:
            self._ear.ignored(app, stale)
        return [
            replace(told, confirmed=True) if told.ended is None else told
            for told in news
            if told.ended is not None or told.fingerprint in fires
        ]

    def _fires(self, alerts: Sequence[OnAlert]) -> FiringAlerts | None:
        """What Alertmanager says; None where it gives no answer, or has just let somebody wait for none."""
        began = self._clock.monotonic()
        if began < self._resting:
            return None
        answer = self._knows.perform(question(alerts))
        ended = self._clock.monotonic()
        # Who hangs is waited for once, and not once for each policy that a post concerns. A fault that comes at once
        # may be that of this one question, and keeps hardly anybody from asking another.
        self._resting = ended + REST * (ended - began) if isinstance(answer, Failure) else 0.0
        return None if isinstance(answer, Failure) else answer


def _told(alert: Posted, alerts: Sequence[OnAlert], received: float) -> Told:
    asked = {name for each in alerts for name, _ in each.labels}
    return Told(
        fingerprint=alert.fingerprint,
        name=alert.name,
        labels=cut(alert.labels, {"alertname", *asked}),
        since=alert.since,
        heard=received,
        ended=received if alert.ended else None,
        summary=alert.summary,
    )


def _by_name(each: tuple[AppKey, object]) -> str:
    return str(each[0])
