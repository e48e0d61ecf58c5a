"""A route that two apps share: one release at a time leads it, and whoever comes second waits without moving a pod."""

from __future__ import annotations

import copy
import json

import pytest

from controller.release.names import CLAIM_ANNOTATION
from controller.release.vocabulary import HoldReason
from controller.simulation.scenario import Run
from controller.simulation.script import read_script
from tests.simulation import laws

OF_ANOTHER = json.dumps({"release": "cart-v7", "uid": "another", "epoch": 1, "shows": "10"})
ROUTES = {
    "gatewayAPI: {httpRoute: checkout}": ("HTTPRoute", "checkout"),
    "ingressNginx: {ingress: checkout}": ("Ingress", "checkout"),
    "istio: {virtualService: checkout, destinationRule: checkout}": ("VirtualService", "checkout"),
}


def a_run(traffic: str, begins: float, ends: float) -> Run:
    """A release of ten pods; between two times, in seconds, a release of another app leads the route."""
    kind, name = ROUTES[traffic]
    text = (
        "# Shared.\nrelease checkout v41 -> v42, 10 pods, batches 1 50% 100%\nload 500/s\nerrors 0.50%\n"
        f"policy {{strategy: {{traffic: {{{traffic}}}}}}}\n----\n"
    )
    run = Run(None, read_script(text, "shared.txt"), 1, laws=laws.ALL)

    def led(_: object) -> None:
        route = run.world.objects.items[kind, "shop", name]  # type: ignore[index]
        there = (route["metadata"].get("annotations") or {}).get(CLAIM_ANNOTATION) == OF_ANOTHER
        wanted = begins <= run.world.now - run.world.started < ends
        if there is not wanted:
            change = {"metadata": {"annotations": {CLAIM_ANNOTATION: OF_ANOTHER if wanted else None}}}
            run.world.edit(kind, name, change, namespace="shop")  # type: ignore[arg-type]

    led(None)
    run.world.add_actor(1.0, led, until=run.world.started + ends + 1.0)
    return run


@pytest.mark.parametrize("traffic", ROUTES)
def test_a_release_waits_for_the_one_that_leads_the_route_and_goes_on(traffic: str) -> None:
    story = a_run(traffic, 0.0, 180.0).to_end()
    assert story.outcome == "Succeeded"
    held = next(each for each in story.series if each.held)
    assert held.held == HoldReason.NOT_OBSERVED.value and "is led by release cart-v7" in held.because
    assert all(each.contender_pods == 0 for each in story.series if each.minute < 3.0)


@pytest.mark.parametrize("traffic", ROUTES)
def test_who_comes_second_in_the_same_second_moves_nothing_and_leaves_nothing(traffic: str) -> None:
    run = a_run(traffic, 3.0, 3000.0)
    before = {key: copy.deepcopy(obj["spec"]) for key, obj in run.world.objects.items.items() if key[0] != "Release"}
    story = run.to_end()
    assert story.outcome == "RolledBack" and "is led by release cart-v7" in story.because
    assert max(each.contender_pods for each in story.series) == 0
    left = run.world.objects.items
    assert {key for key in left if key[0] in ("Service", "Ingress", "DestinationRule")} == {
        key for key in before if key[0] in ("Service", "Ingress", "DestinationRule")
    }
    kind, name = ROUTES[traffic]
    assert left[kind, "shop", name]["spec"] == before[kind, "shop", name]  # type: ignore[index]
