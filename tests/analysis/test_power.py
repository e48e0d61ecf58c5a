"""Power before a release: closed forms against worked examples and simulation, injection against real releases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from analysis.band import LearnedBand
from analysis.band_pods import PodSpread
from analysis.band_power import reaches_alone
from analysis.band_terms import Series, Unit
from analysis.injection import (
    FEWER_EVENTS,
    HIGHER,
    LOWER,
    MORE_EVENTS,
    SLOWER,
    Harm,
    How,
    made_worse,
    more_events,
    slow_tail,
    turned_histogram,
    turned_levels,
    turned_tally,
)
from analysis.learned import Noise, Variation
from analysis.learning import CountHistory, LatencyHistory, LevelHistory, ReplayPlan, Study, study
from analysis.learning.band import learn_band
from analysis.learning.replay import Replay
from analysis.levels import Levels, gauge_settings
from analysis.power import Reach, Trial, any_stopped, harms_of, reach, trace
from analysis.question import error_settings, latency_settings
from analysis.reach import Course, Missing, level_floor, level_power, missing, pod_ceiling, requests_needed
from analysis.samples import Histogram, Tally
from analysis.verdict import Freshness

WINDOW = 30.0
STEADY = Noise(Variation((math.inf,), (0.15**2,)), 0.0)
RESTLESS = Noise(Variation((math.inf, 20.0), (1e-4, 0.3)), 0.0)


# ------------------------------------------------------------------------------------------------ closed forms


def test_the_worked_example_of_requests_needed() -> None:
    """p = .5 %, 10 % canary, x2, c = 4.6: about 8,100 contender requests."""
    assert requests_needed(0.005, 1 / 9, 2.0, threshold=4.6) == pytest.approx(8100, rel=0.01)


def test_requests_needed_is_the_information_that_events_carry() -> None:
    """Simulated: after n contender requests the mean log likelihood ratio is the threshold plus two nats."""
    rng = np.random.default_rng(7)
    rate, odds, effect, margin, threshold = 0.01, 0.25, 2.0, 1.25, 4.6
    n = requests_needed(rate, odds, effect, margin=margin, threshold=threshold)
    ours, theirs = rng.poisson(n * rate * effect, 40_000), rng.poisson(n / odds * rate, 40_000)
    q, q0 = (odds * e / (1 + odds * e) for e in (effect, margin))
    gain = ours * math.log(q / q0) + theirs * math.log((1 - q) / (1 - q0))
    assert gain.mean() == pytest.approx(threshold + 2.0, rel=0.02)


def test_a_change_inside_the_margin_needs_endless_traffic() -> None:
    assert requests_needed(0.005, 1 / 9, 1.25) == math.inf


def test_the_worked_example_of_the_pod_ceiling() -> None:
    """Pods that differ by .15, 1 of 10 on trial: x1.8 whatever the traffic."""
    assert pod_ceiling(0.15, 1, 9) == pytest.approx(1.77, abs=0.01)


def test_at_the_pod_ceiling_a_perfect_test_catches_nine_in_ten() -> None:
    rng = np.random.default_rng(8)
    sd, k, others = 0.2, 2, 8
    effect = math.log(pod_ceiling(sd, k, others))
    healthy = rng.normal(0, sd, (200_000, k)).mean(axis=1) - rng.normal(0, sd, (200_000, others)).mean(axis=1)
    bound = np.quantile(healthy, 0.99)
    assert (healthy + effect > bound).mean() == pytest.approx(0.90, abs=0.005)


def test_level_power_is_that_of_a_normal_test() -> None:
    sd, k, known = 0.24, 1, 60
    spread = sd * math.sqrt(1 / k + 1 / known)
    wanted = integrate.quad(lambda x: stats.norm.pdf(x, math.log(2.0), spread), 2.326348 * spread, 10)[0]
    assert level_power(2.0, sd, k, known) == pytest.approx(wanted, abs=1e-4)
    assert level_power(0.5, sd, k, known) == pytest.approx(level_power(2.0, sd, k, known))
    assert level_power(2.0, sd, 0, known) == level_power(2.0, sd, k, 0) == 0.0


def test_level_power_is_what_the_best_test_of_normal_levels_catches() -> None:
    rng = np.random.default_rng(6)
    sd, k, known, ratio = 0.25, 3, 20, 1.6
    d = sd * (rng.normal(size=(40_000, k)).mean(axis=1) - rng.normal(size=(40_000, known)).mean(axis=1))
    caught = float((d + math.log(ratio) > 2.3263 * sd * math.sqrt(1 / k + 1 / known)).mean())
    assert level_power(ratio, sd, k, known) == pytest.approx(caught, abs=0.01)


def test_one_pod_needs_99_others_for_one_percent_by_ranks() -> None:
    assert level_floor(1, 99) == pytest.approx(0.01)
    assert level_floor(5, 5) == pytest.approx(1 / 252)


@pytest.mark.parametrize(
    ("effect", "noise", "course", "lacks"),
    [
        (1.5, STEADY, Course(1, 9, 60, WINDOW, 1e6), Missing.PODS),
        (2.0, STEADY, Course(1, 9, 60, WINDOW, 1e6), Missing.NOTHING),
        (2.0, STEADY, Course(1, 9, 60, WINDOW, 10.0), Missing.TRAFFIC),
        (1.5, RESTLESS, Course(3, 7, 20, WINDOW, 1e6), Missing.TIME),
        (1.0, STEADY, Course(1, 9, 60, WINDOW, 10.0), Missing.NOTHING),
    ],
)
def test_what_is_missing_is_named(effect: float, noise: Noise, course: Course, lacks: Missing) -> None:
    found = missing(effect, 0.005, noise, course)
    assert found.missing is lacks
    assert found.detail.startswith({Missing.PODS: "more pods, not more time", Missing.TIME: "more time"}.get(lacks, ""))


def test_whoever_gets_what_was_missing_misses_it_no_more() -> None:
    """The number of pods, minutes or requests that the sentence names is enough of that one."""
    pods = missing(1.5, 0.005, STEADY, Course(1, 9, 60, WINDOW, 1e6))
    total, ours = _last_two(pods.detail)
    assert missing(1.5, 0.005, STEADY, Course(ours, total - ours, 60, WINDOW, 1e6)).missing is not Missing.PODS
    course = Course(3, 7, 20, WINDOW, 1e6)
    minutes = _number_before(missing(1.5, 0.005, RESTLESS, course).detail, "min,")
    longer = replace(course, windows=1.1 * minutes * 60 / WINDOW)
    assert missing(1.5, 0.005, RESTLESS, longer).missing is Missing.NOTHING
    thin = Course(1, 9, 60, WINDOW, 10.0)
    needed = _number_before(missing(2.0, 0.005, STEADY, thin).detail, "contender")
    richer = replace(thin, requests=1.01 * needed / 60)
    assert missing(2.0, 0.005, STEADY, richer).missing is Missing.NOTHING


def _last_two(text: str) -> tuple[int, int]:
    numbers = [int(word.strip(",")) for word in text.split() if word.strip(",").isdigit()]
    return numbers[-2], numbers[-1]


def _number_before(text: str, word: str) -> float:
    words = text.split()
    return float(words[words.index(word) - 1].replace(",", ""))


# -------------------------------------------------------------------------------------------------- injection


def a_tally(pods: int = 10, windows: int = 200, *, rate: float = 0.01, requests: float = 400.0, sd: float = 0.0,
            seed: int = 1, begin: float = 0.0) -> Tally:  # fmt: skip
    """A healthy fleet whose pods differ for good by a log standard deviation."""
    rng = np.random.default_rng(seed)
    exposure = rng.poisson(requests, (pods, windows)).astype(np.float64)
    own = rate * np.exp(rng.normal(0.0, sd, (pods, 1)) - sd**2 / 2)
    events = rng.binomial(exposure.astype(np.int64), np.broadcast_to(own, exposure.shape)).astype(np.float64)
    return Tally(
        tuple(f"pod-{seed}-{i}" for i in range(pods)),
        np.zeros(pods, dtype=np.bool_),
        exposure,
        events,
        np.ones((pods, windows), dtype=np.bool_),
        begin + WINDOW * np.arange(1, windows + 1, dtype=np.float64),
        WINDOW,
        Freshness(),
    )


BOUNDS = np.array([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])


def a_histogram(windows: int = 200, *, median: float = 0.08, scale: float = 1.0, seed: int = 1,
                begin: float = 0.0) -> Histogram:  # fmt: skip
    """Log-normal latencies with the usual buckets."""
    rng = np.random.default_rng(seed)
    tally = a_tally(windows=windows, seed=seed, begin=begin)
    shares = np.diff(stats.norm.cdf(np.log(BOUNDS / (median * scale)) / 0.8), prepend=0.0, append=1.0)
    counts = rng.multinomial(tally.exposure.astype(np.int64), shares)
    below = np.cumsum(counts, axis=-1)[..., :-1]
    slower = np.moveaxis(tally.exposure[..., None] - below, -1, 0)
    return Histogram(BOUNDS, slower, replace(tally, events=np.zeros_like(tally.events)))


@pytest.mark.parametrize("factor", [1.25, 2.0, 5.0, 0.5])
def test_the_rate_of_a_worse_version_is_the_factor_times_the_usual(factor: float) -> None:
    usual = a_tally(sd=0.2)
    worse = more_events(usual, factor, np.random.default_rng(3))
    assert worse.events.sum() / usual.events.sum() == pytest.approx(factor, rel=0.02)
    assert (worse.events <= worse.exposure).all()


def test_extra_errors_have_luck_of_their_own() -> None:
    """Multiplied counts would have a variance of f² p n; added ones have f p n."""
    usual = a_tally(pods=40, windows=400)
    worse = more_events(usual, 3.0, np.random.default_rng(4))
    rates = worse.events.sum(axis=1) / worse.exposure.sum(axis=1)
    chance = rates.mean() / worse.exposure.sum(axis=1).mean()
    assert rates.var(ddof=1) / chance == pytest.approx(1.0, abs=0.6)


def test_pods_that_fail_more_keep_failing_more() -> None:
    usual = a_tally(pods=60, windows=400, sd=0.3)
    worse = more_events(usual, 3.0, np.random.default_rng(5))

    def spread(tally: Tally) -> float:
        return float(np.log(tally.events.sum(axis=1) / tally.exposure.sum(axis=1)).std())

    assert spread(worse) == pytest.approx(spread(usual), rel=0.1)


def test_slower_requests_land_where_a_slower_service_would_have_put_them() -> None:
    usual, truth = a_histogram(400), a_histogram(400, scale=1.3, seed=2)
    worse = made_worse(LatencyHistory((usual,)), Harm(How.SCALE, 1.3, "x1.3"), np.random.default_rng(6))
    assert isinstance(worse, LatencyHistory)
    moved, wanted = (one.slower.sum(axis=(1, 2)) / one.tally.exposure.sum() for one in (worse.segments[0], truth))
    inside = (wanted > 0.005) & (wanted < 0.99)
    # Buckets are wide; what is interpolated inside them is near, not exact.
    assert np.log(moved[inside] / wanted[inside]) == pytest.approx(0.0, abs=0.15)
    assert (np.diff(worse.segments[0].slower, axis=0) <= 0).all()


def test_a_slow_tail_touches_its_share_and_no_more() -> None:
    usual = a_histogram(400)
    worse = slow_tail(usual, 0.02, np.random.default_rng(7))
    total = usual.tally.exposure.sum()
    more = (worse.slower - usual.slower).sum(axis=(1, 2)) / total
    assert more.max() == pytest.approx(0.02, rel=0.15)
    assert (more >= -1e-9).all()
    assert more[BOUNDS == 0.01] < 0.001


def a_replay(*, pods: int = 4, at_most: int = 20) -> Replay:
    order = tuple(f"pod-1-{i}" for i in (3, 5, 7, 8)[:pods])
    return Replay(0, order, 10 * WINDOW, WINDOW, (1, 2), (at_most, 2 * at_most))


def test_only_contenders_are_worse_and_only_once_they_are() -> None:
    usual = a_tally()
    worse = replace(usual, events=usual.events + 1000.0)
    found = turned_tally(usual, worse, a_replay(), 0)
    bad = found.events >= 1000.0
    assert found.ends[0] == usual.ends[10]
    assert found.ends.size == 40
    assert bad[3].all()
    assert bad[5, 20:].all()
    assert not bad[5, :20].any()
    assert not bad[[0, 1, 2, 4, 6, 7, 8, 9]].any()
    late = turned_tally(usual, worse, a_replay(), 30).events >= 1000.0
    assert late[[3, 5], 30:].all()
    assert not late[:, :30].any()


def test_the_same_holds_for_buckets_and_readings() -> None:
    usual = a_histogram()
    buckets = turned_histogram(usual, replace(usual, slower=usual.slower + 1e6), a_replay(), 0)
    assert np.flatnonzero((buckets.slower >= 1e6).any(axis=(0, 2))).tolist() == [3, 5]
    ends = WINDOW * np.arange(1, 201, dtype=np.float64)
    values = np.ones((10, 200))
    levels = Levels(usual.tally.pods, usual.tally.contender, values, np.full_like(values, np.inf), ends, WINDOW)
    raised = turned_levels(levels, replace(levels, values=values * 2), a_replay(), 0)
    assert (raised.values[3, 10:50] == 2.0).all()
    assert (raised.values[:, 50:] == 1.0).all()
    assert (raised.values[3, :10] == 1.0).all()
    assert (raised.values[0] == 1.0).all()


def test_a_harm_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not a harm of CountHistory"):
        made_worse(CountHistory((a_tally(),)), SLOWER[0], np.random.default_rng(1))


# -------------------------------------------------------------------------------------------------------- power


PLAN = ReplayPlan(lambda pods: (1, 3, 5), 4, 20)


def learned_errors(segments: int = 30, **how: float) -> Study:
    tallies = tuple(
        a_tally(windows=80, seed=100 + k, begin=86_400.0 * k, **how)  # type: ignore[arg-type]
        for k in range(segments)
    )
    return study(
        {"errors": CountHistory(tallies)}, {"errors": error_settings()}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1
    )


def reaches(told: Study, gate: str, harms: Sequence[Harm], *, seed: int) -> list[Reach]:
    return [reach(Trial.inside(told.taught[gate]), harm, PLAN, seed=seed) for harm in harms]


def test_a_larger_harm_is_caught_more_often_and_sooner() -> None:
    found = reaches(learned_errors(sd=0.1), "errors", MORE_EVENTS, seed=2)
    shares = [one.within().value for one in found]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    medians = [at for one in found if one.within().value > 0.5 and (at := one.minutes_at(0.5)) is not None]
    assert len(medians) == sum(one.within().value > 0.5 for one in found)
    assert medians == sorted(medians, reverse=True)
    assert all(one.within(5.0).value <= one.within(20.0).value for one in found)
    assert all(one.within().low <= one.within().value <= one.within().high for one in found)


def test_a_contender_that_differs_in_nothing_is_rarely_stopped() -> None:
    told = learned_errors(sd=0.1)
    healthy = reach(Trial.inside(told.taught["errors"]), None, PLAN, seed=3)
    assert healthy.within().value <= 0.02
    assert healthy.minutes_at(0.9) is None


def test_a_harm_that_begins_late_is_caught_late() -> None:
    told = learned_errors(sd=0.1)
    late = reach(Trial.inside(told.taught["errors"]), Harm(How.RATE, 10.0, "x10"), PLAN, seed=4, onset=6.0)
    assert late.within(6.0).value <= 0.02
    assert late.within().value > 0.5


def test_what_power_says_is_what_happens_to_releases() -> None:
    """The same thresholds on releases whose contender pods are new ones, simulated and not cut out of history."""
    told = learned_errors(40, sd=0.15, requests=120.0)
    taught = told.taught["errors"]
    harm = Harm(How.RATE, 3.0, "x3")
    said = reach(Trial.inside(taught), harm, PLAN, seed=5).within().value
    rng = np.random.default_rng(6)
    fresh = tuple(a_tally(windows=80, seed=1000 + k, begin=86_400.0 * k, sd=0.15, requests=120.0) for k in range(40))
    worse = []
    for tally in fresh:
        own = 0.01 * np.exp(rng.normal(0.0, 0.15, (10, 1)) - 0.15**2 / 2)
        counts = rng.binomial(tally.exposure.astype(np.int64), np.broadcast_to(3.0 * own, tally.exposure.shape))
        worse.append(replace(tally, events=counts.astype(np.float64)))
    replays = [
        Replay(k, tuple(tally.pods), float(tally.ends[0]) - WINDOW, WINDOW, (1, 3, 5), (20, 40, 60))
        for k, tally in enumerate(fresh)
    ]
    paths = taught.kind.paths(taught.model, CountHistory(fresh), replays, 60, rng, CountHistory(tuple(worse)))
    joined = taught.calibration.joined(paths.first, paths.second)
    stopped = ((joined > taught.calibration.change) & (paths.margin > taught.calibration.margin)).any(axis=1)
    assert said == pytest.approx(stopped.mean(), abs=0.15)


def test_a_latency_gate_has_its_own_harms() -> None:
    histograms = tuple(a_histogram(80, seed=200 + k, begin=86_400.0 * k) for k in range(12))
    history, settings = LatencyHistory(histograms), latency_settings()
    told = study({"latency": history}, {"latency": settings}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)
    assert harms_of(history, settings) is SLOWER
    found = {one.harm.label: one.within().value for one in reaches(told, "latency", SLOWER, seed=2) if one.harm}
    assert found["x2"] == 1.0
    assert found["2 % slow tail"] > 0.9
    assert found["x1.15"] <= found["x1.3"] <= found["x2"]


def test_a_gauge_is_caught_by_its_level() -> None:
    rng = np.random.default_rng(11)
    names = tuple(f"pod-{i}" for i in range(24))
    own = np.exp(rng.normal(0.0, 0.1, (24, 1)))
    segments = []
    for k in range(12):
        values = 100.0 * own * np.exp(rng.normal(0.0, 0.02, (24, 80)))
        ends = 86_400.0 * k + WINDOW * np.arange(1, 81, dtype=np.float64)
        segments.append(Levels(names, np.zeros(24, dtype=np.bool_), values, np.full_like(values, np.inf), ends, WINDOW))
    history, settings = LevelHistory(tuple(segments)), gauge_settings()
    told = study({"memory": history}, {"memory": settings}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)
    assert "memory" in told.taught, told.learned
    assert harms_of(history, settings) is HIGHER
    found = reaches(told, "memory", [HIGHER[0], HIGHER[-1]], seed=2)
    assert found[1].within().value == 1.0
    assert found[0].within().value <= found[1].within().value


def test_directions_follow_what_the_gate_calls_worse() -> None:
    from analysis.engine import Worse

    lower = replace(error_settings(), worse=Worse.LOWER)
    assert harms_of(CountHistory(()), lower) is FEWER_EVENTS
    assert harms_of(LevelHistory(()), gauge_settings(worse=Worse.LOWER)) is LOWER


def test_a_trace_ends_with_its_replay_and_says_when_stages_begin() -> None:
    told = learned_errors(12, sd=0.1)
    for one in trace(Trial.inside(told.taught["errors"]), None, PLAN, seed=7)[:20]:
        assert one.minutes.size == one.joined.size == one.margin.size
        assert [pods for _, pods in one.stages] == [1, 3, 5]
        assert one.stages[0][0] == 0.0
        assert one.stages[-1][0] < one.minutes[-1] <= 30.0


def levels_of(names: tuple[str, ...], own: np.ndarray, day: int, rng: np.random.Generator) -> Levels:
    values = 100.0 * own * np.exp(rng.normal(0.0, 0.02, (len(names), 80)))
    ends = 86_400.0 * day + WINDOW * np.arange(1, 81, dtype=np.float64)
    return Levels(names, np.zeros(len(names), dtype=np.bool_), values, np.full_like(values, np.inf), ends, WINDOW)


def test_thresholds_of_earlier_days_are_tried_on_later_ones() -> None:
    def days(first: int, last: int) -> Study:
        tallies = tuple(a_tally(windows=80, seed=100 + k, begin=86_400.0 * k, sd=0.1) for k in range(first, last))
        history = CountHistory(tallies)
        return study({"errors": history}, {"errors": error_settings()}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)

    trial = Trial.later(days(0, 20).taught["errors"], days(20, 28).taught["errors"])
    assert reach(trial, None, PLAN, seed=2).within().value <= 0.1
    assert reach(trial, Harm(How.RATE, 5.0, "x5"), PLAN, seed=2).within().value == 1.0
    assert np.unique(reach(trial, None, PLAN, seed=2).segments).size == 8


def test_a_gauge_of_later_days_is_held_against_the_pods_of_earlier_ones() -> None:
    rng = np.random.default_rng(12)
    names = tuple(f"pod-{i}" for i in range(24))
    own = np.exp(rng.normal(0.0, 0.1, (24, 1)))

    def days(first: int, last: int) -> Study:
        history = LevelHistory(tuple(levels_of(names, own, day, rng) for day in range(first, last)))
        return study({"m": history}, {"m": gauge_settings()}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)

    trial = Trial.later(days(0, 10).taught["m"], days(10, 17).taught["m"])
    assert reach(trial, None, PLAN, seed=2).within().value <= 0.1
    assert reach(trial, HIGHER[-1], PLAN, seed=2).within().value == 1.0


def test_a_release_is_stopped_once_however_many_gates_stop_it() -> None:
    draws = np.arange(4.0)
    one = Reach(None, np.array([1.0, np.inf, np.inf, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]), draws, 30.0)
    other = Reach(None, np.array([5.0, 3.0, np.inf, np.inf]), np.array([0.0, 0.0, 1.0, 1.0]), draws, 30.0)
    found = any_stopped([one, other])
    assert found.value == 0.75
    assert found.low < 0.75 < found.high
    assert any_stopped([one]).value == 0.5


# ------------------------------------------------------------------------------------------- history by itself


def a_course(days: int = 14, *, noise: float = 0.05, seed: int = 3) -> Series:
    """A number every five minutes with a daily course and noise of a log standard deviation."""
    rng = np.random.default_rng(seed)
    ticks = np.arange(days * 288)
    daily = 0.4 * np.sin(2.0 * np.pi * ticks / 288.0)
    return Series(86_400.0 * 19_000, 50.0 * np.exp(daily + rng.normal(0.0, noise, ticks.size)))


def test_history_alone_sees_a_doubled_level_and_no_healthy_hour() -> None:
    series, settings = a_course(), gauge_settings()
    band = learn_band(series, Unit.LEVEL)
    assert isinstance(band, LearnedBand)
    healthy, *worse = reaches_alone(band, series, settings, alpha=0.008, pods=10)
    assert healthy.harm is None
    assert healthy.within().value <= 0.03
    shares = [one.within().value for one in worse]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert worse[-1].minutes_at(0.5) == 5.0
    # New pods that lie far apart hide what is smaller than their luck.
    scattered = reaches_alone(replace(band, pods=PodSpread(0.5, 20.0)), series, settings, alpha=0.008, pods=10)
    assert scattered[0].within().value <= 0.03
    assert [one.within().value for one in scattered[1:4]] < shares[:3]
    assert scattered[-1].within().value > 0.7


def test_hours_that_were_no_ordinary_time_are_not_asked() -> None:
    series, settings = a_course(), gauge_settings()
    band = learn_band(series, Unit.LEVEL)
    assert isinstance(band, LearnedBand)
    everything = [(series.start, series.end)]
    assert reaches_alone(band, series, settings, alpha=0.008, pods=10, left_out=everything) == []
    half = [(series.start, series.start + 0.5 * (series.end - series.start))]
    some, all_of_it = (
        reaches_alone(band, series, settings, alpha=0.008, pods=10, left_out=spans)[0].caught.size
        for spans in (half, [])
    )
    assert 0 < some < all_of_it


def test_less_is_worse_where_the_gate_says_so() -> None:
    from analysis.engine import Worse

    series, settings = a_course(), gauge_settings(worse=Worse.LOWER)
    band = learn_band(series, Unit.LEVEL)
    assert isinstance(band, LearnedBand)
    found = reaches_alone(band, series, settings, alpha=0.008, pods=10)
    assert [one.harm.size < 1.0 for one in found if one.harm is not None] == [True] * 5
    assert found[-1].within().value == 1.0
