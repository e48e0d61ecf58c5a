"""`nightferry explain` tells the two rates of an effect in their own unit: shares, rates, levels or history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.verdict import LEVEL, PER_SECOND, SHARE, Effect, Evidence, Verdict
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
