"""The shipped policy with rolling, run as it stands: a good version, a bad one, and an autoscaler."""

from __future__ import annotations

import pytest

from tests.simulation.test_switch_examples import outcome


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ((), "Succeeded"),
        (("at Batch 2: errors v2=6.00%",), "RolledBack"),
        (("after 0s: latency v2=x3",), "RolledBack"),
        (("2m after Canary: scale 14",), "Succeeded"),
    ],
    ids=["good", "errors in the second batch", "slow from the start", "scaled"],
)
def test_the_rolling_example(events: tuple[str, ...], ended: str) -> None:
    assert outcome("rolling", *events)[0] == ended
