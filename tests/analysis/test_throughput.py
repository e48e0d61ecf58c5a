"""throughput: less, more or either, per pod; what each verdict needs and how often it is wrong under peeking."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import optimize, stats

from analysis.comparisons import Settings, throughput, throughput_settings
from analysis.contrast import Noises, Releases, Sums, contrast
from analysis.engine import ASSUMED_NOISE, Margin, Worse, look, look_at_rates, traces
from analysis.learned import AgeCurve, Guarantee, LearnedCounts, Noise, Variation
from analysis.learning import CountHistory, ReplayPlan, learn
from analysis.samples import Frame, Groups, Tally
from analysis.special import FloatArray
from analysis.spread import normal_intervals
from analysis.verdict import Evidence, NoData, Verdict
from tests.analysis.builders import a_fleet, gone, instant, until, valued
from tests.bench.gates import clopper_pearson
from tests.bench.worlds import WINDOW, as_tally

LOWER = throughput_settings(worse=Worse.LOWER)
HIGHER = throughput_settings(worse=Worse.HIGHER)
EITHER = throughput_settings(worse=Worse.EITHER)
LOOKS = 40


def test_as_much_as_the_incumbents_becomes_healthy() -> None:
    fleet = a_fleet().of(contender=3, incumbent=7)
    assert fleet.lasting(2).judged_on_throughput().verdict is Verdict.UNDECIDED
    for settings in (LOWER, HIGHER, EITHER):
        found = fleet.lasting(60).judged_on_throughput(settings)
        assert found.verdict is Verdict.HEALTHY
        assert found.effect is not None and found.effect.high is not None
        assert found.effect.low < 1.0 < found.effect.high
        assert found.effect.ratio == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("times", "lower", "higher"),
    [(0.3, Verdict.DEGRADED, Verdict.HEALTHY), (3.0, Verdict.HEALTHY, Verdict.DEGRADED)],
)
def test_harm_has_a_direction(times: float, lower: Verdict, higher: Verdict) -> None:
    fleet = a_fleet().lasting(20)
    assert fleet.judged_on_throughput(LOWER, contender=times).verdict is lower
    assert fleet.judged_on_throughput(HIGHER, contender=times).verdict is higher
    assert fleet.judged_on_throughput(EITHER, contender=times).verdict is Verdict.DEGRADED


def test_both_promises_are_needed() -> None:
    """A fifth less for an hour and a half on a large fleet: certainly a change, and just what is tolerated."""
    fleet = a_fleet().of(contender=40, incumbent=40).lasting(180)
    found = fleet.judged_on_throughput(throughput_settings(margin_ratio=1.25), contender=0.8)
    assert found.log_evidence > found.threshold
    assert found.margin_evidence < found.margin_threshold
    assert found.verdict is not Verdict.DEGRADED
    strict = throughput_settings(margin_ratio=1.02)
    assert fleet.judged_on_throughput(strict, contender=0.8).verdict is Verdict.DEGRADED


def test_a_contender_that_does_nothing_while_others_work_has_stopped() -> None:
    fleet = a_fleet().lasting(20).but("events", "new-0", valued(*[1000.0] * 21))
    found = fleet.judged_on_throughput()
    assert found.verdict is Verdict.DEGRADED
    assert found.effect is not None
    assert (found.effect.ratio, found.effect.low, found.effect.contender_rate) == (0.0, 0.0, 0.0)


def test_without_work_on_both_sides_there_is_nothing_to_say() -> None:
    idle = a_fleet().lasting(20)
    for pod in idle.theirs:
        idle = idle.but("events", pod, valued(*[7.0] * 21))
    assert idle.judged_on_throughput().no_data is NoData.NO_TRAFFIC
    nobody = idle.but("events", "new-0", valued(*[7.0] * 21)).judged_on_throughput()
    assert (nobody.verdict, nobody.no_data) == (Verdict.BLIND, NoData.NO_TRAFFIC)


def test_rates_are_per_second_and_pod_and_events_stand_for_requests() -> None:
    found = a_fleet().of(contender=2, incumbent=8).serving(10).lasting(30).judged_on_throughput(contender=0.5)
    assert found.effect is not None
    assert found.effect.contender_rate == pytest.approx(5.0)
    assert found.effect.incumbent_rate == pytest.approx(10.0)
    told = found.to_dict()
    assert told["measure"] == "perSecond"
    assert told["exposure"] == {
        "requests": [9000, 72000],
        "events": [0, 0],
        "pods": [2, 8],
        "windows": 30,
        "minutes": 15,
    }


def test_pods_that_joined_late_are_compared_by_the_windows_they_were_there() -> None:
    # Two pods for the last quarter only: half of the events, and as many per window.
    late = a_fleet().of(contender=2, incumbent=8).lasting(60)
    late = late.but("events", "new-1", lambda s: replace(s, times=s.times[45:], values=s.values[45:]))
    found = late.judged_on_throughput(EITHER)
    assert found.effect is not None
    assert found.effect.ratio == pytest.approx(1.0, abs=0.01)
    assert found.verdict is not Verdict.DEGRADED


def test_what_could_hide_is_the_harmful_end_of_the_interval() -> None:
    fleet = a_fleet().lasting(6)
    for settings in (LOWER, HIGHER, EITHER):
        found = fleet.judged_on_throughput(settings)
        assert found.verdict is Verdict.UNDECIDED
        assert found.effect is not None and found.effect.high is not None
        ends = {Worse.LOWER: [1 / found.effect.low], Worse.HIGHER: [found.effect.high]}
        expected = max(ends.get(settings.worse, [1 / found.effect.low, found.effect.high]))
        assert found.could_hide == pytest.approx(expected)
        assert found.to_dict()["couldHide"] == pytest.approx(expected, rel=1e-3)


def test_the_interval_is_the_bound_of_the_normal_mixture_widened_by_what_pods_keep() -> None:
    """Against a root of the mixture likelihood ratio, by scipy, and the pods' part by hand."""
    tally = as_tally(("new", "o1", "o2"), np.ones((3, 9)), np.tile([[80.0], [100.0], [110.0]], 9), 1)
    noise = Noise(Variation((math.inf, 1.0), (0.02, 0.0)), 0.01)
    seen = look_at_rates(tally, Margin(), noise, Worse.EITHER)
    low, high = seen.low, seen.high
    s2 = 1.0 / 720 + 1.0 / 1890

    def ratio(z: float) -> float:
        d = z * math.sqrt(s2)
        return float(
            stats.norm.logpdf(d, 0, math.sqrt(s2 + 1.0)) - stats.norm.logpdf(d, 0, math.sqrt(s2)) - math.log(20)
        )

    chance = optimize.brentq(ratio, 0.5, 20.0) * math.sqrt(s2)
    pods = 1.645 * math.sqrt(math.log1p(0.02) * (1.0 + 0.5))
    half = math.hypot(chance, pods)
    middle = math.log(720 / 945)
    assert (math.log(low), math.log(high)) == pytest.approx((middle - half, middle + half), abs=2e-3)


