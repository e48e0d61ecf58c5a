"""What a release relies on: one baseline from beginning to end, named, and assumed noise in every other case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.learned import Learned, NotLearned
from controller.baseline import Baseline, Present, learning_digest, to_object
from controller.release.record import Record, Relied
from controller.reliance import is_present, knowledge, notes, read, relied
from policies.schema import ReleasePolicy
from tests.controller.builders import NOW, a_policy, a_record
from tests.controller.learning.builders import COUNTS, LATENCY

GATES: list[dict[str, Any]] = [
    {"name": "errors", "errorRatio": {"errors": "e_total", "requests": "r_total"}},
    {"name": "latency", "latency": {"histogram": "h_bucket"}},
]
POLICY = a_policy(gates=GATES)


def a_baseline(policy: ReleasePolicy = POLICY, **changes: Any) -> Baseline:
    gates: dict[str, Learned | NotLearned] = {"errors": COUNTS, "latency": NotLearned("TooFewPods", "2 pods")}
    at = NOW - 3600.0
    digest = learning_digest(policy, 30.0)
    return replace(Baseline(digest, at, 30.0, at - 86_400.0, at, 0.9, gates=gates), **changes)


def an_object(baseline: Baseline) -> dict[str, Any]:
    return to_object(baseline, namespace="shop", name="checkout", policy_uid="uid")


def a_release(baseline: Baseline | None) -> Record:
    return a_record(policy=POLICY, baseline=relied(baseline, POLICY) if baseline is not None else None)


def known(record: Record, obj: dict[str, Any] | None, policy: ReleasePolicy = POLICY) -> dict[str, str]:
    """What each gate may rely on: the type of what was learned, or the reason why nothing was."""
    found = knowledge(record, obj, policy.spec.gates, NOW).gates
    return {name: one.reason if isinstance(one, NotLearned) else type(one).__name__ for name, one in found.items()}


def test_a_release_relies_on_the_gates_that_were_learned_with_their_margins() -> None:
    assert relied(a_baseline(), POLICY) == Relied(a_baseline().digest, NOW - 3600.0, ("errors 1.25x",))
    assert relied(NotLearned("Old", "a month"), POLICY) is None


def test_a_baseline_is_read_for_the_policy_as_it_is_now() -> None:
    obj = an_object(a_baseline())
    assert isinstance(read(obj, POLICY, 30.0, NOW), Baseline)
    for found, reason in (
        (read(None, POLICY, 30.0, NOW), "NoBaseline"),
        (read(obj, a_policy(), 30.0, NOW), "OtherPolicy"),
        (read(obj, POLICY, 60.0, NOW), "OtherPolicy"),
        (read(obj, POLICY, 30.0, NOW + 30 * 86_400.0), "Old"),
        (read({}, POLICY, 30.0, NOW), "Corrupt"),
    ):
        assert isinstance(found, NotLearned) and found.reason == reason


def test_the_check_of_the_last_hour_is_that_of_this_release() -> None:
    checked = a_baseline(present=Present("uid-1", NOW))
    assert is_present(checked, "uid-1") and not is_present(checked, "uid-2")
    assert not is_present(a_baseline(), "uid-1") and not is_present(NotLearned("Old", "a month"), "uid-1")


def test_the_record_says_what_stands_behind_each_gate() -> None:
    first, errors, latency = notes(a_baseline(present=Present("uid-1", NOW)), POLICY, "uid-1")
    assert "version 2" in first and first.endswith(", checked against the last hour")
    assert errors.startswith("gate errors: calibrated: 1 % calibrated on 84 segments")
    assert latency == "gate latency: assumed pod noise (TooFewPods: 2 pods)"
    (nothing,) = notes(NotLearned("Corrupt", "the checksum does not fit the payload"), POLICY, "uid-1")
    assert "no baseline (Corrupt: the checksum does not fit the payload)" in nothing


def test_a_running_release_knows_what_it_began_with() -> None:
    baseline = a_baseline()
    assert known(a_release(baseline), an_object(baseline)) == {"errors": "LearnedCounts", "latency": "TooFewPods"}


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        (None, "NoBaseline"),
        ({"status": {}}, "Corrupt"),
        (an_object(a_baseline(learned_at=NOW - 60.0)), "Changed"),
        (an_object(a_baseline(digest="0123456789abcdef")), "OtherPolicy"),
    ],
    ids=["gone", "corrupt", "newer", "of another policy"],
)
def test_whatever_else_is_found_in_mid_release_is_not_used(obj: dict[str, Any] | None, reason: str) -> None:
    assert set(known(a_release(a_baseline()), obj).values()) == {reason}


def test_a_release_that_began_without_a_baseline_goes_on_without_one() -> None:
    assert set(known(a_release(None), an_object(a_baseline())).values()) == {"NoBaseline"}


def test_an_edit_in_mid_release_costs_only_the_gate_whose_margin_it_tightens() -> None:
    learned: dict[str, Learned | NotLearned] = {"errors": COUNTS, "latency": LATENCY}
    baseline = a_baseline(gates=learned)
    tight = a_policy(gates=[{**GATES[0], "tolerate": "1.1x"}, GATES[1]])
    record, obj = a_release(baseline), an_object(baseline)
    assert known(record, obj, tight) == {"errors": "Changed", "latency": "LearnedLatency"}
    new = a_policy(gates=[*GATES, {"name": "orders", "throughput": {"events": "o_total"}}])
    assert known(record, obj, new) == {"errors": "LearnedCounts", "latency": "LearnedLatency", "orders": "Changed"}
    limited = a_policy(gates=[{**GATES[0], "limit": "5%"}, GATES[1]])
    assert known(record, obj, limited) == {"errors": "LearnedCounts", "latency": "LearnedLatency"}
