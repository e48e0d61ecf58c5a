"""What each write sends: the fields we set, the version they were decided on, and nothing else (K26)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.cluster.connection import JSON, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from controller.cluster.writes import call_of, review_of
from controller.release.names import CLAIM_ANNOTATION
from controller.release.observation import Claim
from controller.release.plan import CreateSlot, PatchSlot
from controller.release.vocabulary import Phase
from controller.requests.looks import Permission
from controller.requests.writes import (
    CreateRelease,
    DeleteRelease,
    WriteEvent,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
)
from controller.slots import claim_text

CLAIM = Claim("checkout-1", "uid-1", "contender", Phase.BATCH, epoch=4, replicas=3, desired=8, digest="abc")
SLOT = "/apis/apps/v1/namespaces/shop/deployments/checkout-twin"


def patch_of(**fields: Any) -> Any:
    fields = {"claim": CLAIM, "summary": "s", **fields}
    return call_of(WriteSlot("shop", PatchSlot("checkout-twin", "42", **fields)))


def test_replicas_and_claim_go_in_one_merge_patch_at_the_version_they_were_decided_on() -> None:
    call = patch_of(replicas=3)
    assert (call.method, call.path, call.content_type) == ("PATCH", SLOT, MERGE_PATCH)
    assert call.query == (("fieldManager", "nightferry"),)
    assert call.body == {
        "metadata": {"resourceVersion": "42", "annotations": {CLAIM_ANNOTATION: claim_text(CLAIM)}},
        "spec": {"replicas": 3},
    }


def test_zero_replicas_are_a_number_and_not_an_absence() -> None:
    assert patch_of(replicas=0).body["spec"] == {"replicas": 0}


def test_a_claim_is_removed_by_a_null_and_nothing_else_is_touched() -> None:
    assert patch_of(claim=None).body == {
        "metadata": {"resourceVersion": "42", "annotations": {CLAIM_ANNOTATION: None}},
    }


def test_a_template_takes_the_place_of_the_old_one_as_a_whole() -> None:
    template = {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": [{"name": "app", "image": "v2"}]}}
    call = patch_of(template=template, replicas=1, min_ready=2.5)
    assert call.content_type == STRATEGIC_MERGE_PATCH
    assert call.body["metadata"]["resourceVersion"] == "42"
    assert call.body["spec"] == {"replicas": 1, "minReadySeconds": 3, "template": {**template, "$patch": "replace"}}
    assert "$patch" not in template


def test_a_new_slot_is_created_in_its_namespace() -> None:
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "checkout-twin", "labels": {"a": "b"}},
    }
    call = call_of(WriteSlot("shop", CreateSlot("checkout-twin", manifest, "s")))
    assert (call.method, call.path, call.content_type) == ("POST", "/apis/apps/v1/namespaces/shop/deployments", JSON)
    assert call.body["metadata"] == {"name": "checkout-twin", "labels": {"a": "b"}, "namespace": "shop"}


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (
            WriteRecord("shop", "checkout-1", "42", {"phase": "Batch", "held": None}),
            "/apis/nightferry.dev/v1alpha1/namespaces/shop/releases/checkout-1/status",
        ),
        (
            WritePolicyStatus("shop", "checkout", "42", {"phase": "Batch", "held": None}),
            "/apis/nightferry.dev/v1alpha1/namespaces/shop/releasepolicies/checkout/status",
        ),
    ],
)
def test_a_status_is_merged_at_its_version(request_: WriteRecord | WritePolicyStatus, path: str) -> None:
    call = call_of(request_)
    assert (call.method, call.path, call.content_type) == ("PATCH", path, MERGE_PATCH)
    assert call.body == {"metadata": {"resourceVersion": "42"}, "status": {"phase": "Batch", "held": None}}


def test_a_release_is_created_and_deleted_by_its_uid() -> None:
    created = call_of(CreateRelease("shop", {"kind": "Release", "metadata": {"generateName": "checkout-"}}))
    assert (created.method, created.path) == ("POST", "/apis/nightferry.dev/v1alpha1/namespaces/shop/releases")
    assert created.body["metadata"] == {"generateName": "checkout-", "namespace": "shop"}
    deleted = call_of(DeleteRelease("shop", "checkout-1", "uid-1"))
    assert (deleted.method, deleted.path) == ("DELETE", f"{created.path}/checkout-1")
    assert deleted.body["preconditions"] == {"uid": "uid-1"}  # K27: never another one of the same name


def test_an_event_names_the_release_and_fits() -> None:
    call = call_of(
        WriteEvent("shop", "checkout-1.7", "checkout-1", "uid-1", "Warning", "RolledBack", "x" * 5000, 1_795_312_800.4)
    )
    assert (call.method, call.path) == ("POST", "/api/v1/namespaces/shop/events")
    assert call.body["metadata"]["name"] == "checkout-1.7"
    assert call.body["involvedObject"] == {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "Release",
        "namespace": "shop",
        "name": "checkout-1",
        "uid": "uid-1",
    }
    assert call.body["firstTimestamp"] == call.body["lastTimestamp"] == "2026-11-22T02:00:00Z"
    assert len(call.body["message"]) == 1024


def test_a_subresource_is_asked_for_as_one() -> None:
    attributes = review_of("shop", Permission("patch", "nightferry.dev", "releases/status")).body["spec"]
    assert attributes["resourceAttributes"] == {
        "namespace": "shop",
        "verb": "patch",
        "group": "nightferry.dev",
        "resource": "releases",
        "subresource": "status",
    }


@pytest.mark.parametrize("name", ["../secrets/x", "a/b", "a?b=c", "a#b", "a%2fb"])
def test_a_name_cannot_leave_its_place_in_the_path(name: str) -> None:
    path = call_of(DeleteRelease("shop", name, "uid")).path
    assert path.startswith("/apis/nightferry.dev/v1alpha1/namespaces/shop/releases/")
    assert not set(path.rsplit("/", 1)[1]) & set("?#/")
    assert path.count("/") == 7


def test_every_body_is_json() -> None:
    for call in (
        patch_of(replicas=1),
        patch_of(template={"spec": {}}),
        review_of("shop", Permission("get", "", "pods")),
    ):
        assert json.loads(json.dumps(call.body)) == call.body