def test_the_interval_holds_the_true_ratio_at_all_looks() -> None:
    rng, missed, releases = np.random.default_rng(11), 0, 150
    noise = Noise(Variation((math.inf,), (0.01,)), 0.001)
    for _ in range(releases):
        own = np.exp(0.1 * rng.normal(size=(10, 1)))
        mean = 40.0 * own * np.where(np.arange(10) < 2, 0.8, 1.0)[:, None] * np.exp(0.3 * rng.normal(size=LOOKS))
        tally = as_tally(tuple(map(str, range(10))), np.ones((10, LOOKS)), rng.poisson(mean).astype(float), 2)
        batch = Releases(tally.contender, tally.exposure[None], tally.events[None], tally.window)
        looks = np.arange(1, LOOKS + 1)
        low, likely, high, pods = normal_intervals(Sums.of(batch), looks, Noises.of([noise], LOOKS))
        low, high = likely - np.hypot(likely - low, pods), likely + np.hypot(high - likely, pods)
        missed += bool(((low > math.log(0.8)) | (high < math.log(0.8))).any())
    # 5 % by chance and as much on either side for a pod's own level.
    assert clopper_pearson(missed, releases)[0] <= 0.10


def test_silence_and_holes_hold() -> None:
    fleet = a_fleet().of(contender=3, incumbent=7).lasting(60)
    stale = fleet
    for pod in fleet.ours:
        stale = stale.but("events", pod, until(40))
    assert stale.judged_on_throughput().no_data is NoData.STALE
    silent = fleet.but("events", "new-1", gone).judged_on_throughput()
    assert silent.verdict is Verdict.UNDECIDED
    assert silent.freshness.silent == ("new-1",)
    assert (
        fleet.but("events", "new-1", gone)
        .grouped(Groups(fleet.ours, fleet.theirs, reporting=("new-0", "new-2")))
        .judged_on_throughput()
        .verdict
        is Verdict.HEALTHY
    )


