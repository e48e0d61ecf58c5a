"""When harm began: the starts weighed by an independent likelihood, and what gates tell of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import betabinom

from analysis.contrast import Releases, Sums
from analysis.engine import ASSUMED_NOISE, Worse
from analysis.onset import later_start, onset, start_evidence
from analysis.samples import Tally
from analysis.shares import THETA_GRID
from analysis.special import FloatArray
from analysis.verdict import PER_SECOND, Evidence, Freshness, Verdict
from tests.analysis.builders import FAST, SLOW, START, WINDOW, Fleet, a_fleet, instant, valued

RHO = 0.01
ABOVE = THETA_GRID[THETA_GRID > 1e-9]
PRIOR = (1.0 / (1.0 + ABOVE**2)) / np.sum(1.0 / (1.0 + ABOVE**2))


def tally(ours: list[int], theirs: list[int], n: list[float], others: list[float]) -> Tally:
    """One pod on each side; windows from START on."""
    ends = START + WINDOW * np.arange(1, len(ours) + 1, dtype=np.float64)
    counts = np.array([ours, theirs], dtype=np.float64)
    exposure = np.array([n, others], dtype=np.float64)
    contender = np.array([True, False])
    return Tally(("new", "old"), contender, exposure, counts, exposure > 0.0, ends, WINDOW, Freshness())


def drawn(rng: np.random.Generator, theta: float, begin: int, windows: int) -> Tally:
    """Shares of events as the model has them: beta-binomial, exp(theta) times as many from window `begin` on."""
    odds = rng.uniform(0.1, 1.0, windows)
    both = rng.poisson(6.0, windows)
    tilted = odds * np.exp(np.where(np.arange(windows) >= begin, theta, 0.0))
    share = tilted / (1.0 + tilted)
    kept = 1.0 / RHO - 1.0
    ours = rng.binomial(both, rng.beta(kept * share, kept * (1.0 - share)))
    return tally(ours.tolist(), (both - ours).tolist(), (1000.0 * odds).tolist(), [1000.0] * windows)


def evidence_of(counts: Tally, worse: Worse = Worse.HIGHER) -> FloatArray:
    sums = Sums.of(Releases(counts.contender, counts.exposure[None], counts.events[None], counts.window))
    return start_evidence(sums, RHO, worse)


def by_brute_force(counts: Tally, start: int, sign: float = 1.0) -> float:
    """The mixture over larger ratios against a ratio of 1, from whole probabilities of every window from `start` on."""

    def probability(theta: float) -> float:
        ln = 0.0
        for w in range(start, counts.ends.size):
            (n, other), (x, rest) = counts.exposure[:, w], counts.events[:, w]
            share = n * np.exp(theta) / (n * np.exp(theta) + other)
            kept = 1.0 / RHO - 1.0
            ln += float(betabinom.logpmf(x, x + rest, kept * share, kept * (1.0 - share)))
        return ln

    null = probability(0.0)
    return float(np.log(np.sum(PRIOR * np.exp([probability(sign * theta) - null for theta in ABOVE]))))


@pytest.mark.parametrize(("worse", "sign"), [(Worse.HIGHER, 1.0), (Worse.LOWER, -1.0)])
def test_evidence_of_every_start_is_that_of_whole_probabilities(worse: Worse, sign: float) -> None:
    counts = drawn(np.random.default_rng(3), sign * 1.1, 9, 16)
    told = evidence_of(counts, worse)
    assert told == pytest.approx([by_brute_force(counts, k, sign) for k in range(16)], abs=1e-4)


def test_the_start_is_the_best_of_all_and_only_where_later_ones_are_far_better() -> None:
    found = set()
    for seed in range(25):
        counts = drawn(np.random.default_rng(seed), 1.2, 8, 14)
        exact = [np.exp(by_brute_force(counts, k)) for k in range(14)]
        mean = sum(exact[1:]) / 13.0
        expected = int(np.argmax(exact)) if mean / exact[0] >= 20.0 else None
        assert later_start(evidence_of(counts)) == expected
        found.add(expected is None)
    assert found == {True, False}


# What is promised: 5 % at most where the harm was there all along and is as large as its prior has it.
def test_harm_from_the_beginning_is_seldom_told_as_later() -> None:
    rng = np.random.default_rng(11)
    later = 0
    for _ in range(600):
        counts = drawn(rng, float(rng.choice(ABOVE, p=PRIOR)), 0, 30)
        later += later_start(evidence_of(counts)) is not None
    assert later <= 30


def test_harm_from_the_middle_on_is_found_within_two_windows() -> None:
    rng = np.random.default_rng(5)
    found = [later_start(evidence_of(drawn(rng, 2.0, 24, 36))) for _ in range(200)]
    known = [one for one in found if one is not None]
    assert len(known) >= 190
    assert np.mean([abs(one - 24) <= 2 for one in known]) >= 0.9


def test_one_window_and_windows_without_events_have_no_later_start() -> None:
    for windows in (1, 2, 12):
        calm = tally([0] * windows, [0] * windows, [100.0] * windows, [100.0] * windows)
        assert onset(calm, calm, ASSUMED_NOISE) is None


def test_the_numbers_since_then_are_sums_that_a_hand_can_check() -> None:
    counts = tally([1] * 20 + [40] * 5, [1] * 25, [100.0] * 25, [200.0] * 25)
    found = onset(counts, counts, ASSUMED_NOISE)
    assert found is not None
    assert (found.first, found.at, found.last) == (START, instant(20), instant(25))
    assert (found.requests, found.rates) == ((500.0, 1000.0), (0.4, 0.005))
    assert found.ratio == pytest.approx(200.0 / 2.5)
    rates = onset(counts, counts, ASSUMED_NOISE, measure=PER_SECOND)
    assert rates is not None
    assert rates.requests == (200.0, 5.0)
    assert rates.rates == pytest.approx((0.4 / WINDOW, 0.005 / WINDOW))
    none = replace(counts, events=np.array([counts.events[0], np.where(np.arange(25) < 20, 5.0, 0.0)]))
    without = onset(none, none, ASSUMED_NOISE)
    assert without is not None and without.ratio is None


# ------------------------------------------------------------------------------------------------------- gates


def failing(fleet: Fleet, rates: tuple[float, float], since: int, seed: int) -> Fleet:
    """Errors by chance: `rates` are the contender's before window `since` and from there on."""
    rng = np.random.default_rng(seed)
    asked = int(fleet.rate * WINDOW)
    for pod in fleet.ours + fleet.theirs:
        ours = pod in fleet.ours
        fresh = [rng.binomial(asked, rates[ours and w >= since]) for w in range(fleet.windows)]
        fleet = fleet.but("errors", pod, valued(*np.concatenate([[0.0], np.cumsum(fresh, dtype=float)]).tolist()))
    return fleet


