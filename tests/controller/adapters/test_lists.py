"""A list is complete or it is a failure; a missing page never looks like missing objects (K3)."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cluster.failures import Failed
from controller.cluster.lists import Objects, read_objects
from controller.requests.failure import FailureKind
from tests.controller.adapters.builders import RealClock, SetClock, connection_to, thing
from tests.controller.adapters.server import Answer, obj, pages, plain, serving, status

EXPIRED = status(410, "The provided continue parameter is too old", "Expired")


def listed(*answers: Answer, clock: Any = None) -> tuple[Objects | Failed, list[dict[str, str]]]:
    clock = clock or RealClock()
    with serving(*answers) as server:
        found = read_objects(connection_to(server.url, clock), clock, "/things", query=(("labelSelector", "a=b"),))
        return found, [asked.query for asked in server.asked]


def names(found: Objects | Failed) -> list[str]:
    assert isinstance(found, Objects), found
    return [one["metadata"]["name"] for one in found.items]


def test_all_pages_make_one_list_at_one_version() -> None:
    found, queries = listed(*pages("ThingList", [thing("a"), thing("b")], [thing("c")], version="77"))
    assert names(found) == ["a", "b", "c"]
    assert isinstance(found, Objects)
    assert found.resource_version == "77"
    # A quorum read: no resourceVersion anywhere.
    assert queries == [
        {"labelSelector": "a=b", "limit": "500"},
        {"labelSelector": "a=b", "limit": "500", "continue": "token-1"},
    ]


def test_an_expired_token_starts_the_list_again_and_forgets_the_pages_before_it() -> None:
    first, *_ = pages("ThingList", [thing("gone"), thing("a")], [])
    found, queries = listed(first, EXPIRED, *pages("ThingList", [thing("a")], [thing("b")]))
    assert names(found) == ["a", "b"]
    assert [query.get("continue") for query in queries] == [None, "token-1", None, "token-1"]


def test_a_list_that_expires_again_and_again_is_a_failure() -> None:
    first, *_ = pages("ThingList", [thing("a")], [])
    found, queries = listed(first, EXPIRED, first, EXPIRED, first, EXPIRED)
    assert isinstance(found, Failed)
    assert found.failure.kind is FailureKind.UNAVAILABLE
    assert len(queries) == 6


@pytest.mark.parametrize("second", [status(500, "boom"), plain(b"<html>", 200), obj({}), obj({"kind": "Status"})])
def test_a_lost_page_loses_the_list(second: Answer) -> None:
    first, *_ = pages("ThingList", [thing("a")], [])
    found, _ = listed(first, second)
    assert isinstance(found, Failed)
    assert found.failure.kind is FailureKind.UNAVAILABLE


@pytest.mark.parametrize(
    "answer",
    [
        obj({}),
        obj([]),
        obj({"items": []}),
        obj({"kind": "ThingList", "items": []}),
        obj({"kind": "ThingList", "metadata": {}, "items": []}),  # no version: it may be of any moment
        obj({"kind": "Thing", "metadata": {"resourceVersion": "1"}}),
        plain(b"<html>please log in</html>"),
        plain(b""),
        plain(b"[" * 200_000),
        obj({"kind": "ThingList", "metadata": {"resourceVersion": "1"}, "items": ["text"]}),
        obj({"kind": "ThingList", "metadata": {"resourceVersion": "1"}, "items": {"a": 1}}),
    ],
)
def test_a_success_that_is_no_list_is_not_an_empty_list(answer: Answer) -> None:
    found, _ = listed(answer)
    assert isinstance(found, Failed)
    assert found.failure.kind is FailureKind.UNAVAILABLE


def test_a_null_for_no_objects_is_an_empty_list() -> None:
    # Go writes an empty list this way.
    found, _ = listed(obj({"kind": "ThingList", "metadata": {"resourceVersion": "5"}, "items": None}))
    assert names(found) == []


def test_a_token_that_repeats_does_not_list_for_ever() -> None:
    page = obj({"kind": "ThingList", "metadata": {"resourceVersion": "1", "continue": "x"}, "items": []})
    found, queries = listed(page)
    assert isinstance(found, Failed)
    assert len(queries) == 2


def test_k7_the_deadline_counts_for_all_pages_together() -> None:
    class Late(SetClock):
        """Every look at the clock costs six seconds."""

        def monotonic(self) -> float:
            self.at += 6.0
            return self.at

    first, *_ = pages("ThingList", [thing("a")], [])
    found, _ = listed(first, clock=Late())
    assert isinstance(found, Failed)
    assert "timed out" in found.failure.message
