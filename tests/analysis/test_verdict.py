"""Verdicts have an order, and evidence travels as small plain JSON."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from analysis.learned import Guarantee, Standing
from analysis.verdict import Effect, Evidence, Exposure, Freshness, NoData, Verdict, worst
from tests.analysis.builders import SLOW, a_fleet


def test_without_any_verdict_nothing_was_seen() -> None:
    assert worst([]) is Verdict.BLIND


def test_the_worst_verdict_does_not_depend_on_order() -> None:
    order = [Verdict.HEALTHY, Verdict.UNDECIDED, Verdict.BLIND, Verdict.SHARED, Verdict.DEGRADED]
    for better, worse in itertools.combinations(order, 2):
        assert worst([better, worse]) is worst([worse, better]) is worse
    assert worst(iter([Verdict.HEALTHY])) is Verdict.HEALTHY


def test_evidence_is_json_without_nan_even_when_the_numbers_are_not_finite() -> None:
    evidence = Evidence(
        Verdict.UNDECIDED,
        because="x" * 2000,
        would_change="y" * 2000,
        effect=Effect(None, 0.0, math.inf, math.nan, 1 / 3),
        log_evidence=-math.inf,
        no_data=NoData.STALE,
        freshness=Freshness(last_contender_end=1.7e9),
        exposure=Exposure(contender_requests=1e9 / 3),
    )
    text = json.dumps(evidence.to_dict(), allow_nan=False)
    assert json.loads(text)["effect"] == {"ratio": None, "interval": [0, None], "rates": [None, 0.3333]}
    assert json.loads(text)["exposure"]["requests"] == [333300000, 0]
    assert len(text.encode()) <= 1024


def test_evidence_of_real_looks_stays_within_a_kilobyte() -> None:
    fleets = [
        a_fleet().lasting(60).of(contender=5, incumbent=5),
        a_fleet().with_errors(contender=0.2, only="new-1").of(contender=3, incumbent=7),
        a_fleet().with_latency(contender=SLOW),
    ]
    for fleet in fleets:
        for evidence in (fleet.judged(), fleet.judged_on_latency()):
            told = evidence.to_dict()
            assert len(json.dumps(told, allow_nan=False).encode()) <= 1024
            assert told["verdict"] == evidence.verdict.value
            assert told["guarantee"] == "assumed pod noise: no promised rate"


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.0, "0"),
        (1.3e-7, "0"),
        (0.99e-4, "0"),
        (1e-4, "0.01"),
        (1.23e-4, "0.012"),
        (9.96e-4, "0.1"),
        (0.00999, "1"),
        (0.0526, "5.3"),
        (0.1, "10"),
        (0.996, "100"),
        (1.0, "100"),
    ],
)
def test_a_realised_rate_is_told_in_plain_decimals(share: float, told: str) -> None:
    standing = Standing(Guarantee.CALIBRATED, 0.01, 84, 2000, (share, 1.0))
    assert str(standing) == f"calibrated: 1 % calibrated on 84 segments, realised {told} to 100 %"
