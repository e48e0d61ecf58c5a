"""A pod of the API server becomes the few facts that a release decides on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from controller.cluster.pods import decode_pod
from controller.release.observation import PodState

AT = "2026-11-22T02:00:00Z"
SECONDS = datetime(2026, 11, 22, 2, tzinfo=UTC).timestamp()


def pod(**status: Any) -> PodState:
    return decode_pod(json.dumps({"metadata": {"name": "checkout-7d9f8c-abcde"}, "status": status}).encode())


def container(*, restarts: int = 0, **states: Any) -> dict[str, Any]:
    return {"name": "app", "ready": False, "restartCount": restarts, **states}


def waiting(reason: str | None, message: str = "") -> dict[str, Any]:
    return container(state={"waiting": {"reason": reason, "message": message}})


def test_a_ready_pod_of_a_release() -> None:
    whole = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "checkout-7d9f8c-abcde",
            "namespace": "shop",
            "labels": {"app": "checkout", "pod-template-hash": "7d9f8c"},
            "ownerReferences": [
                {"kind": "Thing", "name": "other", "uid": "1"},
                {"kind": "ReplicaSet", "name": "checkout-7d9f8c", "uid": "2", "controller": True},
            ],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "x"}]},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-22T01:00:00Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": AT, "lastProbeTime": None},
            ],
            "containerStatuses": [container(state={"running": {"startedAt": AT}})],
        },
    }
    assert decode_pod(json.dumps(whole).encode()) == PodState(
        name="checkout-7d9f8c-abcde",
        replica_set="checkout-7d9f8c",
        ready=True,
        ready_since=SECONDS,
        node="node-1",
        labels={"app": "checkout", "pod-template-hash": "7d9f8c"},
    )


def test_a_pod_of_which_nothing_is_known_yet_is_not_ready() -> None:
    for text in ("{}", '{"metadata":{"name":"a"},"spec":{},"status":{"conditions":null,"containerStatuses":null}}'):
        found = decode_pod(text.encode())
        assert (found.ready, found.ready_since, found.restarts, found.waiting) == (False, 0.0, 0, "")
        assert found.labels == {}


def test_a_pod_that_is_being_deleted_is_terminating_even_while_ready() -> None:
    text = json.dumps({
        "metadata": {"name": "a", "deletionTimestamp": AT},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": AT}]},
    })  # fmt: skip
    found = decode_pod(text.encode())
    assert found.ready
    assert found.terminating
    assert not found.available(SECONDS + 60, min_ready=0)


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_only_true_is_ready(status: str) -> None:
    assert not pod(conditions=[{"type": "Ready", "status": status, "lastTransitionTime": AT}]).ready


def test_restarts_are_summed_and_their_known_times_kept() -> None:
    found = pod(
        containerStatuses=[
            container(restarts=0, state={"running": {"startedAt": "2026-11-22T01:00:00Z"}}),  # a first start
            container(
                restarts=3,
                state={"running": {"startedAt": "2026-11-22T02:00:10Z"}},
                lastState={"terminated": {"exitCode": 137, "finishedAt": "2026-11-22T02:00:05Z"}},
            ),
            container(
                restarts=1,
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={"terminated": {"exitCode": 1, "finishedAt": AT}},
            ),
        ]
    )
    assert found.restarts == 4
    assert found.restarted_at == (SECONDS, SECONDS + 5, SECONDS + 10)


@pytest.mark.parametrize(
    ("containers", "reason"),
    [
        ([waiting("ContainerCreating")], ""),
        ([waiting("PodInitializing")], ""),
        ([waiting(None)], ""),
        ([waiting("CrashLoopBackOff")], "CrashLoopBackOff"),
        ([waiting("ContainerCreating"), waiting("ErrImagePull")], "ErrImagePull"),
        ([waiting("CrashLoopBackOff"), waiting("ImagePullBackOff")], "ImagePullBackOff"),
        ([waiting("SomethingNew"), waiting("CrashLoopBackOff")], "CrashLoopBackOff"),
        ([waiting("SomethingNew")], "SomethingNew"),
    ],
)
def test_the_reason_of_the_container_that_is_worst_off(containers: list[Any], reason: str) -> None:
    assert pod(containerStatuses=containers).waiting == reason


def test_an_init_container_counts_as_much() -> None:
    found = pod(
        initContainerStatuses=[waiting("CrashLoopBackOff", "back-off 10s")],
        containerStatuses=[waiting("PodInitializing")],
    )
    assert (found.waiting, found.message) == ("CrashLoopBackOff", "back-off 10s")


FAILED: dict[str, Any] = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": AT}}
DONE: dict[str, Any] = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": AT}}
BACK_OFF: dict[str, Any] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
RUNS: dict[str, Any] = {"running": {"startedAt": AT}}


@pytest.mark.parametrize(
    ("first", "counted"),
    [
        ({"state": BACK_OFF, "lastState": FAILED}, 3),
        ({"state": FAILED, "lastState": FAILED}, 3),  # kubectl says Init:Error
        ({"state": RUNS, "lastState": FAILED}, 3),  # the next try
        ({"state": DONE, "lastState": FAILED}, 0),  # it waited for something, and has found it
        ({"state": DONE}, 0),
        ({"state": RUNS, "lastState": DONE}, 0),  # the node started anew
    ],
)
def test_w3_restarts_of_an_init_container_count_until_it_has_ended_well(first: dict[str, Any], counted: int) -> None:
    found = pod(
        initContainerStatuses=[{**container(restarts=3, **first), "name": "migrate"}],
        containerStatuses=[waiting("PodInitializing")],
    )
    assert found.restarts == counted
    assert found.restarted_at == ()  # it has served nobody whose counters could have begun anew


@pytest.mark.parametrize(("policy", "restarts"), [("Always", 3), ("OnFailure", 1), (None, 1)])
def test_w3_a_sidecar_among_the_init_containers_counts_like_any_container(policy: str | None, restarts: int) -> None:
    whole = {
        "metadata": {"name": "checkout-7d9f8c-abcde"},
        "spec": {"initContainers": [{"name": "proxy", "restartPolicy": policy, "image": "x"}, {"name": "migrate"}]},
        "status": {
            "initContainerStatuses": [
                {**container(restarts=2, state=RUNS, lastState=DONE), "name": "proxy"},
                {**container(restarts=1, state=DONE), "name": "migrate"},
            ],
            "containerStatuses": [container(restarts=1, state=RUNS)],
        },
    }
    found = decode_pod(json.dumps(whole).encode())
    assert found.restarts == restarts
    assert found.restarted_at == (SECONDS,)


def test_a_pod_for_which_there_is_no_room_says_why() -> None:
    found = pod(
        conditions=[
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
        ]
    )
    assert found.unschedulable
    assert found.message == "0/3 nodes are available"
    assert not pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]).unschedulable


@pytest.mark.parametrize(
    "status",
    [
        {"containerStatuses": [{"restartCount": "3"}]},
        {"containerStatuses": {"a": 1}},
        {"conditions": [{"type": "Ready", "status": True}]},
        {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "yesterday"}]},
    ],
)
def test_k26_a_field_of_another_type_is_an_error_and_not_a_guess(status: dict[str, Any]) -> None:
    with pytest.raises(msgspec.DecodeError, match=r"\$\.status"):
        pod(**status)
