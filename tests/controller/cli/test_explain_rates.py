"""`nightferry explain` tells the two rates of an effect in their own unit: shares, rates, levels or history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.verdict import LEVEL, PER_SECOND, SHARE, Effect, Evidence, Onset, Verdict
from controller.cli.explain import _numbers
from controller.release.record import GateVerdict


def told(evidence: Evidence) -> dict[str, str]:
    verdict = GateVerdict(gate="g", verdict=evidence.verdict, because="", required=True, evidence=evidence.to_dict())
    return dict(_numbers(verdict))


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (SHARE, "contender 2.5 %, incumbent 50 %"),
        (PER_SECOND, "contender 0.025 per second and pod, incumbent 0.5 per second and pod"),
        (LEVEL, "contender 0.025, incumbent 0.5"),
        ("history", "now 0.025, 0.5 by history"),
    ],
)
def test_rates_are_told_in_their_own_unit(measure: str, words: str) -> None:
    effect = Effect(0.05, 0.01, 0.2, 0.025, 0.5, measure)
    assert told(Evidence(Verdict.UNDECIDED, "b", "w", effect=effect))["rates"] == words


def test_evidence_that_leans_to_harm_is_told() -> None:
    plain = Evidence(Verdict.UNDECIDED, "b", "w")
    assert "leaning" not in told(plain)
    assert "does not go on by itself" in told(replace(plain, leaning=True))["leaning"]


def test_harm_that_began_later_is_told_beside_the_whole_observation() -> None:
    effect = Effect(1.5, 0.93, 4.2, 0.012, 0.008)
    plain = Evidence(Verdict.DEGRADED, "b", "w", effect=effect)
    assert told(plain)["effect"] == "1.5x, interval 0.93x to 4.2x"
    assert "harm since" not in told(plain)
    onset = Onset(1_700_000_300.0, 1_700_000_000.0, 1_700_000_600.0, (3000.0, 9000.0), (0.041, 0.002), 20.5)
    late = told(replace(plain, onset=onset))
    assert late["effect"] == "1.5x, interval 0.93x to 4.2x, of the whole observation"
    clock, _, numbers = late["harm since"].partition(": ")
    assert clock.endswith(":20")
    assert numbers == "20.5x, contender 4.1 % of 3,000, incumbent 0.2 % of 9,000"
    slow = told(replace(plain, onset=onset, boundary=0.25))["harm since"]
    assert slow.endswith("contender 4.1 % of 3,000 slower than 0.25 s, incumbent 0.2 % of 9,000")


def test_a_time_that_no_calendar_has_is_not_told() -> None:
    edited = {"onset": {"at": 1e300, "span": [0.0, 1e301], "rates": [0.1, 0.1]}}
    verdict = GateVerdict(gate="g", verdict=Verdict.DEGRADED, because="", evidence=edited)
    assert "harm since" not in dict(_numbers(verdict))


def test_events_since_the_harm_began_are_rates_and_may_have_no_ratio() -> None:
    onset = Onset(1_700_000_300.0, 1_700_000_000.0, 1_700_000_600.0, (300.0, 0.0), (2.0, 0.0), None)
    rates = Effect(None, 3.0, None, 1.0, 0.0, PER_SECOND)
    since = told(Evidence(Verdict.DEGRADED, "b", "w", effect=rates, onset=onset))["harm since"]
    assert since.endswith(": contender 2/s, incumbent 0/s")
