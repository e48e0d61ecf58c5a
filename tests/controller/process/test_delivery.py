"""The four delivery figures among the controller's own metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.morning import Journey
from controller.report import delivery
from controller.report.delivery import Deliveries
from controller.report.metrics import Metrics
from tests.controller.morning.builders import MIDNIGHT, MINUTE, a_night, arrived, came_back

NOW = MIDNIGHT + 1440 * MINUTE


def lines(releases: Sequence[Mapping[str, Any]], now: float = NOW) -> list[str]:
    metrics = Metrics()
    metrics.present.delivery = Deliveries(lambda: list(releases), lambda: now).collect
    return [line for line in metrics.text().decode().splitlines() if line.startswith("nightferry_delivery_")]


def test_each_app_has_its_figures_and_what_nobody_knows_has_no_sample() -> None:
    found = lines(a_night())
    assert 'nightferry_delivery_changes{app="search",namespace="shop",outcome="arrived"} 1.0' in found
    assert 'nightferry_delivery_lead_seconds{app="search",namespace="shop"} 1860.0' in found
    assert 'nightferry_delivery_failure_ratio{app="checkout",namespace="shop"} 1.0' in found
    assert 'nightferry_delivery_restore_seconds{app="checkout",namespace="shop"} 120.0' in found
    assert 'nightferry_delivery_failure_ratio{app="cart",namespace="shop"} 1.0' in found
    assert not [line for line in found if 'lead_seconds{app="checkout"' in line or 'app="map"' in line]


def test_what_is_older_than_four_weeks_does_not_count() -> None:
    found = lines([arrived(), came_back()], NOW + 28 * 86400.0)
    assert 'nightferry_delivery_changes{app="search",namespace="shop",outcome="arrived"} 0.0' in found
    assert not [line for line in found if "lead_seconds{" in line or "failure_ratio{" in line]


def test_a_release_that_has_ended_is_read_once_and_again_when_it_changes(monkeypatch: Any) -> None:
    read: list[str] = []
    real = delivery._journey

    def noted(obj: Mapping[str, Any]) -> Journey | None:
        read.append(obj["metadata"]["name"])
        return real(obj)

    monkeypatch.setattr(delivery, "_journey", noted)
    releases = [arrived(), came_back()]
    deliveries = Deliveries(lambda: list(releases), lambda: NOW)
    deliveries.figures()
    deliveries.figures()
    assert sorted(read) == ["checkout-v42", "search-v8"]
    releases[0]["metadata"]["resourceVersion"] = "8"
    deliveries.figures()
    assert sorted(read) == ["checkout-v42", "search-v8", "search-v8"]


def test_a_record_that_nobody_can_read_spoils_no_other_figure() -> None:
    broken = came_back()
    broken["status"]["record"]["version"] = 99
    assert not [line for line in lines([broken, arrived()]) if 'app="checkout"' in line]
