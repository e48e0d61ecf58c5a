"""The exact rule: its rank by brute force, its rate under any noise of pods, and that it says so in the evidence."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.comparisons import error_settings, ratio
from analysis.learned import Guarantee, NotLearned
from analysis.permutation import exact
from analysis.samples import Frame, Groups, Tally
from analysis.verdict import Verdict
from tests.analysis.builders import a_fleet
from tests.bench.gates import clopper_pearson
from tests.bench.worlds import WINDOW, as_tally

ALPHA = 0.01


def a_batch(
    rng: np.random.Generator,
    *,
    ours: int = 5,
    pods: int = 10,
    windows: int = 24,
    pod_sd: float = 0.5,
    harm: float = 1.0,
) -> Tally:
    """Pods that differ a great deal, in a batch with `ours` of them on trial; bursts, shocks and unequal load."""
    own = np.exp(pod_sd * rng.standard_t(3, size=(pods, 1)).clip(-4, 4))
    worse = np.where(np.arange(pods) < ours, harm, 1.0)[:, None]
    load = rng.poisson(300.0 * np.exp(0.3 * rng.normal(size=(pods, 1))), (pods, windows)).astype(np.float64)
    shock = np.exp(0.6 * rng.normal(size=windows))
    events = rng.poisson(0.005 * load * own * worse * shock).astype(np.float64)
    return as_tally(tuple(f"p{i}" for i in range(pods)), load, events, ours)


def test_the_rank_is_that_of_the_real_choice_among_all() -> None:
    for seed in range(12):
        tally = a_batch(np.random.default_rng(seed), harm=1.5, windows=20)
        found = exact(tally, ALPHA)
        assert found is not None
        rate = tally.events.sum(axis=0) / tally.exposure.sum(axis=0)
        h = np.log((tally.events.sum(axis=1) + 1) / ((tally.exposure * rate).sum(axis=1) + 1))

        def contrast(chosen: tuple[int, ...], h: np.ndarray = h) -> float:
            return float(h[list(chosen)].mean() - np.delete(h, list(chosen)).mean())

        real = contrast(tuple(range(5)))
        as_bad = sum(contrast(chosen) >= real - 1e-12 for chosen in itertools.combinations(range(10), 5))
        assert (found.rank, found.assignments) == (as_bad, 252)
        assert found.contrast == pytest.approx(real)
        assert found.level == pytest.approx(2 / 252)


def test_whatever_the_noise_of_pods_is_the_rate_is_kept() -> None:
    rng, releases = np.random.default_rng(1), 1500
    wrong = 0
    for _ in range(releases):
        found = exact(a_batch(rng), ALPHA)
        wrong += found is not None and found.degraded
    assert clopper_pearson(wrong, releases)[0] <= 2 / 252
    assert wrong / releases <= 0.012
    assert wrong > 0, "a rule that is never met measures nothing"


def test_a_clear_harm_is_found_where_pods_differ_little() -> None:
    rng = np.random.default_rng(2)
    caught = [exact(a_batch(rng, pod_sd=0.1, harm=3.0), ALPHA) for _ in range(60)]
    assert sum(one is not None and one.degraded for one in caught) >= 55


def test_more_looks_change_nothing_because_the_looks_are_fixed() -> None:
    rng = np.random.default_rng(3)
    tally = a_batch(rng, pod_sd=0.1, harm=3.0, windows=40)
    seen = [exact(tally.keep_windows(np.arange(40) < u), ALPHA) for u in range(1, 41)]
    assert seen[8] is None
    assert len(set(seen[9:19])) == 1
    assert len(set(seen[19:])) == 1


def test_a_small_difference_is_no_harm_however_consistent_it_is() -> None:
    exposure = np.full((10, 24), 1e6)
    events = np.where(np.arange(10) < 5, 5500.0, 5000.0)[:, None] * np.ones((10, 24))
    found = exact(as_tally(tuple(f"p{i}" for i in range(10)), exposure, events, 5), ALPHA)
    assert found is not None
    assert found.rank == 1
    assert not found.degraded


@pytest.mark.parametrize(("ours", "pods"), [(1, 10), (3, 10), (2, 6), (1, 100), (4, 10)])
def test_too_few_pods_can_never_be_rare_enough(ours: int, pods: int) -> None:
    rare = 2 / math.comb(pods, ours) <= ALPHA
    found = exact(a_batch(np.random.default_rng(4), ours=ours, pods=pods, harm=3.0), ALPHA)
    assert (found is not None) == rare


def test_a_large_fleet_is_judged_among_assignments_drawn_at_random() -> None:
    rng = np.random.default_rng(5)
    harmful = a_batch(rng, ours=15, pods=30, pod_sd=0.1, harm=3.0)
    found = exact(harmful, ALPHA, seed=1)
    assert found is not None
    assert (found.degraded, found.assignments) == (True, 10_000)
    assert found == exact(harmful, ALPHA, seed=1)
    assert found.level <= ALPHA
    wrong = [exact(a_batch(rng, ours=15, pods=30), ALPHA, seed=k) for k in range(120)]
    assert sum(one is not None and one.degraded for one in wrong) <= 6


def test_no_events_at_all_make_every_choice_alike() -> None:
    quiet = as_tally(tuple(f"p{i}" for i in range(10)), np.full((10, 24), 300.0), np.zeros((10, 24)), 5)
    found = exact(quiet, ALPHA)
    assert found is not None
    assert (found.rank, found.degraded) == (252, False)


def test_the_batch_begins_when_enough_pods_are_there() -> None:
    tally = a_batch(np.random.default_rng(6), pod_sd=0.1, harm=3.0, windows=40)
    seen = tally.seen.copy()
    seen[1:5, :15] = False
    canary = replace(
        tally, seen=seen, exposure=np.where(seen, tally.exposure, 0.0), events=np.where(seen, tally.events, 0.0)
    )
    assert exact(canary.keep_windows(np.arange(40) < 24), ALPHA) is None
    later = exact(canary.keep_windows(np.arange(40) < 25), ALPHA)
    whole = exact(tally.keep_windows((np.arange(40) >= 15) & (np.arange(40) < 25)), ALPHA)
    assert later == whole is not None


def test_pods_that_were_hardly_seen_make_no_look() -> None:
    tally = a_batch(np.random.default_rng(7), pod_sd=0.1, harm=3.0)
    seen = tally.seen.copy()
    seen[7, 4:20] = False
    holed = replace(
        tally, seen=seen, exposure=np.where(seen, tally.exposure, 0.0), events=np.where(seen, tally.events, 0.0)
    )
    assert exact(holed, ALPHA) is None


def test_the_evidence_says_exact_only_where_the_exact_rule_agrees() -> None:
    fleet = a_fleet().of(contender=5, incumbent=5).by_chance(8).lasting(24)
    found = fleet.with_errors(contender=0.05).judged()
    assert found.verdict is Verdict.DEGRADED
    assert found.standing.guarantee is Guarantee.EXACT
    assert found.standing.alpha <= ALPHA
    assert str(found.to_dict()["guarantee"]).startswith("exact at 0.79")
    thin = fleet.having_learned(NotLearned("TooLittleHistory", "20 min of 3 h")).with_errors(contender=0.05).judged()
    assert thin.standing.guarantee is Guarantee.EXACT
    one = a_fleet().by_chance(8).lasting(24).with_errors(contender=0.05).judged()
    assert one.verdict is Verdict.DEGRADED
    assert one.standing.guarantee is Guarantee.ASSUMED
    assert fleet.judged().standing.guarantee is Guarantee.ASSUMED


def test_pods_that_differ_wildly_are_not_called_exact() -> None:
    # The assumed noise is far too small here; what rolls back says on what it rests.
    rng, exactly, assumed = np.random.default_rng(9), 0, 0
    for _ in range(150):
        tally = a_batch(rng, pod_sd=0.8)
        groups = Groups(tally.pods[:5], tally.pods[5:])
        found = ratio.judge(tally, error_settings(), Frame(groups, ((0.0, 24 * WINDOW),), WINDOW))
        if found.verdict is Verdict.DEGRADED:
            exactly += found.standing.guarantee is Guarantee.EXACT
            assumed += found.standing.guarantee is Guarantee.ASSUMED
    assert assumed >= 15
    assert exactly <= 6