def test_pods_of_the_last_batch_are_not_covered_by_a_good_past() -> None:
    clean = 120
    done = [1000.0 + 300.0 * k for k in range(clean + 1)]
    done += [done[-1] + 190.0 * k for k in range(1, 5)]
    fleet = a_fleet().of(contender=3, incumbent=7).lasting(clean + 4)
    spans = ((instant(0), instant(clean)), (instant(clean), instant(clean + 4)))
    assert fleet.settled_in(*spans).judged_on_throughput().verdict is Verdict.HEALTHY
    for pod in fleet.ours:
        fleet = fleet.but("events", pod, valued(*done))
    found = fleet.settled_in(*spans).judged_on_throughput()
    assert found.could_hide is not None and found.could_hide < 1.5
    assert found.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(("settings", "times"), [(LOWER, 0.02), (HIGHER, 12.0), (EITHER, 0.02)])
def test_one_bad_pod_is_named(settings: Settings, times: float) -> None:
    fleet = a_fleet().of(contender=4, incumbent=6).lasting(40)
    one = replace(fleet, only="new-2").judged_on_throughput(settings, contender=times)
    assert one.verdict is Verdict.DEGRADED
    assert one.blame == "new-2"
    every = fleet.judged_on_throughput(settings, contender=times)
    assert every.verdict is Verdict.DEGRADED
    assert every.blame is None


def test_two_directions_cost_half_of_alpha_each() -> None:
    """The evidence for either is the mean of both, so a change in one direction needs ln 2 more."""
    tally = as_tally(tuple("abcd"), np.ones((4, 20)), np.tile([[150.0], [300.0], [310.0], [290.0]], 20), 1)
    down, up, both = (
        look(tally, LOWER.margin, ASSUMED_NOISE, worse) for worse in (Worse.LOWER, Worse.HIGHER, Worse.EITHER)
    )
    assert math.exp(both.ln_pods) == pytest.approx((math.exp(down.ln_pods) + math.exp(up.ln_pods)) / 2)
    assert math.exp(both.ln_counts) == pytest.approx((math.exp(down.ln_counts) + math.exp(up.ln_counts)) / 2)


# --- error rates ----------------------------------------------------------------------------------------------------


def releases(
    rng: np.random.Generator, count: int, *, times: float = 1.0, mean: float = 30.0, sd: float = 0.1, cv2: float = 0.02
) -> FloatArray:
    """Events per window of ten pods, the first on trial; pods differ for good, windows by chance, shocks are shared."""
    own = np.exp(sd * rng.normal(size=(count, 10, 1)))
    passing = rng.gamma(1 / cv2, cv2, (count, 10, LOOKS))
    shock = np.exp(0.3 * rng.normal(size=(count, 1, LOOKS)))
    worse = np.where(np.arange(10) < 1, times, 1.0)[None, :, None]
    return rng.poisson(mean * own * passing * shock * worse).astype(np.float64)


