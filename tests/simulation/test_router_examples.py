"""The shipped policies with routers, run as they stand: a good version, a bad one, and a route that is deleted."""

from __future__ import annotations

import pytest

from tests.simulation.test_switch_examples import outcome

NAMES = ("twin-ingress-nginx", "twin-gateway-api", "twin-istio")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ((), "Succeeded"),
        (("30s after Batch 1: errors v2=6.00%",), "RolledBack"),
        (("30s after Batch 1: route deleted",), "RolledBack"),
    ],
    ids=["good", "errors in the first batch", "route deleted"],
)
def test_an_example_with_a_router(name: str, events: tuple[str, ...], ended: str) -> None:
    assert outcome(name, *events)[0] == ended
