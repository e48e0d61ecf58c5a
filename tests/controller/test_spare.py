"""The spare Deployment as it is made: it selects what the one that serves selects, and only its own pods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.release.observation import SlotState
from controller.slots import unmet
from controller.strategies.spare import spare_manifest
from tests.controller.builders import a_slot, a_template

TIER = {"key": "tier", "operator": "In", "values": ["web", "api"]}
NO_SLOT = {"key": "nightferry.dev/slot", "operator": "DoesNotExist"}


def selecting(name: str, selector: dict[str, Any]) -> SlotState:
    slot = a_slot(name, 10)
    return replace(slot, raw={**slot.raw, "spec": {**slot.raw["spec"], "selector": selector}})


@pytest.mark.parametrize(
    ("selector", "spare"),
    [
        ({"matchLabels": {"app": "checkout"}}, {"matchLabels": {"app": "checkout", "nightferry.dev/slot": "twin"}}),
        (
            {"matchLabels": {"app": "checkout"}, "matchExpressions": [TIER, NO_SLOT]},
            {"matchLabels": {"app": "checkout", "nightferry.dev/slot": "twin"}, "matchExpressions": [TIER]},
        ),
        (
            {"matchExpressions": [TIER]},
            {"matchLabels": {"nightferry.dev/slot": "twin"}, "matchExpressions": [TIER]},
        ),
    ],
)
def test_the_spare_selects_as_the_one_that_serves_and_its_own_slot(
    selector: dict[str, Any], spare: dict[str, Any]
) -> None:
    live = selecting("checkout", selector)
    assert live.claim is not None
    template = {**a_template(), "metadata": {"labels": {"app": "checkout", "tier": "web"}}}
    made = spare_manifest(live, "checkout-twin", template, live.claim)
    assert made["spec"]["selector"] == spare
    assert unmet(made, made["spec"]["template"]["metadata"]["labels"]) is None


def test_the_way_home_needs_no_slot_label() -> None:
    twin = selecting("checkout-twin", {"matchLabels": {"nightferry.dev/slot": "twin"}, "matchExpressions": [TIER]})
    assert twin.claim is not None
    made = spare_manifest(twin, "checkout", a_template(), twin.claim)
    assert made["spec"]["selector"] == {"matchExpressions": [TIER]}
