"""Which change wakes which app: enough to be quick, and little enough to be quiet."""

from __future__ import annotations

from dataclasses import replace

from controller.cluster.cache import Kind
from controller.release.names import AppKey, TrainKey
from controller.release.observation import PodState
from controller.roster import Roster
from tests.controller.process.apps import CHECKOUT, SEARCH, Copies, policy, release

POD = PodState(name="checkout-twin-7d9f8c5b44-abcde", replica_set="checkout-twin-7d9f8c5b44")


def deployment(name: str, generation: int = 1) -> dict[str, object]:
    return {"metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": generation}}


def test_apps_are_policies_and_the_policies_that_releases_name() -> None:
    copies = Copies(
        policy("checkout"),
        policy("idle"),
        releases=(
            release("checkout-1", "checkout", "Succeeded"),
            release("checkout-2", "checkout", "Canary"),
            release("search-1", "search", "Batch"),  # its policy was deleted in mid-release
            release("idle-1", "idle", "RolledBack"),
        ),
    )
    roster = Roster(copies)
    assert roster.refresh() == {CHECKOUT: True, SEARCH: True, AppKey("shop", "idle"): False}
    assert roster.phases() == {"Succeeded": 1, "Canary": 1, "Batch": 1, "RolledBack": 1}


def test_a_release_wakes_its_app_when_people_write_and_not_when_we_do() -> None:
    roster = Roster(Copies(policy("checkout")))
    roster.refresh()
    asked = release("checkout-1", "checkout")
    assert roster.concerned(Kind.RELEASE, "shop", "checkout-1", asked) == CHECKOUT
    # Our own record: a new status at the same generation.
    assert roster.concerned(Kind.RELEASE, "shop", "checkout-1", release("checkout-1", "checkout", "Canary")) is None
    paused = release("checkout-1", "checkout", "Canary", generation=2)
    assert roster.concerned(Kind.RELEASE, "shop", "checkout-1", paused) == CHECKOUT
    deleted = release("checkout-1", "checkout", "Canary", generation=2)
    deleted["metadata"]["deletionTimestamp"] = "2026-03-01T00:00:00Z"
    assert roster.concerned(Kind.RELEASE, "shop", "checkout-1", deleted) == CHECKOUT


def test_both_slots_of_an_app_wake_it_and_a_strangers_deployment_does_not() -> None:
    roster = Roster(Copies(policy("checkout", deployment="till")))
    roster.refresh()
    for name in ("till", "till-twin"):
        assert roster.concerned(Kind.DEPLOYMENT, "shop", name, deployment(name)) == CHECKOUT
        assert roster.concerned(Kind.DEPLOYMENT, "shop", name, deployment(name)) is None, "a new status alone"
        assert roster.concerned(Kind.DEPLOYMENT, "shop", name, deployment(name, 2)) == CHECKOUT
    assert roster.concerned(Kind.DEPLOYMENT, "shop", "checkout", deployment("checkout")) is None
    assert roster.concerned(Kind.DEPLOYMENT, "other", "till", deployment("till")) is None


# `kubectl set image` on an app that rests: the tick that saw it came before the Deployment controller had.
def test_a_change_that_its_controller_has_acted_upon_wakes_once_more() -> None:
    roster = Roster(Copies(policy("checkout")))
    roster.refresh()

    def woken(observed: int, **status: object) -> bool:
        told = {**deployment("checkout", 2), "status": {"observedGeneration": observed, **status}}
        return roster.concerned(Kind.DEPLOYMENT, "shop", "checkout", told) == CHECKOUT

    assert woken(1), "the change"
    assert not woken(1, replicas=4)
    assert woken(2), "acted upon"
    assert not woken(2, replicas=3), "a new status alone"


def test_pods_wake_an_app_only_while_it_has_a_release() -> None:
    copies = Copies(policy("checkout"), releases=(release("checkout-1", "checkout", "Succeeded"),))
    roster = Roster(copies)
    roster.refresh()
    assert roster.concerned(Kind.POD, "shop", POD.name, POD) is None
    copies.releases.append(release("checkout-2", "checkout", "Canary"))
    roster.refresh()
    assert roster.concerned(Kind.POD, "shop", POD.name, POD) == CHECKOUT
    assert roster.concerned(Kind.POD, "shop", POD.name, POD) is None
    for change in (
        replace(POD, ready=True),
        replace(POD, ready=True, restarts=1),
        replace(POD, ready=True, restarts=1, waiting="CrashLoopBackOff"),
        replace(POD, ready=True, restarts=1, waiting="CrashLoopBackOff", terminating=True),
    ):
        assert roster.concerned(Kind.POD, "shop", POD.name, change) == CHECKOUT


def test_a_new_policy_is_known_before_the_next_round() -> None:
    roster = Roster(Copies())
    roster.refresh()
    assert roster.concerned(Kind.POLICY, "shop", "search", policy("search")) == SEARCH
    assert roster.concerned(Kind.DEPLOYMENT, "shop", "search", deployment("search")) == SEARCH


def test_objects_without_sense_wake_nobody() -> None:
    broken = {"metadata": {"namespace": "shop", "name": "odd"}, "spec": {"target": "checkout", "strategy": []}}
    roster = Roster(Copies(broken, releases=({"metadata": {"namespace": "shop", "name": "r"}, "spec": {}},)))
    assert list(roster.refresh()) == [AppKey("shop", "odd")]
    assert roster.concerned(Kind.RELEASE, "shop", "r", {"metadata": {}, "spec": {"policy": 7}}) is None


def test_a_train_is_always_awake_and_woken_when_people_write_and_not_when_we_do() -> None:
    train = {"metadata": {"namespace": "shop", "name": "nightly", "uid": "u", "generation": 1}}
    roster, key = Roster(Copies(policy("checkout"), trains=(train,))), TrainKey("shop", "nightly")
    assert roster.refresh() == {CHECKOUT: False, key: True} and roster.active(key)
    assert roster.concerned(Kind.TRAIN, "shop", "nightly", train) == key
    assert roster.concerned(Kind.TRAIN, "shop", "nightly", {**train, "status": {"phase": "Open"}}) is None
    edited = {"metadata": {**train["metadata"], "generation": 2}}
    assert roster.concerned(Kind.TRAIN, "shop", "nightly", edited) == key
