"""The shell: a look may come from the cache, a leap never does, and neither ever invents an absence."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.cluster.cache import Cache, Kind
from controller.cluster.own_writes import rv_at_least
from controller.cluster.shell import Cluster
from controller.release.observation import Claim, PodList
from controller.release.plan import PatchSlot
from controller.release.vocabulary import Phase
from controller.requests import Answer
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import (
    Neighbours,
    Permission,
    ReadBaseline,
    ReadNeighbours,
    ReadPods,
    ReadPolicy,
    ReadRelease,
    ReadReleases,
    ReadSlot,
    ReadTrains,
    ReviewAccess,
)
from controller.requests.writes import CreateRelease, DeleteRelease, WriteEvent, WriteRecord, WriteSlot
from tests.controller.adapters import server as http
from tests.controller.adapters.builders import SetClock, connection_to, event, eventually

RELEASES = "/apis/nightferry.dev/v1alpha1/namespaces/shop/releases"
POLICIES = "/apis/nightferry.dev/v1alpha1/namespaces/shop/releasepolicies"
SLOTS = "/apis/apps/v1/namespaces/shop/deployments"
BASELINES = "/apis/nightferry.dev/v1alpha1/namespaces/shop/baselines"
TRAINS = "/apis/nightferry.dev/v1alpha1/namespaces/shop/releasetrains"
PODS = "/api/v1/namespaces/shop/pods"
CLAIM = Claim("checkout-1", "uid-1", "contender", Phase.BATCH, epoch=4, replicas=3, desired=8)


def deployment(name: str = "checkout", version: str = "5") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": version, "uid": "u"}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 2}}


def release(name: str, policy: str = "checkout", version: str = "5") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": version}
    return {"kind": "Release", "metadata": metadata, "spec": {"policy": policy}}


def a_pod(name: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": "3", "labels": {"app": "checkout"}}
    return {"metadata": metadata, **more}


@dataclass
class Shop:
    """An API server with a few objects, whose watches are silent; `on` gives an answer of its own to a path."""

    clock: SetClock
    server: http.Server
    cluster: Cluster
    cache: Cache
    answers: dict[tuple[str, str], list[http.Answer]] = field(default_factory=dict)
    watches: dict[str, http.Line] = field(default_factory=dict)

    def tell(self, path: str, one: dict[str, Any]) -> None:
        """Sends an event to the watch of a path."""
        self.watches[path].send(http.chunk(json.dumps(one).encode() + b"\n"))

    def on(self, method: str, path: str, *answers: http.Answer) -> None:
        self.answers[method, path] = list(answers)

    def asked(self, method: str, path: str) -> list[http.Asked]:
        """Requests to a path, without those of the watch copies."""
        cached = {RELEASES, POLICIES, SLOTS, PODS, BASELINES, TRAINS}
        found = [
            one for one in self.server.asked if (one.method, one.path) == (method, path) and "watch" not in one.query
        ]
        return found[1:] if method == "GET" and path in cached else found

    def do(self, request: Any) -> Answer:
        return self.cluster.perform(request)


@contextlib.contextmanager
def a_shop(
    *,
    slots: list[Any] | None = None,
    releases: list[Any] | None = None,
    pods: list[Any] | None = None,
    on_change: Callable[[Kind, str, str, Any], None] = lambda *_: None,
) -> Iterator[Shop]:
    lists = {
        POLICIES: ("ReleasePolicyList", [{"kind": "ReleasePolicy", "metadata": _meta("checkout"), "spec": {}}]),
        RELEASES: ("ReleaseList", releases or []),
        SLOTS: ("DeploymentList", slots or [deployment()]),
        PODS: ("PodList", pods or []),
        BASELINES: ("BaselineList", [{"kind": "Baseline", "metadata": _meta("checkout")}]),
        TRAINS: ("ReleaseTrainList", [{"kind": "ReleaseTrain", "metadata": _meta("nightly")}]),
    }
    own: dict[tuple[str, str], list[http.Answer]] = {}
    watches: dict[str, http.Line] = {}

    def answer(asked: http.Asked, line: http.Line) -> None:
        mine = own.get((asked.method, asked.path))
        if "watch" in asked.query:
            watches[asked.path] = line
            line.send(http.CHUNKED)
            line.silence()
        elif mine:
            (mine.pop(0) if len(mine) > 1 else mine[0])(asked, line)
        elif asked.path in lists:
            kind, items = lists[asked.path]
            http.pages(kind, items, version="10")[0](asked, line)
        else:
            http.status(404, "not found", "NotFound", name=asked.path.rsplit("/", 1)[1])(asked, line)

    clock = SetClock()
    with http.serving(answer) as server:
        connection = connection_to(server.url, clock)
        cache = Cache(connection, clock, namespace="shop", on_change=on_change)
        cache.start()
        try:
            eventually(lambda: cache.synced and all(one.watching for one in cache._reflectors.values()), "the cache")
            cluster = Cluster(connection, cache, clock)
            cluster.begin_tick()
            yield Shop(clock, server, cluster, cache, own, watches)
        finally:
            cache.stop()


def _meta(name: str, version: str = "5") -> dict[str, str]:
    return {"name": name, "namespace": "shop", "resourceVersion": version}


def kind_of(answer: Answer) -> FailureKind:
    assert isinstance(answer, Failure), answer
    return answer.kind


# -------------------------------------------------------------------------------------------------- looks


def test_a_look_asks_the_server_nothing() -> None:
    pods = [a_pod("checkout-1-aaaaa"), {**a_pod("other-1-bbbbb"), "metadata": {**_meta("other-1-bbbbb"), "labels": {}}}]
    with a_shop(releases=[release("r1"), release("r2", "payments")], pods=pods) as shop:
        before = len(shop.server.asked)
        policy = shop.do(ReadPolicy("shop", "checkout"))
        slot = shop.do(ReadSlot("shop", "checkout"))
        releases = shop.do(ReadReleases("shop", "checkout"))
        found = shop.do(ReadPods("shop", (("app", "checkout"),)))
        assert len(shop.server.asked) == before
    assert isinstance(policy, dict)
    assert policy["metadata"]["name"] == "checkout"
    assert isinstance(slot, dict)
    assert slot["spec"] == {"replicas": 2}
    assert isinstance(releases, list)
    assert [one["metadata"]["name"] for one in releases] == ["r1"]
    assert isinstance(found, PodList)
    assert [pod.name for pod in found.items] == ["checkout-1-aaaaa"]
    assert found.resource_version == "10"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_pod_that_has_ended_is_no_pod_of_the_app_any_more(fresh: bool) -> None:
    ended = [{**a_pod(f"checkout-1-{phase}"), "status": {"phase": phase}} for phase in ("Failed", "Succeeded")]
    others = [{**a_pod(f"checkout-1-{phase}"), "status": {"phase": phase}} for phase in ("Pending", "Running")]
    with a_shop(pods=[*ended, *others]) as shop:
        found = shop.do(ReadPods("shop", (("app", "checkout"),), fresh=fresh))
    assert isinstance(found, PodList)
    assert [pod.name for pod in found.items] == ["checkout-1-Pending", "checkout-1-Running"]


@pytest.mark.parametrize(
    "request_",
    [
        ReadPolicy("shop", "checkout"),
        ReadSlot("shop", "checkout"),
        ReadReleases("shop", "checkout"),
        ReadPods("shop", ()),
        ReadBaseline("shop", "checkout"),
    ],
)
def test_k8_a_copy_that_has_grown_old_answers_nothing(request_: Any) -> None:
    with a_shop() as shop:
        shop.clock.at += 89.0
        assert not isinstance(shop.do(request_), Failure)
        shop.clock.at += 2.0
        assert kind_of(shop.do(request_)) is FailureKind.UNAVAILABLE
        assert shop.cache.age() == 91.0


def test_an_absent_slot_is_absent_and_an_absent_policy_is_asked_for() -> None:
    with a_shop() as shop:
        assert kind_of(shop.do(ReadSlot("shop", "checkout-twin"))) is FailureKind.ABSENT
        assert shop.asked("GET", f"{SLOTS}/checkout-twin") == []
        # Absence of a policy stops a release: the server says it, not a copy.
        assert kind_of(shop.do(ReadPolicy("shop", "payments"))) is FailureKind.ABSENT
        assert len(shop.asked("GET", f"{POLICIES}/payments")) == 1


def test_k20_a_policy_whose_kind_is_gone_is_not_an_absent_policy() -> None:
    with a_shop() as shop:
        shop.on("GET", f"{POLICIES}/payments", http.plain(b"404 page not found\n", 404))
        assert kind_of(shop.do(ReadPolicy("shop", "payments"))) is FailureKind.NO_KIND


def test_a_pod_that_cannot_be_read_makes_the_list_a_failure() -> None:
    with a_shop(pods=[a_pod("a"), a_pod("b", status={"containerStatuses": "odd"})]) as shop:
        answer = shop.do(ReadPods("shop", ()))
        assert kind_of(answer) is FailureKind.UNAVAILABLE
        assert isinstance(answer, Failure)
        assert "pod b" in answer.message
        assert kind_of(shop.do(ReadPods("shop", (), fresh=True))) is FailureKind.UNAVAILABLE


# ---------------------------------------------------------------------------------------------- quorum reads


def test_k10_a_fresh_read_goes_to_the_server_without_a_version() -> None:
    with a_shop() as shop:
        shop.on("GET", f"{SLOTS}/checkout", http.obj(deployment(version="99")))
        slot = shop.do(ReadSlot("shop", "checkout", fresh=True))
        assert isinstance(slot, dict)
        assert slot["metadata"]["resourceVersion"] == "99"
        shop.do(ReadPods("shop", (("app", "checkout"), ("tier", "web")), fresh=True))
        (asked,) = shop.asked("GET", PODS)
        assert asked.query == {"labelSelector": "app=checkout,tier=web", "limit": "500"}
        shop.do(ReadReleases("shop", "checkout", fresh=True))
        assert all("resourceVersion" not in one.query for one in shop.asked("GET", RELEASES))
        shop.do(ReadTrains("shop"))
        assert not shop.asked("GET", TRAINS)
        trains = shop.do(ReadTrains("shop", fresh=True))
        assert isinstance(trains, list)
        assert [one["metadata"]["name"] for one in trains] == ["nightly"]
        (asked,) = shop.asked("GET", TRAINS)
        assert "resourceVersion" not in asked.query


@pytest.mark.parametrize(
    "answer",
    [
        http.plain(b"<html>please log in</html>"),
        http.plain(b""),
        http.obj({}),
        http.obj([]),
        http.obj({"kind": "Deployment"}),
        http.obj(deployment("another")),
        http.obj({"kind": "Deployment", "metadata": {"name": "checkout"}}),
        http.obj({"kind": "Status", "status": "Success", "metadata": {}}),
        http.plain(b'{"kind":"Deployment","metadata":' + b'{"a":' * 50_000),
        http.plain(
            b'{"kind":"Deployment","metadata":{"name":"checkout","resourceVersion":"1"},"spec":{"replicas":NaN}}'
        ),
    ],
)
def test_a_success_that_is_not_the_object_is_a_failure(answer: http.Answer) -> None:
    with a_shop() as shop:
        shop.on("GET", f"{SLOTS}/checkout", answer)
        assert kind_of(shop.do(ReadSlot("shop", "checkout", fresh=True))) is FailureKind.UNAVAILABLE


def test_neighbours_are_all_three_lists_or_none() -> None:
    scaler = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
    services = "/api/v1/namespaces/shop/services"
    with a_shop() as shop:
        shop.on("GET", scaler, *http.pages("HorizontalPodAutoscalerList", [{"metadata": _meta("hpa")}]))
        shop.on("GET", services, *http.pages("ServiceList", [{"metadata": _meta("checkout")}]))
        found = shop.do(ReadNeighbours("shop"))
        assert isinstance(found, Neighbours)
        assert [len(part) for part in (found.policies, found.autoscalers, found.services)] == [1, 1, 1]
        shop.on("GET", services, http.status(403, 'User "x" cannot list services', "Forbidden"))
        assert kind_of(shop.do(ReadNeighbours("shop"))) is FailureKind.FORBIDDEN


def test_k18_the_permissions_that_are_lacking() -> None:
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    def review(asked: http.Asked, line: http.Line) -> None:
        allowed = asked.json["spec"]["resourceAttributes"]["verb"] == "get"
        http.obj({"kind": "SelfSubjectAccessReview", "metadata": {}, "status": {"allowed": allowed}}, 201)(asked, line)

    get, patch = Permission("get", "apps", "deployments"), Permission("patch", "apps", "deployments")
    with a_shop() as shop:
        shop.on("POST", reviews, review)
        assert shop.do(ReviewAccess("shop", (get, patch))) == (patch,)
        assert shop.do(ReviewAccess("shop", (get,))) == ()
        # An answer without a verdict is no permission.
        shop.on("POST", reviews, http.obj({"kind": "SelfSubjectAccessReview", "metadata": {}}, 201))
        assert shop.do(ReviewAccess("shop", (get,))) == (get,)
        shop.on("POST", reviews, http.status(500, "boom"))
        assert kind_of(shop.do(ReviewAccess("shop", (get,)))) is FailureKind.UNAVAILABLE


# --------------------------------------------------------------------------------------------------- writes


def slot_write(version: str = "5") -> WriteSlot:
    return WriteSlot("shop", PatchSlot("checkout", version, claim=CLAIM, summary="s", replicas=3))


def looked(shop: Shop) -> None:
    """A quorum read, on which a write may rest."""
    shop.on("GET", f"{SLOTS}/checkout", http.obj(deployment()))
    assert not isinstance(shop.do(ReadSlot("shop", "checkout", fresh=True)), Failure)


def test_k15_a_write_of_a_slot_rests_on_a_quorum_read_of_this_tick() -> None:
    with a_shop() as shop:
        shop.on("PATCH", f"{SLOTS}/checkout", http.obj(deployment(version="6")))
        assert kind_of(shop.do(slot_write())) is FailureKind.STALE
        shop.do(ReadSlot("shop", "checkout"))  # a look at the cache is no quorum read
        assert kind_of(shop.do(slot_write())) is FailureKind.STALE
        looked(shop)
        assert not isinstance(shop.do(slot_write()), Failure)
        shop.cluster.begin_tick()
        assert kind_of(shop.do(slot_write())) is FailureKind.STALE
        assert len(shop.asked("PATCH", f"{SLOTS}/checkout")) == 1


def test_k15_a_process_that_was_frozen_between_look_and_leap_must_look_again() -> None:
    with a_shop() as shop:
        looked(shop)
        shop.clock.at += 10.5
        for request in (slot_write(), WriteRecord("shop", "r1", "5", {}), DeleteRelease("shop", "r1", "u")):
            assert kind_of(shop.do(request)) is FailureKind.STALE
        assert [one.method for one in shop.server.asked if one.method != "GET"] == []


def test_k15_a_tick_that_was_frozen_before_its_first_look_writes_nothing_although_its_look_is_new() -> None:
    with a_shop() as shop:
        shop.cluster.begin_tick()
        shop.clock.at += 61.0
        looked(shop)
        shop.on("PATCH", f"{SLOTS}/checkout", http.obj(deployment(version="6")))
        for request in (slot_write(), WriteRecord("shop", "r1", "5", {})):
            assert kind_of(shop.do(request)) is FailureKind.STALE
        shop.cluster.begin_tick()
        looked(shop)
        assert not isinstance(shop.do(slot_write()), Failure)


def test_an_absence_read_with_a_quorum_counts_as_a_look() -> None:
    with a_shop() as shop:
        shop.on("PATCH", f"{SLOTS}/checkout", http.obj(deployment(version="6")))
        assert kind_of(shop.do(ReadSlot("shop", "checkout-twin", fresh=True))) is FailureKind.ABSENT
        assert not isinstance(shop.do(slot_write()), Failure)


def test_a_failed_read_does_not_count_as_a_look() -> None:
    with a_shop() as shop:
        shop.on("GET", f"{SLOTS}/checkout", http.status(503, "down"))
        assert kind_of(shop.do(ReadSlot("shop", "checkout", fresh=True))) is FailureKind.UNAVAILABLE
        assert kind_of(shop.do(slot_write())) is FailureKind.STALE


def test_a_record_may_be_written_in_a_tick_that_has_only_looked_at_the_cache() -> None:
    with a_shop() as shop:
        shop.on("PATCH", f"{RELEASES}/r1/status", http.obj(release("r1", version="6")))
        assert not isinstance(shop.do(WriteRecord("shop", "r1", "5", {"phase": "Queued"})), Failure)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http.status(409, "modified", "Conflict", name="checkout"), FailureKind.CONFLICT),
        (http.status(404, "gone", "NotFound", name="checkout"), FailureKind.ABSENT),
        (http.status(422, "spec.replicas: Invalid value", "Invalid"), FailureKind.INVALID),
        (http.status(403, 'User "x" cannot patch resource "deployments"', "Forbidden"), FailureKind.FORBIDDEN),
        (http.status(429, "slow", headers={"Retry-After": "2"}), FailureKind.THROTTLED),
        (http.hang_up, FailureKind.UNAVAILABLE),
        (http.plain(b"<html>"), FailureKind.UNAVAILABLE),
    ],
)
def test_a_write_that_fails_is_sent_once_and_says_why(answer: http.Answer, kind: FailureKind) -> None:
    with a_shop() as shop:
        looked(shop)
        shop.on("PATCH", f"{SLOTS}/checkout", answer)
        assert kind_of(shop.do(slot_write())) is kind
        assert len(shop.asked("PATCH", f"{SLOTS}/checkout")) == 1


def test_k10_after_our_own_write_the_cache_is_passed_by_until_it_has_caught_up() -> None:
    with a_shop() as shop:
        looked(shop)
        shop.on("PATCH", f"{SLOTS}/checkout", http.obj(deployment(version="20")))
        shop.on("GET", f"{SLOTS}/checkout", http.obj(deployment(version="20")))
        shop.do(slot_write())
        before = len(shop.asked("GET", f"{SLOTS}/checkout"))
        slot = shop.do(ReadSlot("shop", "checkout"))
        assert isinstance(slot, dict)
        assert slot["metadata"]["resourceVersion"] == "20"  # the cache still has 5
        assert len(shop.asked("GET", f"{SLOTS}/checkout")) == before + 1
        shop.tell(SLOTS, event("MODIFIED", deployment(version="21")))
        eventually(lambda: shop.cache.version_of(Kind.DEPLOYMENT, "shop", "checkout") == "21", "the cache has it")
        slot = shop.do(ReadSlot("shop", "checkout"))
        assert isinstance(slot, dict)
        assert slot["metadata"]["resourceVersion"] == "21"
        assert len(shop.asked("GET", f"{SLOTS}/checkout")) == before + 1


def test_k10_an_answer_older_than_our_own_write_is_refused_for_a_while() -> None:
    with a_shop() as shop:
        looked(shop)
        shop.on("PATCH", f"{SLOTS}/checkout", http.obj(deployment(version="20")))
        shop.do(slot_write())
        # A member of the control plane that lags behind answers from before the write.
        shop.on("GET", f"{SLOTS}/checkout", http.obj(deployment(version="19")))
        for fresh in (True, False):
            answer = shop.do(ReadSlot("shop", "checkout", fresh=fresh))
            assert isinstance(answer, Failure)
            assert (answer.kind, "older than what we wrote" in answer.message) == (FailureKind.UNAVAILABLE, True)
        # K11: a store restored from a backup counts from lower numbers; it is believed after a while.
        shop.clock.at += 121.0
        assert not isinstance(shop.do(ReadSlot("shop", "checkout", fresh=True)), Failure)


def test_k10_a_list_older_than_our_own_write_is_refused() -> None:
    with a_shop(releases=[release("r1", version="5")]) as shop:
        shop.on("PATCH", f"{RELEASES}/r1/status", http.obj(release("r1", version="20")))
        assert not isinstance(shop.do(WriteRecord("shop", "r1", "5", {"phase": "Queued"})), Failure)
        for fresh in (True, False):
            assert kind_of(shop.do(ReadReleases("shop", "checkout", fresh=fresh))) is FailureKind.UNAVAILABLE
        shop.on("GET", RELEASES, *http.pages("ReleaseList", [release("r1", version="20")]))
        assert len(shop.do(ReadReleases("shop", "checkout"))) == 1  # type: ignore[arg-type]


def test_k10_a_release_we_created_is_in_the_list_before_the_cache_has_it() -> None:
    with a_shop() as shop:
        shop.on("POST", RELEASES, http.obj(release("r9", version="30"), 201))
        assert not isinstance(shop.do(CreateRelease("shop", {"kind": "Release", "metadata": {"name": "r9"}})), Failure)
        shop.on("GET", RELEASES, *http.pages("ReleaseList", [release("r9", version="30")]))
        found = shop.do(ReadReleases("shop", "checkout"))
        assert isinstance(found, list)
        assert [one["metadata"]["name"] for one in found] == ["r9"]
        # Somebody deletes it: the cache will never show it, and is believed again.
        shop.on("GET", RELEASES, *http.pages("ReleaseList", []))
        assert shop.do(ReadReleases("shop", "checkout")) == []
        asked = len(shop.asked("GET", RELEASES))
        assert shop.do(ReadReleases("shop", "checkout")) == []
        assert len(shop.asked("GET", RELEASES)) == asked


def test_k27_a_release_is_deleted_by_its_uid_and_is_gone_either_way() -> None:
    with a_shop() as shop:
        shop.on("DELETE", f"{RELEASES}/r1", http.obj({"kind": "Status", "status": "Success"}))
        assert shop.do(DeleteRelease("shop", "r1", "u")) is None
        shop.on("DELETE", f"{RELEASES}/r1", http.status(404, "not found", "NotFound", name="r1"))
        assert shop.do(DeleteRelease("shop", "r1", "u")) is None
        shop.on("DELETE", f"{RELEASES}/r1", http.status(409, "the UID does not match", "Conflict", name="r1"))
        assert kind_of(shop.do(DeleteRelease("shop", "r1", "u"))) is FailureKind.CONFLICT


def test_k30_an_event_that_exists_is_fine_and_one_that_fails_is_a_value() -> None:
    written = WriteEvent("shop", "r1.1", "r1", "u", "Normal", "Queued", "waits", 1.0)
    with a_shop() as shop:
        path = "/api/v1/namespaces/shop/events"
        shop.on("POST", path, http.obj({"kind": "Event", "metadata": {}}, 201))
        assert shop.do(written) is None
        shop.on("POST", path, http.status(409, "exists", "AlreadyExists", name="r1.1"))
        assert shop.do(written) is None
        shop.on("POST", path, http.status(500, "boom"))
        assert kind_of(shop.do(written)) is FailureKind.UNAVAILABLE


def test_a_changed_object_wakes_the_listener() -> None:
    told: list[tuple[Kind, str, str, str]] = []

    def listener(kind: Kind, namespace: str, name: str, one: Any) -> None:
        told.append((kind, namespace, name, one["metadata"]["resourceVersion"]))

    with a_shop(on_change=listener) as shop:
        shop.tell(SLOTS, event("MODIFIED", deployment(version="11")))
        eventually(lambda: (Kind.DEPLOYMENT, "shop", "checkout", "11") in told, "the change is told")
    assert (Kind.DEPLOYMENT, "shop", "checkout", "5") in told
    assert (Kind.POLICY, "shop", "checkout", "5") in told


def test_a_release_by_name_is_always_read_from_the_server() -> None:
    with a_shop(releases=[release("r1")]) as shop:
        shop.on("GET", f"{RELEASES}/r1", http.obj(release("r1", version="77")))
        found = shop.do(ReadRelease("shop", "r1"))
        assert isinstance(found, dict)
        assert found["metadata"]["resourceVersion"] == "77"


@pytest.mark.parametrize(
    ("a", "b", "later"),
    [("10", "9", True), ("9", "10", False), ("10", "10", True), ("x", "x", True), ("x", "9", False), ("", "9", False)],
)
def test_versions_are_compared_as_numbers_where_they_are_numbers(a: str, b: str, later: bool) -> None:
    assert rv_at_least(a, b) is later
