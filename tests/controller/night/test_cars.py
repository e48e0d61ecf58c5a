"""Which policies ride a train, and what keeps one of them from ever leaving with it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.night.platform import policies_of, seats_of, train_of
from controller.simulation import manifests

NIGHT = {"from": "01:00", "to": "05:30", "zone": "Asia/Shanghai"}
UNATTENDED = {"observe": {"atLeast": "5m", "atMost": "30m", "onUndecided": "rollBack"}}
WARY = {**UNATTENDED, "strategy": {"twin": {"canary": 1, "batches": 4}}}


def seats(*cars: dict[str, Any], window: dict[str, str] = NIGHT, **spec: Any) -> tuple[list[tuple[str, str]], str]:
    """((policy, why it may not ride) of each car, why the train is refused)."""
    train = {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "ReleaseTrain",
        "metadata": {"name": "nightly", "namespace": "shop"},
        "spec": {"window": window, "cars": list(cars)},
    }
    apps = [manifests.policy(app, **{**WARY, **spec}) for app in ("orders", "search")]
    for app in apps:
        app["metadata"]["labels"] = {"team": app["metadata"]["name"][0]}
    found, refused = seats_of(train_of(train), (), policies_of(apps))
    return [(each.policy, each.lacks) for each in found], refused


def test_y11_a_car_whose_shortest_release_no_night_holds_is_told_so_and_not_that_too_little_is_left() -> None:
    (found,), refused = seats({"policy": "orders"}, window={**NIGHT, "to": "01:20"})
    assert refused == ""
    assert found == (
        "orders",
        "a night of 20m, and the shortest release of orders takes 25m: 5 stages of at least 5m",
    )
    assert seats({"policy": "orders"}, window={**NIGHT, "to": "01:25"}) == ([("orders", "")], "")


@pytest.mark.parametrize(
    ("cars", "refused"),
    [
        (({"policies": {"team": "o"}, "after": ["search"]}, {"policy": "search", "after": ["orders"]}),
         "spec.cars: a cycle: orders after search after orders"),
        (({"policies": {"team": "o"}}, {"policy": "search", "after": ["order"]}),
         "spec.cars: search after order, which is no car of this train (did you mean orders?)"),
        (({"policy": "serach"},),
         "spec.cars[0].policy: found serach, and no such policy in the namespace (did you mean search?)"),
    ],
)  # fmt: skip
def test_an_order_in_which_not_all_can_leave_is_refused(cars: tuple[dict[str, Any], ...], refused: str) -> None:
    assert seats(*cars) == ([], refused)


def test_a_policy_that_a_car_names_rides_there_whatever_its_labels_are() -> None:
    found, refused = seats({"policies": {"team": "o"}}, {"policies": {"team": "s"}}, {"policy": "orders"})
    assert ([name for name, _ in found], refused) == (["search", "orders"], "")
