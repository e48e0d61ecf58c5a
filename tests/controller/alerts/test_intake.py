"""From a post into the inbox of a policy: durable before it is answered, once however often it comes, shared."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.alerts.intake import FIRED_LATELY, REST, Intake
from controller.alerts.posts import Post, read_post
from controller.inbox import Told, read_inbox
from controller.release.names import AppKey
from controller.requests import Answer
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadPolicy
from controller.requests.outside import FiringAlerts, ReadFiring
from controller.requests.writes import WritePolicyStatus
from tests.controller.adapters.builders import SetClock, eventually
from tests.controller.alerts.test_posts import NOW, a_post, an_alert

CHECKOUT = AppKey("shop", "checkout")
DOWN = Failure(FailureKind.UNAVAILABLE, "the API server does not answer")


@dataclass
class Shelf:
    """A cluster with one policy; `conflicts` writes are lost to somebody else, and each waits until it is `open`."""

    policy: dict[str, Any] = field(
        default_factory=lambda: {
            "metadata": {"namespace": "shop", "name": "checkout", "uid": "u", "generation": 1, "resourceVersion": "1"},
            "spec": {"alerts": [{"match": {"service": "checkout"}}]},
        }
    )
    writes: list[WritePolicyStatus] = field(default_factory=list)
    conflicts: int = 0
    open: threading.Event = field(default_factory=threading.Event)
    fault: Failure | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.open.set()

    def begin_tick(self) -> None:
        """Nothing is remembered here."""

    def perform(self, request: Any) -> Answer:
        if self.fault is not None:
            return self.fault
        if isinstance(request, ReadPolicy):
            return dict(self.policy)
        assert isinstance(request, WritePolicyStatus)
        self.open.wait(60.0)
        with self.lock:
            if self.conflicts or request.resource_version != self.policy["metadata"]["resourceVersion"]:
                self.conflicts = max(0, self.conflicts - 1)
                return Failure(FailureKind.CONFLICT, "somebody was faster")
            self.writes.append(request)
            version = str(int(request.resource_version) + 1)
            metadata = {**self.policy["metadata"], "resourceVersion": version}
            status = {**(self.policy.get("status") or {}), **request.status}
            self.policy = {**self.policy, "metadata": metadata, "status": status}
            return self.policy

    @property
    def inbox(self) -> tuple[Told, ...]:
        return read_inbox(self.policy)


@dataclass
class Level:
    """What Alertmanager says: that these fingerprints fire, or nothing; and how many seconds each question takes it."""

    fires: set[str] | None
    clock: SetClock
    asked: int = 0
    takes: float = 0.0

    def perform(self, ask: ReadFiring) -> FiringAlerts | Failure:
        self.asked += 1
        self.clock.at += self.takes
        if self.fires is None:
            return Failure(FailureKind.UNAVAILABLE, "no connection")
        labels = {"alertname": "CheckoutErrors", "service": "checkout"}
        active = {"state": "active", "silencedBy": [], "inhibitedBy": []}
        return FiringAlerts(
            tuple(
                {"fingerprint": each, "labels": labels, "startsAt": "2025-10-09T08:53:00Z", "status": active}
                for each in self.fires
            )
        )


@dataclass
class Ear:
    """What was told."""

    heard: list[tuple[str, Any]] = field(default_factory=list)

    def came(self, outcome: str, number: int) -> None:
        self.heard += [(outcome, number)] if number else []

    def kept(self, app: AppKey, alerts: Sequence[Told], *, active: bool) -> None:
        self.heard.append(("kept" if active else "idle", len(alerts)))

    def wrote(self) -> None:
        self.heard.append(("wrote", 1))

    def ignored(self, app: AppKey, alerts: Sequence[Told]) -> None:
        self.heard.append(("ignored", len(alerts)))

    def odd(self, name: str, because: str) -> None:
        self.heard.append(("odd", name))


@dataclass
class House:
    """An intake and everything around it."""

    fires: set[str] | None = field(default_factory=lambda: {"f1"})
    active: bool = True

    def __post_init__(self) -> None:
        self.clock = SetClock()
        self.shelf, self.level, self.ear = Shelf(), Level(self.fires, self.clock), Ear()
        self.woken: list[AppKey] = []
        self.policies: list[dict[str, Any]] | Failure | None = None
        self.intake = Intake(
            self.shelf,
            self.level,
            lambda: [self.shelf.policy] if self.policies is None else self.policies,
            lambda _: self.active,
            self.woken.append,
            self.clock,
            self.ear,
        )

    def take(self, *alerts: dict[str, Any], **more: Any) -> Failure | None:
        import json

        post = read_post(json.dumps(a_post(*alerts, **more)).encode(), NOW)
        assert isinstance(post, Post)
        return self.intake.take(post, NOW)


def f(number: int, **more: Any) -> dict[str, Any]:
    return an_alert(fingerprint=f"f{number}", **more)


def test_an_alert_is_in_the_cluster_confirmed_and_its_app_awake_before_the_post_is_answered() -> None:
    house = House()
    assert house.take(f(1)) is None
    (told,) = house.shelf.inbox
    assert (told.fingerprint, told.confirmed, told.heard) == ("f1", True, NOW)
    assert house.woken == [CHECKOUT]
    assert ("kept", 1) in house.ear.heard


def test_a1_the_same_post_again_writes_nothing() -> None:
    house = House()
    for _ in range(5):
        assert house.take(f(1), f(1)) is None
    assert len(house.shelf.writes) == 1
    assert len(house.shelf.inbox) == 1


def test_a2_an_end_that_comes_first_is_nothing_and_the_firing_after_it_counts() -> None:
    house = House()
    assert house.take(f(1, status="resolved")) is None
    assert (house.shelf.writes, house.woken) == ([], [])
    house.take(f(1))
    assert [told.ended for told in house.shelf.inbox] == [None]


def test_a3_an_end_is_noted_and_the_firing_stays() -> None:
    house = House()
    house.take(f(1))
    house.take(f(1, status="resolved"))
    assert [(told.confirmed, told.ended) for told in house.shelf.inbox] == [(True, NOW)]


def test_a5_a_post_of_an_alert_that_does_not_fire_is_ignored_and_counted() -> None:
    house = House(fires={"f2"})
    assert house.take(f(1)) is None
    assert (house.shelf.writes, house.woken) == ([], [])
    assert ("ignored", 1) in house.ear.heard


def test_a5_a_post_that_nobody_can_confirm_is_kept_and_waits_for_the_level() -> None:
    house = House(fires=None)
    assert house.take(f(1)) is None
    assert [told.confirmed for told in house.shelf.inbox] == [False]


def test_a8_what_concerns_nobody_is_counted_and_costs_no_request() -> None:
    house = House()
    assert house.take(f(1, labels={"alertname": "X", "service": "search"})) is None
    assert (house.shelf.writes, house.level.asked) == ([], 0)
    assert ("unmatched", 1) in house.ear.heard


def test_a9_an_alert_of_an_idle_app_is_kept_and_told_as_such() -> None:
    house = House(active=False)
    assert house.take(f(1)) is None
    assert ("idle", 1) in house.ear.heard


@pytest.mark.parametrize("kind", [FailureKind.UNAVAILABLE, FailureKind.FORBIDDEN, FailureKind.THROTTLED])
def test_a10_what_could_not_be_kept_is_a_failure_to_its_sender(kind: FailureKind) -> None:
    house = House()
    house.shelf.fault = Failure(kind, "no")
    assert house.take(f(1)) == Failure(kind, "no")
    assert house.woken == []


def test_a10_a_copy_of_the_policies_that_may_not_be_looked_at_is_a_failure_and_not_nobody() -> None:
    house = House()
    house.policies = DOWN
    assert house.take(f(1)) == DOWN


def test_a_write_that_somebody_was_faster_with_is_made_again() -> None:
    house = House()
    house.shelf.conflicts = 3
    assert house.take(f(1)) is None
    assert len(house.shelf.inbox) == 1


def test_a_write_that_is_always_lost_ends_as_a_failure() -> None:
    house = House()
    house.shelf.conflicts = 10_000
    failure = house.take(f(1))
    assert failure is not None and failure.kind is FailureKind.CONFLICT


def test_a_policy_that_has_gone_has_no_inbox() -> None:
    house = House()
    house.shelf.fault = Failure(FailureKind.ABSENT, "gone")
    assert house.take(f(1)) is None


def test_a12_a_post_that_was_cut_short_wakes_every_release_under_way() -> None:
    house = House()
    assert house.take(f(1, labels={"alertname": "X", "service": "search"}), truncatedAlerts=3) is None
    assert house.woken == [CHECKOUT]


@pytest.mark.parametrize("alert", [f(1, status="resolved"), f(2)], ids=["an end", "an old one"])
def test_a12_a_post_that_was_cut_short_wakes_also_whom_it_told_nothing_new(alert: dict[str, Any]) -> None:
    house = House()
    assert house.take(alert, truncatedAlerts=3) is None
    assert house.woken == [CHECKOUT]


def test_a13_posts_that_come_together_share_their_writes() -> None:
    house = House(fires={f"f{n}" for n in range(200)})
    house.shelf.open.clear()
    results: list[Failure | None] = []
    threads = [threading.Thread(target=lambda n=n: results.append(house.take(f(n)))) for n in range(200)]
    for thread in threads:
        thread.start()
    eventually(lambda: house.ear.heard.count(("matched", 1)) == 200, "all have come")
    house.shelf.open.set()
    for thread in threads:
        thread.join()
    assert results == [None] * 200
    assert len(house.shelf.writes) < 100
    assert house.level.asked == 1
    assert sum(number for what, number in house.ear.heard if what == "kept") == 200


def test_a13_an_alert_that_the_last_answer_does_not_have_is_asked_about_at_once() -> None:
    house = House()
    house.take(f(1))
    assert house.level.fires is not None
    house.level.fires.add("f2")
    house.take(f(2))
    house.take(f(2), f(1))
    assert (house.level.asked, [told.confirmed for told in house.shelf.inbox]) == (2, [True, True])


def test_a5_what_fired_a_while_ago_is_asked_about_anew() -> None:
    house = House()
    house.take(f(1))
    house.clock.at += FIRED_LATELY
    house.level.fires = {"f9"}
    house.take(f(1, startsAt="2025-10-09T08:53:10Z"))
    assert ("ignored", 1) in house.ear.heard


@dataclass
class Rack:
    """A cluster with many policies, each on a shelf of its own."""

    shelves: dict[str, Shelf]

    def begin_tick(self) -> None:
        """Nothing is remembered here."""

    def perform(self, request: Any) -> Answer:
        return self.shelves[request.name].perform(request)


class Mall(House):
    """A house with many policies that ask for the same alerts, each by a question of its own."""

    def __init__(self, number: int) -> None:
        super().__init__()
        names = [f"app-{index}" for index in range(number)]
        self.rack = Rack({name: Shelf() for name in names})
        for name, shelf in self.rack.shelves.items():
            metadata = {**shelf.policy["metadata"], "name": name, "uid": name}
            match = {"service": "checkout", "alertname": "CheckoutErrors"}
            shelf.policy = {"metadata": metadata, "spec": {"alerts": [{"match": match}]}}
        self.policies = [shelf.policy for shelf in self.rack.shelves.values()]
        self.intake = Intake(
            self.rack,
            self.level,
            lambda: self.policies or [],
            lambda _: self.active,
            self.woken.append,
            self.clock,
            self.ear,
        )

    @property
    def confirmed(self) -> list[bool]:
        """Of each alert in each inbox, whether Alertmanager has confirmed it."""
        return [told.confirmed for shelf in self.rack.shelves.values() for told in shelf.inbox]


def test_a11_a_post_about_many_policies_waits_once_for_an_alertmanager_that_hangs() -> None:
    mall = Mall(40)
    mall.level.fires, mall.level.takes = None, 5.0
    assert mall.take(f(1)) is None
    assert (mall.level.asked, mall.clock.at) == (1, SetClock().at + 5.0)
    assert mall.confirmed == [False] * 40  # all of it is in the cluster, and proves nothing by itself
    assert len(mall.woken) == 40


def test_a11_once_it_has_hung_posts_wait_for_it_again_after_a_while_and_it_is_believed_at_once() -> None:
    mall = Mall(3)
    mall.level.fires, mall.level.takes = None, 5.0
    mall.take(f(1))
    mall.clock.at += 5.0 * REST - 0.5
    mall.take(f(2))
    assert mall.level.asked == 1
    mall.clock.at += 0.5
    mall.take(f(3))
    assert (mall.level.asked, mall.confirmed) == (2, [False] * 9)
    mall.clock.at += 5.0 * REST
    mall.level.fires = {"f4"}
    mall.take(f(4))
    assert mall.level.asked == 2 + 3
    assert mall.confirmed == [False, False, False, True] * 3


def test_a11_one_question_that_is_refused_at_once_keeps_no_policy_from_asking_its_own() -> None:
    mall = Mall(3)
    mall.level.fires = None
    mall.take(f(1))
    assert mall.level.asked == 3


def test_a11_a_slow_answer_is_an_answer() -> None:
    mall = Mall(3)
    mall.level.takes = 5.0
    mall.take(f(1))
    assert (mall.level.asked, mall.confirmed) == (3, [True] * 3)


def test_a11_an_answer_ends_the_rest_that_a_question_of_the_same_time_began() -> None:
    mall = Mall(3)
    answers, told = mall.level.perform, mall.policies
    assert isinstance(told, list)

    def answers_late(ask: ReadFiring) -> FiringAlerts | Failure:
        """Meanwhile a post for another policy is let wait for nothing."""
        mall.level.perform = answers  # type: ignore[method-assign]
        mall.level.fires, mall.level.takes = None, 5.0
        mall.policies = told[1:2]
        mall.take(f(1))
        mall.level.fires, mall.level.takes = {"f1"}, 0.0
        return answers(ask)

    mall.policies = told[:1]
    mall.level.perform = answers_late  # type: ignore[method-assign]
    mall.take(f(1))
    mall.policies = told[2:]
    mall.take(f(1))
    assert mall.confirmed == [True, False, True]


def test_what_a_thread_could_not_write_is_not_taken_for_written_by_those_that_waited() -> None:
    house = House(fires={f"f{n}" for n in range(50)})
    house.shelf.fault = DOWN
    results: list[Failure | None] = []
    threads = [threading.Thread(target=lambda n=n: results.append(house.take(f(n)))) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DOWN] * 50


def test_an_edited_policy_is_known_at_once() -> None:
    house = House()
    house.take(f(1, labels={"alertname": "X", "team": "shop"}))
    assert house.shelf.writes == []
    metadata = {**house.shelf.policy["metadata"], "generation": 2}
    house.shelf.policy = {**house.shelf.policy, "metadata": metadata, "spec": {"alerts": [{"match": {"team": "shop"}}]}}
    house.level.fires = None
    house.take(f(1, labels={"alertname": "X", "team": "shop"}))
    assert len(house.shelf.writes) == 1
