"""Rows P* and B* for what is learned from: whatever history looks like, every kind of gate ends in a named state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from analysis.learned import LearnedCounts, LearnedLatency, LearnedLevels, NotLearned
from analysis.samples import CounterSeries
from controller.baseline import Baseline, learning_digest, restored, to_object
from controller.learning.gather import Subject
from controller.learning.learn import learn_policy
from controller.settings import Source
from tests.controller.learning.builders import NOW, WINDOW, Past, Store
from tests.policies.builders import ERRORS, LATENCY, a_policy

Bend = Callable[[CounterSeries], CounterSeries]
GATES: dict[str, Any] = {
    "errorRatio": ERRORS,
    "latency": LATENCY,
    "gauge": {"name": "memory", "gauge": {"query": 'process_resident_memory_bytes{pod="$pods"}'}},
    "throughput": {"name": "orders", "throughput": {"events": "orders_total"}},
}
HOURS = 5.0
BEGIN = NOW - HOURS * 3_600.0


def with_values(change: Callable[[float, float], float]) -> Bend:
    return lambda one: replace(
        one, values=tuple(change(at, value) for at, value in zip(one.times, one.values, strict=True))
    )


def only(keep: Callable[[float], bool]) -> Bend:
    def bend(one: CounterSeries) -> CounterSeries:
        kept = [(at, value) for at, value in zip(one.times, one.values, strict=True) if keep(at)]
        return replace(one, times=tuple(at for at, _ in kept), values=tuple(value for _, value in kept))

    return bend


def twice(one: CounterSeries) -> CounterSeries:
    return replace(one, times=one.times[:1] + one.times, values=one.values[:1] + one.values)


# What is wrong, and whether a gate may still learn from the rest.
BENT: dict[str, tuple[Bend, bool]] = {
    "B1 nothing at all": (only(lambda at: False), False),
    "P8 no reading is a number": (with_values(lambda at, value: math.nan), False),
    "P9 infinite": (with_values(lambda at, value: math.inf), False),
    "negative": (with_values(lambda at, value: -abs(value)), False),
    "P14 an instant twice": (twice, False),
    "P19 clocks that disagree": (
        lambda one: replace(one, times=tuple(at + 7.3 * (n % 2) for n, at in enumerate(one.times))),
        False,
    ),
    "B4 a constant": (with_values(lambda at, value: 5.0), False),
    "P12 every fifth sample is missing": (only(lambda at: round(at / WINDOW) % 5 != 0), True),
    "P22 an hour is missing": (only(lambda at: not BEGIN + 5_400.0 <= at < BEGIN + 9_000.0), True),
    "P11 counters start anew every hour": (
        with_values(lambda at, value: value % 1e3 + 10.0 * (at % 3_600.0)), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(GATES))
@pytest.mark.parametrize("bad", list(BENT))
def test_p_and_b_rows_every_bad_history_is_a_named_state_for_every_kind_of_gate(kind: str, bad: str) -> None:
    bend, some = BENT[bad]
    store = Store(begin=BEGIN, replica_sets={"checkout-6c7d8f9b54": (BEGIN, math.inf)}, pods=14, bend=bend)
    policy = a_policy(gates=[GATES[kind]], strategy={"twin": {"batches": 2}}, observe={"atLeast": "1m", "atMost": "5m"})
    baseline = learn_policy(Subject(policy, "shop", Past(store), Source()), NOW)
    name = policy.spec.gates[0].name
    gate, band = baseline.gates[name], baseline.bands[name]
    assert isinstance(band, NotLearned)  # five hours are no history of a day
    if isinstance(gate, NotLearned):
        assert gate.reason[0].isupper()
        assert gate.reason.isalnum()
        assert gate.detail
    else:
        assert some or (kind, bad) == ("gauge", "B4 a constant"), (bad, gate)
        assert gate.standing.segments >= 6
    # What was learned, or why not, survives the way through the cluster.
    obj = to_object(baseline, namespace="shop", name="checkout", policy_uid="u")
    assert isinstance(restored(obj, digest=learning_digest(policy, WINDOW), now=NOW), Baseline)


@pytest.mark.parametrize(
    ("kind", "learned"),
    [
        ("errorRatio", LearnedCounts),
        ("latency", LearnedLatency),
        ("gauge", LearnedLevels),
        ("throughput", LearnedCounts),
    ],
)
def test_the_same_history_unbent_teaches_every_kind_of_gate(kind: str, learned: type[Any]) -> None:
    store = Store(begin=BEGIN, replica_sets={"checkout-6c7d8f9b54": (BEGIN, math.inf)}, pods=14)
    policy = a_policy(gates=[GATES[kind]], strategy={"twin": {"batches": 2}}, observe={"atLeast": "1m", "atMost": "5m"})
    (gate,) = learn_policy(Subject(policy, "shop", Past(store), Source()), NOW).gates.values()
    assert isinstance(gate, learned), gate


def test_a_gauge_over_a_mixed_fleet_is_learned_wide_or_named_and_never_narrow() -> None:
    store = Store(begin=BEGIN, replica_sets={"checkout-6c7d8f9b54": (BEGIN, math.inf)}, pods=16, level_sd=0.84)
    policy = a_policy(
        gates=[GATES["gauge"]], strategy={"twin": {"batches": 2}}, observe={"atLeast": "1m", "atMost": "5m"}
    )
    (gate,) = learn_policy(Subject(policy, "shop", Past(store), Source()), NOW).gates.values()
    if isinstance(gate, LearnedLevels):
        levels = sorted(gate.levels)
        assert levels[-1] - levels[0] > 1.5
    else:
        assert isinstance(gate, NotLearned)
        assert gate.reason