def verdicts(events: FloatArray, settings: Settings, learned: LearnedCounts | None) -> Iterator[bool]:
    """Whether each release is rolled back at any look."""
    batch = Releases(np.arange(10) < 1, np.ones_like(events), events, WINDOW)
    noise = ASSUMED_NOISE if learned is None else learned.noise
    seen = traces(batch, settings.margin, noise, settings.worse)
    if learned is None:
        change = np.logaddexp(seen.ln_pods, seen.ln_counts) - math.log(2)
        margin = np.logaddexp(seen.ln_pods_margin, seen.ln_counts) - math.log(2)
        over = (change > math.log(1 / settings.alpha)) & (margin > math.log(10))
    else:
        at = learned.calibration
        over = (at.joined(seen.ln_pods, seen.ln_counts) > at.change) & (seen.ln_margin > at.margin)
    for one in over:
        yield bool(one.any())


@pytest.mark.parametrize("settings", [LOWER, HIGHER, EITHER], ids=lambda s: s.worse.value)
def test_healthy_releases_are_kept_under_peeking_where_noise_is_assumed(settings: Settings) -> None:
    events = releases(np.random.default_rng(12), 600)
    assert clopper_pearson(sum(verdicts(events, settings, None)), 600)[0] <= 0.01


@cache
def taught(worse: Worse) -> LearnedCounts:
    """A gate that has learned from sixty segments of such a fleet."""
    rng = np.random.default_rng([13, len(worse.value)])
    history = [
        replace(
            as_tally(tuple(f"d{k}-{i}" for i in range(10)), np.ones((10, LOOKS)), events, 0),
            ends=np.float64(86400.0 * k) + WINDOW * np.arange(1.0, LOOKS + 1),
        )
        for k, events in enumerate(releases(rng, 60))
    ]
    plan = ReplayPlan(lambda _: (1,), LOOKS, LOOKS)
    settings = throughput_settings(worse=worse)
    found = learn(
        {"rate": CountHistory(tuple(history))}, {"rate": settings}, plan, alpha=0.01, pause_alpha=0.05, seed=1
    )["rate"]
    assert isinstance(found, LearnedCounts), found
    return found


@pytest.mark.parametrize("worse", [Worse.LOWER, Worse.EITHER], ids=lambda w: w.value)
def test_with_learned_noise_healthy_releases_are_kept_and_harm_is_found(worse: Worse) -> None:
    learned, settings, rng = taught(worse), throughput_settings(worse=worse), np.random.default_rng(14)
    assert learned.standing.guarantee is Guarantee.CALIBRATED
    kept = sum(verdicts(releases(rng, 1500), settings, learned))
    assert clopper_pearson(kept, 1500)[0] <= 0.01
    margin = sum(verdicts(releases(rng, 400, times=1 / 1.1), settings, learned))
    assert clopper_pearson(margin, 400)[0] <= 0.10
    assert sum(verdicts(releases(rng, 100, times=0.5), settings, learned)) >= 95


def test_a_learned_gate_decides_by_its_own_thresholds() -> None:
    learned = taught(Worse.LOWER)
    rng = np.random.default_rng(15)
    for times in (1.0, 0.75, 0.5):
        tally = as_tally(tuple(f"p{i}" for i in range(10)), np.ones((10, LOOKS)), releases(rng, 1, times=times)[0], 1)
        found = judged(tally, learned)
        seen = look(tally, LOWER.margin, learned.noise, Worse.LOWER)
        change = float(learned.calibration.joined(np.array(seen.ln_pods), np.array(seen.ln_counts)))
        assert (found.log_evidence, found.margin_evidence) == pytest.approx((change, seen.ln_margin))
        assert (found.threshold, found.margin_threshold) == (learned.calibration.change, learned.calibration.margin)
        over = change > learned.calibration.change and seen.ln_margin > learned.calibration.margin
        assert (found.verdict is Verdict.DEGRADED) == over
        assert found.leaning == (change > learned.calibration.pause)
        assert found.standing == learned.standing
    assert found.verdict is Verdict.DEGRADED


