"""What a stage says it cannot see: for which gates, from which traffic, and once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from analysis.learned import (
    Calibration,
    Guarantee,
    Learned,
    LearnedCounts,
    Noise,
    NotLearned,
    Scale,
    Standing,
    Variation,
)
from analysis.verdict import Verdict
from controller.outlook import KIND, is_told, lacking
from controller.record import noted
from controller.release.record import GateVerdict
from controller.release.vocabulary import Phase
from policies.schema import Gate
from tests.controller.builders import NOW, a_policy, a_record, says

ERRORS: dict[str, Any] = {
    "name": "errors",
    "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
}


def a_verdict(requests: float, errors: float, *, pods: int = 9, windows: int = 4) -> GateVerdict:
    """What incumbents have served so far."""
    exposure = {"requests": [requests / 9, requests], "events": [0, errors], "pods": [1, pods], "windows": windows}
    return replace(says(Verdict.UNDECIDED), evidence={"exposure": exposure})


def told(verdict: GateVerdict, learned: Learned | NotLearned | None = None, **fields: Any) -> str:
    policy = a_policy(gates=[ERRORS | fields])
    return lacking(a_record(policy=policy), policy, policy.spec.gates[0], verdict, learned, 30.0)


def counts(pod_variance: float, rate: float = 0.005) -> LearnedCounts:
    calibration = Calibration(Scale(0.0, 1.0), Scale(0.0, 1.0), 5.0, 1.0, 3.0)
    standing = Standing(Guarantee.CALIBRATED, 0.01, 84, 504)
    return LearnedCounts(Noise(Variation((math.inf,), (pod_variance,)), 0.001), rate, calibration, standing)


def test_much_traffic_and_quiet_pods_lack_nothing() -> None:
    assert told(a_verdict(9_000_000, 45_000), counts(0.0001)) == ""


def test_little_traffic_is_named_with_the_requests_that_are_missing() -> None:
    line = told(a_verdict(900, 4), counts(0.0001))
    assert line.startswith("gate errors cannot count on seeing x2 in this stage: more traffic or time")
    assert "contender requests" in line


def test_pods_that_differ_too_much_need_more_pods_whatever_the_traffic() -> None:
    assert "more pods, not more time" in told(a_verdict(9_000_000, 45_000), counts(0.3))


def test_without_anything_learned_the_assumed_noise_and_the_rate_so_far_are_taken() -> None:
    assert told(a_verdict(900, 0))
    assert told(a_verdict(900, 0), NotLearned("TooLittleHistory", "none"))


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        (a_verdict(900, 4, windows=1), {}),
        (a_verdict(0, 0), {}),
        (replace(says(Verdict.BLIND), evidence={}), {}),
        (a_verdict(900, 4), {"tolerate": "0.5pp"}),
    ],
)
def test_nothing_is_said_where_nothing_is_known_or_the_margin_is_no_ratio(
    verdict: GateVerdict, fields: dict[str, Any]
) -> None:
    assert told(verdict, **fields) == ""


def test_nothing_is_said_of_latency_and_gauges_and_where_no_incumbent_is_left() -> None:
    policy = a_policy()
    gauge = Gate.model_validate({"name": "m", "gauge": {"query": 'a{pod="$pods"}'}})
    assert lacking(a_record(), policy, gauge, a_verdict(900, 4), None, 30.0) == ""
    errors = policy.spec.gates[0]
    last = a_record(Phase.BATCH, 4)
    assert lacking(last, policy, errors, a_verdict(900, 4), None, 30.0) == ""
    assert lacking(a_record(), policy, errors, a_verdict(900, 4), None, 30.0) != ""


def test_each_stage_says_it_once() -> None:
    record = noted(a_record(), KIND, "gate errors cannot count on seeing x2", NOW)
    assert is_told(record)
    assert not is_told(a_record())
    assert not is_told(replace(record, phase=Phase.BATCH, stage=1))