def late_harm(seed: int = 0) -> Evidence:
    return failing(a_fleet().of(contender=3, incumbent=7).lasting(40), (0.005, 0.02), 34, seed).judged()


# Degraded beside an interval in which 1x lies: right, because the harm began late, and the reader is told.
def test_a_verdict_beside_an_interval_with_no_change_in_it_says_when_the_harm_began() -> None:
    told = late_harm()
    assert told.verdict is Verdict.DEGRADED
    assert told.effect is not None and told.onset is not None
    assert told.effect.low < 1.0
    assert told.onset.at == instant(34)
    assert told.onset.rates[0] > 3.0 * told.onset.rates[1]
    assert "in the last 3 of 20 min 2.33 % of 5,400 against 0.619 % of 12,600: 3.77x" in told.because
    written = told.to_dict()["onset"]
    assert written == {
        "at": instant(34),
        "span": [START, instant(40)],
        "requests": [5400, 12600],
        "rates": [0.02333, 0.00619],
        "ratio": 3.769,
    }
    assert len(json.dumps(told.to_dict(), allow_nan=False).encode()) <= 1024


def test_harm_from_the_first_window_on_is_told_as_one() -> None:
    for seed in range(5):
        told = failing(a_fleet().of(contender=3, incumbent=7).lasting(40), (0.005, 0.02), 0, seed).judged()
        assert told.verdict is Verdict.DEGRADED
        assert told.onset is None and "onset" not in told.to_dict() and "in the last" not in told.because


def test_nothing_is_told_of_a_beginning_unless_there_is_harm() -> None:
    for seed in range(5):
        told = failing(a_fleet().of(contender=3, incumbent=7).lasting(40), (0.005, 0.005), 0, seed).judged()
        assert told.verdict is not Verdict.DEGRADED and told.onset is None


def test_a_pause_between_two_batches_lies_within_the_time_that_is_told() -> None:
    fleet = failing(a_fleet().of(contender=3, incumbent=7).lasting(40), (0.005, 0.05), 30, 1)
    told = fleet.settled_in((START, instant(20)), (instant(30), instant(40))).judged()
    assert told.onset is not None
    assert (told.onset.first, told.onset.at, told.onset.last) == (START, instant(30), instant(40))


def test_latency_tells_it_at_the_boundary_that_it_names() -> None:
    calm = a_fleet().of(contender=3, incumbent=7).lasting(30)
    slow = calm.with_latency(contender=SLOW).latency_question()
    quick = calm.with_latency(contender=FAST).latency_question()
    fleet = calm
    for before, after in zip(quick.term("buckets"), slow.term("buckets"), strict=True):
        if before.pod in calm.ours:
            fresh = np.where(np.arange(30) < 22, np.diff(before.values), np.diff(after.values))
            fleet = fleet.but("buckets", before.pod, valued(*np.cumsum([0.0, *fresh]).tolist()), before.le)
    told = fleet.judged_on_latency()
    assert told.verdict is Verdict.DEGRADED
    assert told.onset is not None and told.effect is not None and told.boundary is not None
    assert told.onset.at == instant(22)
    assert told.onset.requests == (3 * 8 * 300.0, 7 * 8 * 300.0)
    assert told.onset.rates[0] > told.effect.contender_rate > told.onset.rates[1]
    assert "in the last 4 of 15 min" in told.because


def test_throughput_tells_a_decrease_in_events_of_a_pod() -> None:
    fleet = a_fleet().of(contender=3, incumbent=7).lasting(40)
    for pod in fleet.ours:
        fresh = np.where(np.arange(40) < 30, 300.0, 60.0)
        fleet = fleet.but("events", pod, valued(*np.cumsum([0.0, *fresh]).tolist()))
    told = fleet.judged_on_throughput()
    assert told.verdict is Verdict.DEGRADED
    assert told.onset is not None
    assert told.onset.at == instant(30)
    assert told.onset.rates == pytest.approx((2.0, 10.0))
    assert told.onset.ratio == pytest.approx(0.2)
    assert "in the last 5 of 20 min 2 events/s against 10 events/s: 0.2x" in told.because