def test_young_pods_that_do_less_are_allowed_for() -> None:
    """A pod at a third of its work in its first minutes, which history knows about."""
    learned = replace(taught(Worse.LOWER), age=AgeCurve(-0.7, 300.0))
    ends: FloatArray = WINDOW * np.arange(1.0, LOOKS + 1)
    youth = AgeCurve(-0.7, 300.0).of(ends - WINDOW / 2)
    events = np.full((10, LOOKS), 30.0)
    events[0] *= youth
    tally = as_tally(tuple(f"p{i}" for i in range(10)), np.ones((10, LOOKS)), np.round(events), 1)
    born = Groups(("p0",), tuple(f"p{i}" for i in range(1, 10)), born={"p0": 0.0})
    known = throughput.judge(tally, LOWER, Frame(born, ((0.0, LOOKS * WINDOW),), WINDOW), learned)
    assert known.verdict is Verdict.HEALTHY
    assert "young pods" in known.because
    assert judged(tally.keep_windows(ends <= 300.0), taught(Worse.LOWER)).verdict is Verdict.DEGRADED


def judged(tally: Tally, learned: LearnedCounts) -> Evidence:
    groups = Groups(tally.pods[:1], tally.pods[1:])
    return throughput.judge(tally, LOWER, Frame(groups, ((0.0, LOOKS * WINDOW),), WINDOW), learned)


def few_events(rate: float, contenders: int, factor: float = 1.0, count: int = 1500) -> Releases:
    """Healthy pods with the assumed noise and about `rate` events per pod and window; contenders times `factor`."""
    rng = np.random.default_rng(3)
    log_rate = np.zeros((count, 10, LOOKS))
    for time, variance in zip(ASSUMED_NOISE.variation.times, ASSUMED_NOISE.variation.variances, strict=True):
        memory = math.exp(-1.0 / time)
        part = rng.normal(0.0, math.sqrt(variance), (count, 10))
        for look_at in range(LOOKS):
            log_rate[:, :, look_at] += part
            fresh = rng.normal(0.0, math.sqrt(variance * (1.0 - memory**2)), (count, 10))
            part = memory * part + fresh
    contender = np.arange(10) < contenders
    expected = rate * np.exp(log_rate) * np.where(contender, factor, 1.0)[:, None]
    return Releases(contender, np.ones(expected.shape), rng.poisson(expected).astype(np.float64), WINDOW)


def alarms(batch: Releases, worse: Worse) -> float:
    """Share of releases that break both promises at some look."""
    found = traces(batch, LOWER.margin, ASSUMED_NOISE, worse)
    change = np.logaddexp(found.ln_pods, found.ln_counts) - math.log(2.0)
    return float(((change > math.log(100.0)) & (found.ln_margin > math.log(10.0))).any(axis=1).mean())


@pytest.mark.parametrize(("rate", "contenders"), [(0.3, 1), (1.0, 1), (1.0, 3)])
def test_few_events_make_no_false_decrease(rate: float, contenders: int) -> None:
    """Fewer events than expected mean more chance in their logarithm; unallowed for, 1 to 2 % of these were alarms."""
    healthy = few_events(rate, contenders)
    assert alarms(healthy, Worse.LOWER) <= 0.006
    assert alarms(healthy, Worse.EITHER) <= 0.01
    if rate >= 1.0:
        assert alarms(few_events(rate, contenders, 0.1), Worse.LOWER) > 0.9


def test_only_evidence_of_a_decrease_allows_for_more_chance() -> None:
    batch = few_events(1.0, 3, count=200)
    sums, noises = Sums.of(batch), Noises.of([ASSUMED_NOISE], LOOKS)
    ends = np.arange(1, LOOKS + 1)
    (d, se), (lower, wider) = (contrast(sums, 0 * ends, ends, noises, decreases=on) for on in (False, True))
    first_pass_up = (d > 0.5) & (lower > 0.5)
    assert first_pass_up.any() and (d[first_pass_up] == lower[first_pass_up]).all()
    assert (se[first_pass_up] == wider[first_pass_up]).all()
    down = d < -0.5
    assert down.any() and (wider[down] > se[down]).all()
