"""The shipped policy whose gates ask outside the metric store, run as it stands: everybody's no turns it back."""

from __future__ import annotations

import pytest

from tests.simulation.test_switch_examples import outcome


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ((), "Succeeded"),
        (("after 0s: errors v2=6.00%",), "RolledBack"),
        (("after 0s: jobs fail in 30s",), "RolledBack"),
        (("after 0s: jobs never end",), "RolledBack"),
        (("at Batch 2: endpoint qa-room says degraded",), "RolledBack"),
        (
            ("at Batch 1: endpoint qa-room says degraded", "10s after Batch 1: endpoint qa-room says healthy"),
            "Succeeded",
        ),
        (("after 0s: edit configmap parcels-settings {LEVEL: debug}",), "Succeeded"),
        (("after 0s: delete configmap parcels-smoke",), "Cancelled"),
        (("after 0s: delete configmap parcels-settings",), "Cancelled"),
    ],
    ids=[
        "good", "errors at the edge", "smoke test fails", "smoke test hangs", "no in the last batch",
        "nobody is asked in the first batch", "new settings", "no smoke test", "no settings",
    ],
)  # fmt: skip
def test_the_example_of_gates_that_ask_outside(events: tuple[str, ...], ended: str) -> None:
    assert outcome("outside", *events)[0] == ended
