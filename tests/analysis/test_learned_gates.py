"""Errors and latency judged by what history has taught: whose thresholds, which noise, and what the evidence tells."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from analysis.allowance import aged, mixed
from analysis.comparisons import COMPARISONS, Settings, error_settings, latency, latency_settings, ratio
from analysis.comparisons.boundaries import Boundary, watched
from analysis.comparisons.watches import counts_above, noise_at
from analysis.counting import count_buckets
from analysis.engine import Look, Margin, look, look_path
from analysis.learned import (
    AgeCurve,
    Calibration,
    Guarantee,
    LearnedBoundary,
    LearnedCounts,
    LearnedLatency,
    Noise,
    Scale,
    Standing,
    Variation,
)
from analysis.learning import CountHistory, LatencyHistory, ReplayPlan, learn
from analysis.samples import Frame, Groups, Histogram, Strata, Tally
from analysis.verdict import Evidence, Verdict
from tests.analysis.builders import BOUNDS, FAST, SLOW, START, WINDOW, Fleet, a_fleet, counter
from tests.bench.decisions import fleets
from tests.bench.decisions.fleets import Harm
from tests.bench.decisions.learners import PLAN
from tests.bench.gates import clopper_pearson
from tests.bench.worlds import LOOKS, MODERATE, World, as_tally, latency_release

NOISE = Noise(Variation((math.inf, 2.0), (0.004, 0.05)), 0.01)
BARS = Calibration(Scale(1.0, 1.5), Scale(0.5, 2.0), 3.2, 1.7, 2.4)
STANDING = Standing(Guarantee.CALIBRATED, 0.01, 84, 504, (0.001, 0.03))
LEARNED = LearnedCounts(NOISE, 0.005, BARS, STANDING)
SETTINGS = error_settings()


def weighed_by(bars: Calibration, seen: Look) -> float:
    """J of the design page, written out."""
    first = math.exp((seen.ln_pods - bars.first.location) / bars.first.spread)
    second = math.exp((seen.ln_counts - bars.second.location) / bars.second.spread)
    return math.log(first + second)


def counts(fleet: Fleet) -> Tally:
    from analysis.counting import count_events

    question = fleet.question()
    counted = count_events(question.term("requests"), question.term("errors"), question.frame)
    assert isinstance(counted, Tally)
    return counted.shared()


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("errors", [0.005, 0.008, 0.01, 0.02])
@pytest.mark.parametrize("windows", [2, 6, 20])
def test_errors_are_degraded_when_both_learned_thresholds_are_exceeded_at_one_look(errors: float, windows: int) -> None:
    fleet = a_fleet().lasting(windows).with_errors(contender=errors).having_learned(LEARNED)
    seen, found = look(counts(fleet), SETTINGS.margin, NOISE), fleet.judged()
    assert found.log_evidence == pytest.approx(weighed_by(BARS, seen))
    assert found.margin_evidence == pytest.approx(seen.ln_margin)
    assert (found.threshold, found.margin_threshold) == (BARS.change, BARS.margin)
    over = found.log_evidence > BARS.change and found.margin_evidence > BARS.margin
    assert (found.verdict is Verdict.DEGRADED) == over
    assert found.leaning == (found.log_evidence > BARS.pause)
    assert found.standing == STANDING
    assert found.effect is not None
    assert (found.effect.low, found.effect.high) == (seen.low, seen.high if math.isfinite(seen.high) else None)


@pytest.mark.parametrize(
    ("change", "margin", "verdict"),
    [(2.0, 2.0, Verdict.DEGRADED), (1e3, 2.0, Verdict.UNDECIDED), (2.0, 1e3, Verdict.UNDECIDED)],
)
def test_one_threshold_alone_does_not_roll_back(change: float, margin: float, verdict: Verdict) -> None:
    learned = replace(LEARNED, calibration=replace(BARS, change=change, margin=margin))
    fleet = a_fleet().lasting(20).with_errors(contender=0.02)
    assert fleet.having_learned(learned).judged().verdict is verdict


def test_quiet_pods_decide_sooner_and_noisy_ones_later() -> None:
    fleet = a_fleet().lasting(40).with_errors(contender=0.0095)
    quiet = replace(LEARNED, noise=Noise(Variation((math.inf,), (0.0004,)), 0.002))
    noisy = replace(LEARNED, noise=Noise(Variation((math.inf,), (0.16,)), 0.06))
    one, other = fleet.having_learned(quiet).judged(), fleet.having_learned(noisy).judged()
    assert one.verdict is Verdict.DEGRADED
    assert other.verdict is Verdict.UNDECIDED
    assert one.effect is not None and other.effect is not None
    assert one.effect.low > other.effect.low


def test_what_leans_to_harm_is_not_advanced_although_harm_is_ruled_out() -> None:
    fleet = a_fleet().lasting(40).of(contender=5, incumbent=5)
    calm = fleet.having_learned(LEARNED).judged()
    assert (calm.verdict, calm.leaning) == (Verdict.HEALTHY, False)
    assert "leaning" not in calm.to_dict()
    wary = replace(LEARNED, calibration=replace(BARS, pause=calm.log_evidence - 1.0))
    found = fleet.having_learned(wary).judged()
    assert (found.verdict, found.leaning) == (Verdict.UNDECIDED, True)
    assert found.to_dict()["leaning"] is True


def test_evidence_of_a_learned_gate_stays_small_and_names_its_standing() -> None:
    for errors in (0.005, 0.05):
        fleet = a_fleet().lasting(20).with_errors(contender=errors)
        told = fleet.having_learned(LEARNED).judged().to_dict()
        assert told["guarantee"] == "calibrated: 1 % calibrated on 84 segments, realised 0.1 to 3 %"
        assert len(json.dumps(told, allow_nan=False).encode()) <= 1024


def test_a_time_out_can_say_the_smallest_harm_that_could_hide() -> None:
    found = a_fleet().lasting(6).having_learned(LEARNED).judged()
    assert found.verdict is Verdict.UNDECIDED
    assert found.effect is not None
    assert found.could_hide == found.effect.high
    assert a_fleet().lasting(40).having_learned(LEARNED).judged().could_hide is None


def test_one_bad_pod_is_named_with_learned_noise_too() -> None:
    fleet = a_fleet().of(contender=4, incumbent=6).lasting(20).having_learned(LEARNED)
    one = fleet.with_errors(contender=0.10, only="new-2").judged()
    assert (one.verdict, one.blame) == (Verdict.DEGRADED, "new-2")
    every = fleet.with_errors(contender=0.10).judged()
    assert (every.verdict, every.blame) == (Verdict.DEGRADED, None)


def test_a_hard_limit_needs_nothing_learned() -> None:
    both = a_fleet().with_errors(contender=0.08, incumbent=0.08).lasting(10).having_learned(LEARNED)
    assert both.judged(error_settings(limit=0.05)).limit_broken


def test_young_pods_and_the_mix_are_allowed_for_together() -> None:
    """The look is on requests weighed by route and then by age; what is told are the requests themselves."""
    curve, mix = AgeCurve(1.0, 120.0), (("/a", 0.5), ("/b", 3.0))
    learned = replace(LEARNED, age=curve, mix=mix)
    requests = np.stack(
        [np.full((10, 30), 200.0), np.where(np.arange(10) < 1, 90.0, 50.0)[:, None] * np.ones((10, 30))]
    )
    plain = as_tally(tuple(f"p{i}" for i in range(10)), requests.sum(axis=0), np.full((10, 30), 2.0), 1)
    tally = replace(plain, strata=Strata(("/a", "/b"), requests, np.zeros_like(requests)))
    groups = Groups(("p0",), tuple(f"p{i}" for i in range(1, 10)), born={"p0": 0.0})
    frame = Frame(groups, ((0.0, 30 * WINDOW),), WINDOW)
    found = ratio.judge(tally, SETTINGS, frame, learned)
    seen = look(aged(mixed(tally, mix), groups.born, curve), SETTINGS.margin, NOISE)
    assert found.effect is not None
    assert found.effect.ratio == pytest.approx(seen.ratio)
    assert seen.ratio is not None and seen.ratio < 0.8
    assert found.exposure.contender_requests == 290 * 30
    assert "with young pods and the mix of requests allowed for" in found.because
    unknown = ratio.judge(tally, SETTINGS, replace(frame, groups=replace(groups, born={})), replace(learned, mix=()))
    assert "allowed for" not in unknown.because


def test_the_strata_that_history_knows_are_the_ones_that_are_counted() -> None:
    """Twelve routes today; the two that history weighs are small ones, and must not vanish in the rest."""
    routes = [f"/r{i:02}" for i in range(12)]
    mix = (("/r10", 40.0), ("/r11", 40.0), ("*", 0.5))
    fleet = a_fleet().lasting(10)

    def split(pod: str, per_window: float) -> list[object]:
        share = [10.0] * 10 + [1.0, 1.0]
        total = [per_window * s / sum(share) for s in share]
        return [
            replace(counter(pod, [v * k for k in range(11)]), stratum=name)
            for name, v in zip(routes, total, strict=True)
        ]

    requests = tuple(one for pod in fleet.ours + fleet.theirs for one in split(pod, 300.0))
    question = replace(fleet.question(), learned=replace(LEARNED, mix=mix))
    asked = replace(question, terms={**question.terms, "requests": requests})  # type: ignore[dict-item]
    found = COMPARISONS["errorRatio"](asked)
    assert found.effect is not None
    assert found.effect.ratio == pytest.approx(1.0, abs=0.01)
    assert "the mix of requests" in found.because


# --- latency --------------------------------------------------------------------------------------------------------


def boundary(seconds: float, share: float, slope: float, scale: Scale) -> LearnedBoundary:
    margin = Boundary(0, seconds, share, slope).margin(1.08)
    return LearnedBoundary(seconds, share, slope, margin, noise_at(share), scale)


TWO = LearnedLatency(
    (boundary(0.1, 0.30, 0.55, Scale(0.4, 0.8)), boundary(1.0, 0.004, 1.9, Scale(0.2, 1.4))), BARS, STANDING
)


def histogram(fleet: Fleet) -> Histogram:
    question = fleet.latency_question()
    counted = count_buckets(question.term("buckets"), question.frame)
    assert isinstance(counted, Histogram)
    return counted.shared()


def test_latency_watches_the_learned_boundaries_and_joins_the_means_over_them() -> None:
    fleet = a_fleet().lasting(12).with_latency(contender=SLOW).having_learned(TWO)
    counted, found = histogram(fleet), fleet.judged_on_latency()
    assert [b.seconds for b in watched(counted)] != [0.1, 1.0]
    looks = [
        look(counted.above(BOUNDS.index(name)), Margin(math.exp(one.margin)), one.noise)
        for name, one in zip(("0.1", "1"), TWO.boundaries, strict=True)
    ]
    pods = math.log(sum(math.exp(one.ln_pods) for one in looks) / 2)
    shares = math.log(sum(math.exp(one.ln_counts) for one in looks) / 2)
    mean = replace(looks[0], ln_pods=pods, ln_counts=shares)
    assert found.log_evidence == pytest.approx(weighed_by(BARS, mean))
    scaled = [(s.ln_margin - b.scale.location) / b.scale.spread for s, b in zip(looks, TWO.boundaries, strict=True)]
    assert found.margin_evidence == pytest.approx(max(scaled))
    assert (found.threshold, found.margin_threshold) == (BARS.change, BARS.margin)
    assert (found.verdict, found.standing) == (Verdict.DEGRADED, STANDING)
    assert found.boundary in (0.1, 1.0)
    assert len(json.dumps(found.to_dict(), allow_nan=False).encode()) <= 1024


def test_latency_that_is_equal_is_healthy_by_learned_noise() -> None:
    found = a_fleet().lasting(40).having_learned(TWO).judged_on_latency()
    assert (found.verdict, found.standing) == (Verdict.HEALTHY, STANDING)


def test_a_learned_bucket_that_is_gone_is_said_and_noise_assumed() -> None:
    fleet = a_fleet().lasting(20)
    plain = fleet.judged_on_latency()
    gone = replace(TWO, boundaries=(TWO.boundaries[0], replace(TWO.boundaries[1], seconds=0.75)))
    found = fleet.having_learned(gone).judged_on_latency()
    assert found == replace(plain, warnings=("noise is assumed: the learned bucket of 0.75 s is gone, learn again",))
    nothing = fleet.having_learned(replace(TWO, boundaries=())).judged_on_latency()
    assert nothing.standing.guarantee is Guarantee.ASSUMED


def test_what_could_hide_is_told_as_a_ratio_of_latency() -> None:
    found = a_fleet().lasting(4).having_learned(TWO).judged_on_latency()
    assert found.verdict is Verdict.UNDECIDED
    assert found.effect is not None and found.effect.high is not None
    slope = next(one.slope for one in TWO.boundaries if one.seconds == found.boundary)
    assert found.could_hide == pytest.approx(math.exp(math.log(found.effect.high) / slope))
    assert Boundary(0, 1.0, 0.01, 0.0).latency(2.0) is None
    assert Boundary(0, 1.0, 0.01, 1e-6).latency(8.0) is None
    assert Boundary(0, 1.0, 0.01, 2.0).latency(math.inf) is None


def test_one_slow_pod_is_named_with_learned_noise_too() -> None:
    fleet = Fleet(contender=4, incumbent=6, windows=40, shapes=(SLOW, FAST), only="new-3", learned=TWO)
    found = fleet.judged_on_latency()
    assert (found.verdict, found.blame) == (Verdict.DEGRADED, "new-3")


def test_young_pods_are_slower_by_the_slope_of_each_boundary() -> None:
    learned = replace(TWO, age=AgeCurve(1.0, 300.0))
    fleet = a_fleet().lasting(12).grouped(Groups(("new-0",), a_fleet().theirs, born={"new-0": START}))
    counted = histogram(fleet)
    bound = Boundary(5, 1.0, 0.004, 1.9)
    weighed = counts_above(counted, bound, fleet.frame(), learned)
    age = (np.arange(12) + 0.5) * WINDOW
    expected = counted.tally.exposure[0] * (1.0 + np.exp(-age / 300.0)) ** 1.9
    assert weighed.exposure[0] == pytest.approx(expected)
    assert weighed.exposure[1:].tolist() == counted.tally.exposure[1:].tolist()
    assert counts_above(counted, bound, fleet.frame(), TWO).exposure is counted.tally.exposure
    slow = fleet.with_latency(contender=SLOW)
    assert (
        slow.having_learned(TWO).judged_on_latency().log_evidence
        > slow.having_learned(learned).judged_on_latency().log_evidence
    )


# --- a large fleet ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["errorRatio", "latency"])
def test_one_healthy_contender_in_a_large_busy_fleet_is_kept_where_noise_is_assumed(kind: str) -> None:
    """The correlation of shares that is right for ten pods would call one of a hundred equal pods twice as bad."""
    pods, windows, rng = 100, 60, np.random.default_rng(1)
    groups = Groups(("p0",), tuple(f"p{i}" for i in range(1, pods)))
    frame = Frame(groups, ((0.0, windows * WINDOW),), WINDOW)
    names = tuple(f"p{i}" for i in range(pods))
    requests = np.full((pods, windows), 3000.0)
    if kind == "errorRatio":
        found = ratio.judge(
            as_tally(names, requests, rng.binomial(3000, 0.05, requests.shape).astype(float), 1), SETTINGS, frame
        )
    else:
        slower = np.stack([rng.binomial(3000, share, requests.shape) for share in (0.5, 0.1, 0.02, 0.005)]).astype(
            float
        )
        slower = np.minimum.accumulate(slower, axis=0)
        counted = Histogram(
            np.array([0.1, 0.25, 0.5, 1.0]), slower, as_tally(names, requests, np.zeros_like(requests), 1)
        )
        found = latency.judge(counted, latency_settings(), frame)
    assert found.verdict is Verdict.HEALTHY
    assert found.log_evidence < 0.0


# --- error rates ----------------------------------------------------------------------------------------------------


def stopped(release: Tally, learned: LearnedCounts, settings: Settings) -> bool:
    """Whether a release is rolled back at any of its looks, as the gate would."""
    path = look_path(release, settings.margin, learned.noise, list(range(1, release.ends.size + 1)))
    at = learned.calibration
    return any(weighed_by(at, one) > at.change and one.ln_margin > at.margin for one in path)


@cache
def taught(world: World) -> LearnedCounts:
    """Errors learned from 84 segments of a world."""
    history = fleets.history(np.random.default_rng([31, len(world.name)]), world, 84)
    found = learn({"errors": CountHistory(history)}, {"errors": SETTINGS}, PLAN, alpha=0.01, pause_alpha=0.05, seed=2)[
        "errors"
    ]
    assert isinstance(found, LearnedCounts), found
    return found


def released(seed: int, world: World, harm: Harm, count: int) -> list[Tally]:
    batch = fleets.releases_of(np.random.default_rng(seed), world, harm, count)
    return [batch.tally(number).shared() for number in range(count)]


def test_healthy_releases_are_kept_at_every_look_and_tripled_errors_are_found_in_time() -> None:
    learned = taught(MODERATE)
    kept = sum(stopped(one, learned, SETTINGS) for one in released(32, MODERATE, Harm(), 500))
    assert clopper_pearson(kept, 500)[0] <= 0.01
    margin = sum(stopped(one, learned, SETTINGS) for one in released(33, MODERATE, Harm(1.25), 150))
    assert clopper_pearson(margin, 150)[0] <= 0.10
    harmful = released(34, MODERATE, Harm(3.0), 40)
    assert sum(stopped(one, learned, SETTINGS) for one in harmful) >= 39
    early = [one.keep_windows(np.arange(one.ends.size) < 26) for one in harmful]
    assert sum(stopped(one, learned, SETTINGS) for one in early) >= 34


def test_one_bad_pod_among_three_is_stopped_although_their_mean_log_hardly_moves() -> None:
    learned = taught(MODERATE)
    bad = released(38, MODERATE, Harm(10.0, onset=24, one_pod=True), 40)
    assert sum(stopped(one, learned, SETTINGS) for one in bad) >= 36


def test_the_gate_says_what_its_path_of_looks_says() -> None:
    learned = taught(MODERATE)
    for release in released(35, MODERATE, Harm(2.0), 6):
        groups = Groups(
            tuple(np.array(release.pods)[release.contender]), tuple(np.array(release.pods)[~release.contender])
        )
        for u in (8, 30, release.ends.size):
            part = release.keep_windows(np.arange(release.ends.size) < u)
            frame = Frame(groups, ((float(part.ends[0] - WINDOW), float(part.ends[-1])),), WINDOW)
            found = ratio.judge(part, SETTINGS, frame, learned)
            one = look_path(release, SETTINGS.margin, learned.noise, [u])[0]
            assert found.log_evidence == pytest.approx(weighed_by(learned.calibration, one), abs=1e-9)


@cache
def taught_latency() -> LearnedLatency:
    """Latency learned from thirty segments in which nobody releases."""
    rng, segments = np.random.default_rng(36), []
    world = replace(MODERATE, stages=((0, 1),))
    for day in range(30):
        one = latency_release(rng, world)
        pods = tuple(f"d{day}-{i}" for i in range(len(one.tally.pods)))
        tally = replace(
            one.tally,
            pods=pods,
            contender=np.zeros(len(pods), dtype=np.bool_),
            ends=one.tally.ends + 86400.0 * day,
        )
        segments.append(replace(one, tally=tally))
    plan = ReplayPlan(lambda _: (1,), LOOKS, LOOKS)
    found = learn(
        {"latency": LatencyHistory(tuple(segments))},
        {"latency": latency_settings()},
        plan,
        alpha=0.01,
        pause_alpha=0.05,
        seed=3,
    )["latency"]
    assert isinstance(found, LearnedLatency), found
    return found


def slow_fate(rng: np.random.Generator, scale: float) -> Evidence | None:
    """The first Degraded of a release looked at every two minutes, by the gate itself."""
    whole = latency_release(rng, replace(MODERATE, stages=((0, 1),)), scale=scale)
    groups = Groups(whole.tally.pods[:1], whole.tally.pods[1:], reporting=())
    for u in range(4, LOOKS + 1, 4):
        frame = Frame(groups, ((0.0, u * WINDOW),), WINDOW)
        found = latency.judge(whole.first(u), latency_settings(), frame, taught_latency())
        if found.verdict is Verdict.DEGRADED:
            return found
    return None


def test_latency_with_learned_noise_is_kept_when_equal_and_stopped_when_slower() -> None:
    rng = np.random.default_rng(37)
    assert clopper_pearson(sum(slow_fate(rng, 1.0) is not None for _ in range(60)), 60)[0] <= 0.01
    fates = [slow_fate(rng, 1.3) for _ in range(20)]
    assert sum(one is not None for one in fates) >= 19
    assert all(one is None or one.standing.guarantee is Guarantee.CALIBRATED for one in fates)
