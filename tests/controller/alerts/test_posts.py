"""Posts as Alertmanager writes them, and everything that is none; and the index that finds whom an alert concerns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from controller.alerts.index import Index, index_of
from controller.alerts.posts import Malformed, Post, read_post
from controller.release.names import AppKey
from policies.alerts import OnAlert

NOW = 1_760_000_000.0
Change = Callable[[dict[str, Any]], object]


def an_alert(**more: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "CheckoutErrors", "service": "checkout", "severity": "page"},
        "annotations": {"summary": "too many errors"},
        "startsAt": "2025-10-09T08:53:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "6ecc41eb9e21f8f6",
        **more,
    }


def a_post(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As Alertmanager 0.25 posts it."""
    return {
        "receiver": "nightferry",
        "status": "firing",
        "alerts": list(alerts) or [an_alert()],
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        **more,
    }


def read(post: Any) -> Post | Malformed:
    return read_post(json.dumps(post).encode(), NOW)


def test_a_post_is_read_and_what_is_unknown_is_ignored() -> None:
    post = read(a_post(an_alert(), an_alert(status="resolved", fingerprint="f2"), future={"x": [1]}))
    assert isinstance(post, Post)
    first, second = post.alerts
    assert (first.name, first.since, first.ended, first.summary) == ("CheckoutErrors", NOW - 19.877, False,
                                                                     "too many errors")  # fmt: skip
    assert second.ended


def test_a15_an_end_in_the_year_1_is_no_end() -> None:
    post = read(a_post())
    assert isinstance(post, Post)
    assert not post.alerts[0].ended


def test_a12_a_post_says_how_many_alerts_were_left_out() -> None:
    post = read(a_post(truncatedAlerts=17))
    assert isinstance(post, Post)
    assert post.truncated == 17


def _without(name: str) -> Change:
    return lambda post: post["alerts"][0].pop(name)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda post: post.update(version="3"), "version"),
        (lambda post: post.pop("version"), "version"),
        (lambda post: post.update(version=4), "version"),
        (lambda post: post.pop("alerts"), "alerts"),
        (lambda post: post.update(alerts={}), "alerts"),
        (lambda post: post.update(alerts=[3]), "alerts[0]"),
        (lambda post: post.update(truncatedAlerts="many"), "truncatedAlerts"),
        (_without("status"), "alerts[0].status"),
        (_without("labels"), "alerts[0].labels"),
        (_without("startsAt"), "alerts[0].startsAt"),
        (_without("fingerprint"), "alerts[0].fingerprint"),
        (lambda post: post["alerts"][0].update(status="burning"), "alerts[0].status"),
        (lambda post: post["alerts"][0].update(labels={"service": 3}), "alerts[0].labels[]"),
        (lambda post: post["alerts"][0].update(labels={}), "alerts[0].labels"),
        (lambda post: post["alerts"][0].update(fingerprint=""), "alerts[0].fingerprint"),
        (lambda post: post["alerts"][0].update(fingerprint=" \n"), "alerts[0].fingerprint"),
    ],
)
def test_a15_what_is_no_post_is_refused_with_its_field(change: Change, field: str) -> None:
    post = a_post()
    change(post)
    found = read(post)
    assert isinstance(found, Malformed)
    assert found.field == field
    assert found.because.isprintable() and len(found.because) <= 160


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"version": "4"' + b"[" * 100_000, b'{"version": "\xff", "alerts": []}'],
)
def test_a15_what_is_no_json_is_refused(body: bytes) -> None:
    assert isinstance(read_post(body, NOW), Malformed)


def test_a18_a_beginning_in_the_future_is_clamped_to_the_receipt_and_said() -> None:
    post = read(a_post(an_alert(startsAt="2035-01-01T00:00:00Z"), an_alert(startsAt="2025-10-09T08:53:00")))
    assert isinstance(post, Post)
    assert [(each.since, bool(each.wrong)) for each in post.alerts] == [(NOW, True), (NOW, True)]


# ------------------------------------------------------------------------------------------------ the index


def a_policy(name: str, *matches: dict[str, str], namespace: str = "shop") -> dict[str, Any]:
    spec = {"alerts": [{"match": match} for match in matches]}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def test_a8_an_alert_concerns_those_whose_labels_it_carries_whole_and_nobody_else() -> None:
    index = index_of(
        [
            a_policy("checkout", {"service": "checkout", "severity": "page"}),
            a_policy("search", {"service": "search"}),
            a_policy("checkout", {"service": "checkout", "namespace": "staging"}, namespace="staging"),
            a_policy("everything", {"severity": "page"}),
        ]
    )
    labels = {"alertname": "X", "service": "checkout", "severity": "page"}
    assert index.concerned(labels) == {AppKey("shop", "checkout"), AppKey("shop", "everything")}
    assert index.concerned({"service": "checkout-twin"}) == frozenset()
    assert index.concerned({}) == frozenset()


@pytest.mark.parametrize("alerts", [None, {}, "x", [3], [{}], [{"match": {}}], [{"match": {"a": ""}}]])
def test_a_policy_whose_alerts_are_none_concerns_nobody(alerts: object) -> None:
    index = index_of([{"metadata": {"namespace": "shop", "name": "odd"}, "spec": {"alerts": alerts}}])
    assert index == Index()


@pytest.mark.parametrize("policies", [1, 1000])
def test_a13_the_work_for_an_alert_does_not_grow_with_the_policies(
    policies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = index_of([a_policy(f"app-{n}", {"severity": "page", "service": f"app-{n}"}) for n in range(policies)])
    judged: list[OnAlert] = []
    whole = OnAlert.matches

    def counted(self: OnAlert, labels: dict[str, str]) -> bool:
        judged.append(self)
        return whole(self, labels)

    monkeypatch.setattr(OnAlert, "matches", counted)
    assert index.concerned({"severity": "page", "service": "app-0"}) == {AppKey("shop", "app-0")}
    assert len(judged) == 1
