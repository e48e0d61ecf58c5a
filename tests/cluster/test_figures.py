"""How many pods a story has at most, those that nobody asked to go, and how many a release has restarted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.bed.api import WatchEvent
from tests.cluster.stories.figures import _instants, _restarted
from tests.cluster.stories.releases import Sighting

Timed = tuple[float, WatchEvent]


def a_set(name: str, replicas: int) -> Timed:
    metadata = {"name": name, "uid": f"uid-{name}"}
    return 1.0, WatchEvent("MODIFIED", {"kind": "ReplicaSet", "metadata": metadata, "spec": {"replicas": replicas}})


def a_pod(owner: str, number: int, **metadata: Any) -> Timed:
    there = {"uid": f"{owner}-{number}", "ownerReferences": [{"kind": "ReplicaSet", "name": owner}], **metadata}
    return 1.0, WatchEvent("ADDED", {"kind": "Pod", "metadata": there, "status": {}})


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        ([], 5),  # nothing says that one of them is to go
        ([a_set("old", 3), a_set("new", 2)], 5),
        ([a_set("old", 1), a_set("new", 2)], 3),  # which two of the old ones go is not marked yet
        ([a_set("old", 9), a_set("new", 9)], 5),
        ([a_set("old", 0)], 2),
    ],
)
def test_a_pod_beyond_what_its_replica_set_is_to_have_was_asked_to_go(asked: list[Timed], most: int) -> None:
    pods = [*(a_pod("old", number) for number in range(3)), *(a_pod("new", number) for number in range(2))]
    assert list(_instants([*asked, *pods]))[-1].staying == most
    going = a_pod("new", 1, deletionTimestamp="2026-01-01T00:00:00Z")
    assert list(_instants([*asked, *pods, going]))[-1].staying == most - 1


def a_sighting(revision: int, phase: str) -> Sighting:
    status = {"phase": phase, "record": {"contender": {"replica_sets": ["new"]}}}
    return Sighting(0.0, revision, "checkout-1", False, {}, status)


# Other apps move their pods at the same time, and have more of them.
@pytest.mark.parametrize(
    ("owner", "revision", "restarted"), [("new", 15, 1), ("new", 25, 0), ("new", 5, 0), ("another", 15, 0)]
)
def test_a_pod_of_the_released_version_that_ends_before_the_success_was_restarted(
    owner: str, revision: int, restarted: int
) -> None:
    release = [a_sighting(10, "Preflight"), a_sighting(20, "Succeeded")]
    _, ended = a_pod(owner, 1, deletionTimestamp="2026-01-01T00:00:00Z", resourceVersion=str(revision))
    assert _restarted([release], [ended]) == restarted
    assert _restarted([release[:1]], [ended]) is None, "nothing was promoted"
