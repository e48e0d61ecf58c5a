"""What a sentence says of a number is what a page says of the record that keeps it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from analysis.figures import kept, number, percent, times
from analysis.verdict import Evidence
from tests.analysis.builders import SLOW, Fleet, a_fleet


@pytest.mark.parametrize(
    ("value", "record", "sentence"),
    [
        (0, 0, "0"),
        (0.00012344, 0.0001234, "0.000123"),
        (1.78496, 1.785, "1.78"),  # the fraction below 1.785 in binary; 1.78 as well
        (7.1249, 7.125, "7.12"),
        (2.13499, 2.135, "2.13"),
        (99.96, 99.96, "100"),
        (999.96, 1000.0, "1,000"),
        (12345.6, 12350.0, "12,350"),
        (12346, 12346, "12,346"),
        (1e9 / 3, 333300000.0, "333,300,000"),
        (-0.25, -0.25, "-0.25"),
    ],
)
def test_a_record_keeps_four_digits_and_a_sentence_says_three_of_them(
    value: float, record: float, sentence: str
) -> None:
    assert kept(value) == record
    assert number(value) == sentence
    assert times(value) == f"{sentence}x"


def test_what_is_whole_is_kept_whole() -> None:
    assert repr(kept(3.0)) == "3"
    assert repr(kept(123456.0)) == "123456"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_has_no_bound_is_told_so(value: float) -> None:
    assert kept(value) is None
    assert (number(value), times(value), percent(value)) == ("unbounded", "unbounded", "unknown")
    assert kept(None) is None


def test_a_number_out_of_a_record_is_told_like_the_number_itself() -> None:
    rng = np.random.default_rng(20261123)
    twice = 0
    for value in np.exp(rng.uniform(-12.0, 12.0, 20_000)).tolist():
        record = kept(value)
        assert record is not None
        assert (number(record), times(record), percent(record)) == (number(value), times(value), percent(value))
        twice += f"{value:.3g}" != f"{record:.3g}"
    # The trap is real: so many of them would be told otherwise if a sentence were made of the number itself.
    assert twice > 300


@pytest.mark.parametrize("latency", [False, True], ids=["errors", "latency"])
def test_the_sentence_of_a_look_and_its_record_tell_the_same_numbers(latency: bool) -> None:
    for seed in range(60):
        fleet: Fleet = a_fleet().by_chance(seed).with_errors(contender=0.03)
        evidence = fleet.with_latency(contender=SLOW).judged_on_latency() if latency else fleet.judged()
        ours, theirs, ratio = _kept(evidence)
        assert evidence.because.count(f"{percent(ours)} of ") == 1, (seed, evidence.because)
        assert f" against {percent(theirs)} of " in evidence.because, (seed, evidence.because)
        assert f": {times(ratio)}" in evidence.because, (seed, evidence.because)


def _kept(evidence: Evidence) -> tuple[float, float, float]:
    effect: Any = evidence.to_dict()["effect"]
    return (*effect["rates"], effect["ratio"])
