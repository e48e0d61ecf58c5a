"""Objects beside the Deployments: read and written in the version that the server has, under the same guards."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cluster.connection import JSON, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from controller.cluster.paths import OBJECTS, Resource
from controller.cluster.writes import call_of, object_call
from controller.release.names import Ref
from controller.release.plan import CreateObject, DeleteObject, PatchObject, PatchSlot
from controller.requests.failure import FailureKind
from controller.requests.looks import Neighbours, ReadNeighbours, ReadObject, ReadReplicaSets, ReplicaSetList
from controller.requests.writes import WriteObject, WriteSlot
from tests.controller.adapters import server as http
from tests.controller.adapters.test_shell import CLAIM, a_shop, kind_of

SERVICES = "/api/v1/namespaces/shop/services"
SETS = "/apis/apps/v1/namespaces/shop/replicasets"
SCALERS = {
    version: f"/apis/autoscaling/{version}/namespaces/shop/horizontalpodautoscalers"
    for version in ("v2", "v2beta2", "v1")
}
NOT_SERVED = http.plain(b"404 page not found\n", 404)
SERVICE = Ref("Service", "checkout")
SCALER = Ref("HorizontalPodAutoscaler", "checkout")


def an_object(kind: str, version: str = "5", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "checkout", "namespace": "shop", "resourceVersion": version, "uid": "u"}
    return {"kind": kind, "metadata": metadata, "spec": spec}


# ------------------------------------------------------------------------------------------------ over the wire


def test_a_patch_goes_at_the_version_it_was_decided_on_and_keeps_what_it_says_of_metadata() -> None:
    patch = {"metadata": {"annotations": {"nightferry.dev/saved": None}}, "spec": {"selector": {"app": None}}}
    call = object_call("shop", PatchObject(SERVICE, "42", patch, "s"), OBJECTS["Service"][0])
    assert (call.method, call.path, call.content_type) == ("PATCH", f"{SERVICES}/checkout", MERGE_PATCH)
    assert call.body == {
        "metadata": {"annotations": {"nightferry.dev/saved": None}, "resourceVersion": "42"},
        "spec": {"selector": {"app": None}},
    }
    assert call.query == (("fieldManager", "nightferry"),)


def test_an_object_is_created_in_the_version_that_the_server_has() -> None:
    manifest = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "checkout"}}
    older = Resource("/apis/networking.istio.io/v1beta1", "destinationrules")
    call = object_call("shop", CreateObject(Ref("DestinationRule", "checkout"), manifest, "s"), older)
    assert (call.method, call.content_type) == ("POST", JSON)
    assert call.path == "/apis/networking.istio.io/v1beta1/namespaces/shop/destinationrules"
    assert call.body == {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "DestinationRule",
        "metadata": {"name": "checkout", "namespace": "shop"},
    }


def test_k27_an_object_is_deleted_only_if_it_still_is_that_one() -> None:
    call = object_call("shop", DeleteObject(SERVICE, "uid-1", "42", "s"), OBJECTS["Service"][0])
    assert (call.method, call.path) == ("DELETE", f"{SERVICES}/checkout")
    assert call.body["preconditions"] == {"uid": "uid-1", "resourceVersion": "42"}


@pytest.mark.parametrize("template", [None, {"metadata": {}, "spec": {}}])
def test_further_fields_of_a_slot_go_in_the_same_patch(template: Any) -> None:
    fields = {"paused": True, "strategy": {"rollingUpdate": {"maxSurge": 1}}, "progressDeadlineSeconds": None}
    write = PatchSlot("checkout", "42", CLAIM, "s", replicas=3, template=template, fields=fields)
    call = call_of(WriteSlot("shop", write))
    spec = {key: value for key, value in call.body["spec"].items() if key != "template"}
    assert spec == {**fields, "replicas": 3}
    assert call.content_type == (MERGE_PATCH if template is None else STRATEGIC_MERGE_PATCH)


# ---------------------------------------------------------------------------------------------------- the shell


def test_an_object_is_always_read_from_the_server() -> None:
    with a_shop() as shop:
        shop.on("GET", f"{SERVICES}/checkout", http.obj(an_object("Service", selector={"app": "checkout"})))
        for fresh in (False, True):
            found = shop.do(ReadObject("shop", SERVICE, fresh))
            assert isinstance(found, dict) and found["spec"] == {"selector": {"app": "checkout"}}
        assert len(shop.asked("GET", f"{SERVICES}/checkout")) == 2
        shop.on("GET", f"{SERVICES}/checkout", http.status(404, "not found", "NotFound", name="checkout"))
        assert kind_of(shop.do(ReadObject("shop", SERVICE, True))) is FailureKind.ABSENT


def test_k20_a_kind_that_the_server_does_not_have_is_not_an_absent_object() -> None:
    route = Ref("HTTPRoute", "checkout")
    with a_shop() as shop:
        shop.on("GET", "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/checkout", NOT_SERVED)
        assert kind_of(shop.do(ReadObject("shop", route))) is FailureKind.NO_KIND


def test_k26_an_older_server_is_asked_in_an_older_version_and_spoken_to_in_it() -> None:
    with a_shop() as shop:
        shop.on("GET", f"{SCALERS['v2']}/checkout", NOT_SERVED)
        shop.on("GET", f"{SCALERS['v2beta2']}/checkout", http.obj(an_object("HorizontalPodAutoscaler")))
        assert isinstance(shop.do(ReadObject("shop", SCALER)), dict)
        shop.on("PATCH", f"{SCALERS['v2beta2']}/checkout", http.obj(an_object("HorizontalPodAutoscaler", "6")))
        assert isinstance(shop.do(WriteObject("shop", PatchObject(SCALER, "5", {"spec": {}}, "s"))), dict)
        assert len(shop.asked("GET", f"{SCALERS['v2']}/checkout")) == 1
        # The server is brought up to date, and drops the old version.
        shop.on("GET", f"{SCALERS['v2beta2']}/checkout", NOT_SERVED)
        shop.on("GET", f"{SCALERS['v2']}/checkout", http.obj(an_object("HorizontalPodAutoscaler", "7")))
        assert isinstance(shop.do(ReadObject("shop", SCALER)), dict)
        assert isinstance(shop.do(ReadObject("shop", SCALER)), dict)
        assert len(shop.asked("GET", f"{SCALERS['v2beta2']}/checkout")) == 2


def test_an_older_server_lists_its_autoscalers_with_the_version_that_they_are_written_in() -> None:
    with a_shop() as shop:
        shop.on("GET", SCALERS["v2"], NOT_SERVED)
        shop.on("GET", SCALERS["v2beta2"], NOT_SERVED)
        only = {"metadata": {"name": "checkout", "resourceVersion": "5"}}
        shop.on("GET", SCALERS["v1"], *http.pages("HorizontalPodAutoscalerList", [only]))
        shop.on("GET", SERVICES, *http.pages("ServiceList", []))
        found = shop.do(ReadNeighbours("shop"))
        assert isinstance(found, Neighbours)
        assert [one["apiVersion"] for one in found.autoscalers] == ["autoscaling/v1"]


def test_k15_a_write_beside_needs_a_quorum_read_of_this_tick() -> None:
    write = WriteObject("shop", PatchObject(SERVICE, "5", {"spec": {}}, "s"))
    with a_shop() as shop:
        assert kind_of(shop.do(write)) is FailureKind.STALE
        shop.on("GET", f"{SERVICES}/checkout", http.obj(an_object("Service")))
        shop.on("PATCH", f"{SERVICES}/checkout", http.obj(an_object("Service", "6")))
        shop.do(ReadObject("shop", SERVICE, True))
        assert isinstance(shop.do(write), dict)
        shop.clock.at += 11.0
        assert kind_of(shop.do(write)) is FailureKind.STALE


def test_k10_an_answer_older_than_our_own_write_is_refused() -> None:
    with a_shop() as shop:
        shop.on("GET", f"{SERVICES}/checkout", http.obj(an_object("Service")))
        shop.on("PATCH", f"{SERVICES}/checkout", http.obj(an_object("Service", "6")))
        shop.do(ReadObject("shop", SERVICE, True))
        assert isinstance(shop.do(WriteObject("shop", PatchObject(SERVICE, "5", {"spec": {}}, "s"))), dict)
        assert kind_of(shop.do(ReadObject("shop", SERVICE, True))) is FailureKind.UNAVAILABLE
        shop.on("GET", f"{SERVICES}/checkout", http.obj(an_object("Service", "6")))
        assert isinstance(shop.do(ReadObject("shop", SERVICE, True)), dict)


def test_what_we_deleted_may_come_back_under_any_version() -> None:
    delete = WriteObject("shop", DeleteObject(SERVICE, "u", "6", "s"))
    with a_shop() as shop:
        shop.on("GET", f"{SERVICES}/checkout", http.obj(an_object("Service")))
        shop.on("PATCH", f"{SERVICES}/checkout", http.obj(an_object("Service", "6")))
        shop.do(ReadObject("shop", SERVICE, True))
        shop.do(WriteObject("shop", PatchObject(SERVICE, "5", {"spec": {}}, "s")))
        shop.on("DELETE", f"{SERVICES}/checkout", http.obj({"kind": "Status", "status": "Success"}))
        assert shop.do(delete) is None
        assert isinstance(shop.do(ReadObject("shop", SERVICE, True)), dict)
        shop.on("DELETE", f"{SERVICES}/checkout", http.status(404, "not found", "NotFound", name="checkout"))
        assert kind_of(shop.do(delete)) is FailureKind.ABSENT


def test_replica_sets_are_read_whole_with_their_versions() -> None:
    owner = {"kind": "Deployment", "name": "checkout", "controller": True}
    template = {"metadata": {"labels": {"app": "checkout", "pod-template-hash": "abc"}}, "spec": {}}
    metadata = {
        "name": "checkout-abc",
        "uid": "u",
        "labels": {"app": "checkout", "pod-template-hash": "abc"},
        "annotations": {"deployment.kubernetes.io/revision": "3"},
        "ownerReferences": [owner],
    }
    one = {"metadata": metadata, "spec": {"replicas": 2, "minReadySeconds": 5, "template": template}}
    with a_shop() as shop:
        shop.on("GET", SETS, *http.pages("ReplicaSetList", [one], version="77"))
        found = shop.do(ReadReplicaSets("shop", (("app", "checkout"),), True))
        assert isinstance(found, ReplicaSetList) and found.resource_version == "77"
        (only,) = found.items
        assert (only.name, only.deployment, only.hash) == ("checkout-abc", "checkout", "abc")
        assert (only.replicas, only.min_ready, only.revision) == (2, 5.0, 3)
        assert only.template["metadata"]["labels"] == {"app": "checkout"}
        assert shop.asked("GET", SETS)[0].query["labelSelector"] == "app=checkout"
        shop.on("GET", SETS, *http.pages("ReplicaSetList", [{"metadata": {}, "spec": {"replicas": "many"}}]))
        assert kind_of(shop.do(ReadReplicaSets("shop", (), True))) is FailureKind.UNAVAILABLE
