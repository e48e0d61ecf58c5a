"""The exact objects of every router at every step of a release, beside what people had before.

After a change that is meant, `NIGHTFERRY_REWRITE=1 pytest tests/controller/routers` writes them anew: read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.controller.routers.objects import DESTINATION_RULE, HTTP_ROUTE, INGRESS, VIRTUAL_SERVICE
from tests.controller.routers.store import Object, Store

GOLDEN = Path(__file__).parents[2] / "golden" / "routers"
MATCH = [{"header": {"x-canary": "always"}}, {"cookie": "preview"}]

CASES: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "ingress-nginx": ({"ingressNginx": {"ingress": "checkout"}, "match": MATCH}, (INGRESS,)),
    "gateway-api": ({"gatewayAPI": {"httpRoute": "checkout"}, "match": MATCH}, (HTTP_ROUTE,)),
    "istio": (
        {"istio": {"virtualService": "checkout", "destinationRule": "checkout"}, "match": MATCH},
        (VIRTUAL_SERVICE, DESTINATION_RULE),
    ),
    "istio-without-rule": ({"istio": {"virtualService": "checkout"}}, (VIRTUAL_SERVICE,)),
}


def _steps(store: Store) -> dict[str, Any]:
    """What is written, and what stands then; objects as they were before are named only."""
    before = store.snapshot()
    assert store.router.problems(store.policy, store.seen) == ""

    def step(writes: list[str]) -> dict[str, Any]:
        now = store.snapshot()
        return {
            "writes": writes,
            "as before": [f"{obj['kind']} {obj['metadata']['name']}" for obj in now if obj in before],
            "objects": [obj for obj in now if obj not in before],
        }

    steps = {"prepared": step(store.prepare()), "pinned": step(store.steer(0, matches=False))}
    steps["25 %"] = step(store.steer(25))
    steps["rolled back"] = step(store.steer(0, matches=False) + store.hand_back())
    assert store.snapshot() == before
    store.prepare()
    store.steer(25)
    store.incumbents, store.contenders = 3, 10
    steps["100 %"] = step(store.steer(100))
    store.incumbents = 0
    steps["handed back"] = step(store.hand_back())
    assert store.snapshot() == before
    return steps


@pytest.mark.parametrize("case", CASES)
def test_the_objects_of_every_step(case: str) -> None:
    traffic, texts = CASES[case]
    path = GOLDEN / f"{case}.yaml"
    text = yaml.safe_dump(_steps(Store.of(traffic, *texts)), sort_keys=False, width=120)
    if os.environ.get("NIGHTFERRY_REWRITE") == "1":
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs: read the difference, then rewrite it"


@pytest.mark.parametrize("case", CASES)
def test_a_second_look_writes_nothing(case: str) -> None:
    traffic, texts = CASES[case]
    store = Store.of(traffic, *texts)
    for weight in (0, 10, 55, 100, 40):
        assert store.steer(weight)
        assert store.steer(weight) == []


@pytest.mark.parametrize("case", CASES)
def test_stopped_after_any_write_the_next_look_goes_on(case: str) -> None:
    """Every prefix of the writes of 0, 25, 100 and back leads to the same objects, whatever is asked for then."""
    traffic, texts = CASES[case]

    def writes(store: Store, limit: int) -> int:
        done = 0
        for weight in (0, 25, 100, 60):
            while done < limit and (
                write := store.router.steer(store.policy, store.record, store.seen, weight, matches=True)
            ):
                store.apply(write)
                done += 1
        return done

    everything = writes(Store.of(traffic, *texts), 1000)
    assert everything >= 4
    before: list[Object] = Store.of(traffic, *texts).snapshot()
    straight = Store.of(traffic, *texts)
    straight.steer(40)
    for stop in range(everything + 1):
        store = Store.of(traffic, *texts)
        writes(store, stop)
        store.steer(40)
        assert store.snapshot() == straight.snapshot(), f"stopped after {stop} writes"
        store.hand_back()
        assert store.snapshot() == before, f"stopped after {stop} writes"
