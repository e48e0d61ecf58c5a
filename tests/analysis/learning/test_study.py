"""Learning as a whole: named states for every odd history, joint thresholds, and the same answer twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats

from analysis.assumptions import FEW_PODS_VILLE, VARIATION_FLOOR
from analysis.comparisons import error_settings, latency_settings, throughput_settings
from analysis.engine import Worse
from analysis.learned import (
    AgeCurve,
    Calibration,
    Guarantee,
    Learned,
    LearnedCounts,
    LearnedLatency,
    NotLearned,
)
from analysis.learning import CountHistory, History, LatencyHistory, Study, cut, cut_histogram, learn, study
from analysis.learning.calibrate import Sample, calibrate, realised, rolled_back, weights
from analysis.learning.counts import at_margin
from analysis.learning.kinds import Family, Paths
from analysis.learning.latency import part_above, slowed
from analysis.learning.plan import ReplayPlan
from analysis.learning.tails import tail, tail_scale
from analysis.learning.variation import fit_variation
from analysis.question import Settings
from analysis.samples import Tally
from tests.analysis.learning.histories import (
    PLAN,
    count_history,
    counts,
    idle,
    latency_history,
    later,
    stages,
)
from tests.bench.worlds import BUSY, CLEAN, HEAVY, MODERATE, Regression, error_release, latency_release

ERRORS = error_settings()


def taught(
    history: History, settings: Settings = ERRORS, plan: ReplayPlan = PLAN, *, seed: int = 1
) -> Learned | NotLearned:
    return learn({"gate": history}, {"gate": settings}, plan, alpha=0.01, pause_alpha=0.05, seed=seed)["gate"]


@cache
def moderate(plan: ReplayPlan = PLAN) -> Study:
    history = {"errors": count_history(11, MODERATE, 24)}
    return study(history, {"errors": ERRORS}, plan, alpha=0.01, pause_alpha=0.05, seed=1)


def test_what_is_learned_says_what_stands_behind_it() -> None:
    found = moderate().learned["errors"]
    assert isinstance(found, LearnedCounts)
    assert found.rate == pytest.approx(0.0055, rel=0.1)
    assert (found.standing.guarantee, found.standing.segments, found.standing.replays) == (
        Guarantee.CALIBRATED,
        24,
        144,
    )
    low, high = found.standing.realised or (1.0, 0.0)
    assert 0.0 <= low <= high <= 0.3
    assert found.usual is not None
    assert found.usual[0] < 1.0 < found.usual[1]
    c = found.calibration
    assert c.pause < c.change
    assert "24 segments" in str(found.standing)


def test_learning_is_a_function_of_history_and_seed() -> None:
    history = count_history(12, MODERATE, 8)
    assert taught(history) == taught(history)
    assert taught(history) != taught(history, seed=2)


def test_thresholds_are_what_the_replays_say() -> None:
    """The constants of the design, worked out from the maxima of one gate by hand."""
    done = moderate()
    sample, found = done.taught["errors"].sample, done.taught["errors"].calibration
    first, second = sample.paths.first.max(axis=1), sample.paths.second.max(axis=1)
    assert found.first.location == pytest.approx(np.quantile(first, 0.8))
    assert found.first.spread == pytest.approx(
        float((first[first > np.quantile(first, 0.8)] - np.quantile(first, 0.8)).mean())
    )
    assert found.second == tail_scale(second)
    joined = found.joined(sample.paths.first, sample.paths.second).max(axis=1)
    assert found.change == pytest.approx(tail(tail_scale(joined), 0.01, 24))
    assert found.pause == pytest.approx(tail(tail_scale(joined), 0.05, 24))
    assert found.margin == pytest.approx(tail(tail_scale(sample.raised.max(axis=1)), 0.10, 24))


def test_a_stage_ends_as_soon_as_harm_is_ruled_out_and_not_before_its_least_length() -> None:
    fixed, early = moderate(), moderate(stages(1, 3, 5, at_least=6))
    assert {one.ends for one in fixed.replays} == {(20, 40, 60)}
    lengths = np.array([np.diff((0, *one.ends)) for one in early.replays])
    assert lengths.min() >= 6
    assert lengths.max() <= 20
    assert lengths.mean() < 15, "most healthy stages end early"
    # Over after its last stage: nothing that comes later can set a threshold.
    over = np.arange(1, early.looks + 1)[None, :] > np.array([one.ends[-1] for one in early.replays])[:, None]
    assert over.any()
    for values in (early.taught["errors"].sample.paths.first, early.taught["errors"].sample.raised):
        assert (values[over] == -np.inf).all()
        assert np.isfinite(values[~over]).all()


def test_gates_are_calibrated_together_and_one_of_them_alone_is_less_strict() -> None:
    """Eight gates that know nothing of each other: each must give way, and together they keep the promise."""
    rng = np.random.default_rng(13)
    segments = np.repeat(np.arange(80), 6)
    samples = {}
    for number in range(8):
        first, second = rng.exponential(size=(480, 20)), rng.exponential(size=(480, 20)) * (1.0 + number)
        paths = Paths(first, second, np.full((480, 20), -99.0))
        samples[f"g{number}"] = Sample(Family.ERRORS, np.arange(480), paths, np.zeros((480, 20)) - 1.0, np.ones(480))
    together = calibrate(samples, segments, alpha=0.01, pause_alpha=0.05)
    alone = calibrate({"g3": samples["g3"]}, segments, alpha=0.01, pause_alpha=0.05)["g3"]
    assert alone.change < together["g3"].change
    assert together["g3"].pause < together["g3"].change
    stopped = np.zeros(480, dtype=bool)
    for name, one in samples.items():
        assert one.raised.max() <= together[name].margin
        stopped |= rolled_back(replace(one, paths=replace(one.paths, margin=np.full((480, 20), 99.0))), together[name])
    assert stopped.mean() <= 0.02
    low, high = realised(samples, segments, alpha=0.01, pause_alpha=0.05)
    assert low == 0.0, "the margin test holds all of them back"
    assert high == pytest.approx(1.0 - 0.025 ** (1 / 80), abs=1e-6)


def test_replays_of_few_calm_pods_do_not_make_a_gate_keen() -> None:
    """Six stretches of one fleet whose pods, by luck, hardly differ: the gate asks for what its noise alone says."""
    rng = np.random.default_rng(5)
    segments = np.repeat(np.arange(6), 24)
    latest = segments >= 4
    first, second = 0.1 * rng.exponential(size=(2, 144, 20))
    paths = Paths(first, second, np.zeros((144, 20)))
    calm = Sample(Family.ERRORS, np.arange(144), paths, np.zeros((144, 20)), np.ones(144), temper=4.0)

    def taught(one: Sample, *, few: bool = True) -> Calibration:
        given = latest if few else None
        return calibrate({"e": one}, segments, alpha=0.01, pause_alpha=0.05, latest=given)["e"]

    usual, careful = taught(calm, few=False), taught(calm)
    asked = careful.first.location + careful.first.spread * careful.change
    assert asked == pytest.approx(math.log(FEW_PODS_VILLE / 0.01))
    assert asked > usual.first.location + usual.first.spread * usual.change
    assert careful.second.spread == 4.0 * careful.first.spread > usual.second.spread
    assert careful.pause < careful.change
    # Pods that differ say more than Ville's bound; calmer hours before then leave less to go by.
    loud = replace(paths, first=30.0 * paths.first, second=30.0 * paths.second)
    all_alike = replace(calm, paths=loud)
    assert taught(replace(all_alike, worth=np.where(latest, 1.0, 0.2))).change > taught(all_alike).change
    assert taught(all_alike).first.location + taught(all_alike).first.spread * taught(all_alike).change > asked
    # Two gates share the chance.
    both = calibrate({"a": calm, "b": calm}, segments, alpha=0.01, pause_alpha=0.05, latest=latest)["a"]
    assert both.first.location + both.first.spread * both.change == pytest.approx(math.log(FEW_PODS_VILLE / 0.005))


def test_a_gate_that_saw_only_some_segments_takes_part_in_those() -> None:
    errors, traffic = count_history(14, MODERATE, 12), count_history(15, CLEAN, 12)
    late = CountHistory(traffic.segments[4:])
    found = study(
        {"errors": errors, "other": late},
        {"errors": ERRORS, "other": ERRORS},
        PLAN,
        alpha=0.01,
        pause_alpha=0.05,
        seed=3,
    )
    assert found.taught["errors"].sample.rows.size == len(found.replays)
    rows = found.taught["other"].sample.rows
    assert {found.replays[row].segment for row in rows} == set(range(4, 12))
    assert {one.segment for one in found.taught["other"].replays} == set(range(8)), "counted in its own history"
    other = found.learned["other"]
    assert isinstance(other, LearnedCounts)
    assert other.standing.segments == 8


def test_weights_are_dealt_to_families_and_then_inside() -> None:
    found = weights({"a": Family.ERRORS, "b": Family.ERRORS, "c": Family.LATENCY, "d": Family.SATURATION})
    assert found["a"] == found["b"] == pytest.approx(0.175 / 0.8)
    assert found["c"] == pytest.approx(0.30 / 0.8)
    assert sum(found.values()) == pytest.approx(1.0)
    assert weights({"only": Family.SATURATION}) == {"only": 1.0}


def changed(history: CountHistory, change: Callable[[Tally], Tally]) -> CountHistory:
    return CountHistory(tuple(change(one) for one in history.segments))


def without_events(tally: Tally) -> Tally:
    return replace(tally, events=np.zeros_like(tally.events))


def one_pod(tally: Tally) -> Tally:
    keep = np.arange(len(tally.pods)) < 1
    return replace(
        tally,
        pods=tally.pods[:1],
        contender=tally.contender[keep],
        exposure=tally.exposure[keep],
        events=tally.events[keep],
        seen=tally.seen[keep],
    )


def silent(tally: Tally) -> Tally:
    return replace(without_events(tally), exposure=np.zeros_like(tally.exposure))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda h: CountHistory(()), "TooLittleHistory"),
        (lambda h: CountHistory(h.segments[:1]), "TooLittleHistory"),
        (lambda h: CountHistory(h.segments[:5]), "TooLittleHistory"),
        (lambda h: changed(h, lambda t: t.keep_windows(np.arange(60) < 59)), "TooLittleHistory"),
        (lambda h: changed(h, lambda t: t.keep_windows(np.arange(60) < 0)), "NoTraffic"),
        (lambda h: changed(h, silent), "NoTraffic"),
        (lambda h: changed(h, without_events), "TooFewEvents"),
        (lambda h: changed(h, one_pod), "TooFewPods"),
    ],
)
def test_history_that_cannot_teach_has_a_name_and_numbers(
    make: Callable[[CountHistory], CountHistory], reason: str
) -> None:
    found = taught(make(count_history(16, MODERATE, 7)))
    assert isinstance(found, NotLearned)
    assert found.reason == reason
    assert any(letter.isdigit() for letter in found.detail) or "no segment" in found.detail


def test_a_gate_that_cannot_learn_leaves_the_others_alone() -> None:
    good = count_history(17, MODERATE, 8)
    histories = {"good": good, "bad": changed(good, without_events), "pods": changed(good, one_pod)}
    settings = dict.fromkeys(histories, ERRORS)
    found = learn(histories, settings, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)
    assert list(found) == ["good", "bad", "pods"]
    assert isinstance(found["good"], LearnedCounts)
    assert [getattr(found[name], "reason", None) for name in ("bad", "pods")] == ["TooFewEvents", "TooFewPods"]
    alone = learn({"good": good}, {"good": ERRORS}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)
    assert found["good"] == alone["good"]


def test_constant_series_and_a_few_events_are_learned_without_a_crash() -> None:
    constant = CountHistory(tuple(counts(np.full((5, 60), 100.0), np.full((5, 60), 2.0), at) for at in range(8)))
    found = taught(constant, plan=stages(1, 2))
    assert isinstance(found, LearnedCounts)
    assert found.noise.variation.of(np.array([1.0, 60.0])) == pytest.approx([0.0009, 0.0009])
    assert math.isfinite(found.calibration.change)
    assert found.calibration.change > found.calibration.pause > 0.0
    rng = np.random.default_rng(18)
    rare = CountHistory(tuple(counts(np.full((5, 60), 100.0), rng.random((5, 60)) < 0.02, at) for at in range(8)))
    assert isinstance(taught(rare, plan=stages(1, 2)), LearnedCounts)


def test_pods_that_come_and_go_and_gaps_are_borne() -> None:
    def torn(tally: Tally, at: int) -> Tally:
        seen = tally.seen.copy()
        seen[at % 10, 20:] = False  # one pod leaves
        seen[(at + 3) % 10, :50] = False  # one comes late, and is too short there to play
        seen[:, 30:33] = False  # the store was away
        names = tuple(f"{name}-{at}" for name in tally.pods)
        return replace(
            tally, pods=names, seen=seen, exposure=tally.exposure * seen, events=tally.events * seen
        ).keep_windows(np.arange(60) != 40)

    whole = count_history(19, MODERATE, 10)
    found = study(
        {"e": CountHistory(tuple(torn(one, at) for at, one in enumerate(whole.segments)))},
        {"e": ERRORS},
        PLAN,
        alpha=0.01,
        pause_alpha=0.05,
        seed=1,
    )
    assert isinstance(found.learned["e"], LearnedCounts)
    for one in found.replays:
        assert f"old-{(one.segment + 3) % 10}-{one.segment}" not in one.order
    assert np.isfinite(found.taught["e"].sample.paths.second).all()


def test_ten_thousand_pods_are_replayed_with_some_of_them() -> None:
    rng = np.random.default_rng(20)
    segments = tuple(counts(np.full((10_000, 12), 50.0), rng.poisson(0.5, (10_000, 12)), at) for at in range(6))
    found = study(
        {"e": CountHistory(segments)},
        {"e": ERRORS},
        ReplayPlan(lambda pods: (1, pods // 2), 6, 6),
        alpha=0.01,
        pause_alpha=0.05,
        seed=1,
    )
    assert isinstance(found.learned["e"], LearnedCounts)
    assert {len(one.order) for one in found.replays} == {200}
    assert {one.stages for one in found.replays} == {(1, 100)}


def test_a_fleet_of_two_and_a_plan_for_more_pods_than_there_are() -> None:
    rng = np.random.default_rng(21)
    segments = tuple(counts(np.full((2, 60), 300.0), rng.poisson(6.0, (2, 60)), at) for at in range(8))
    found = study({"e": CountHistory(segments)}, {"e": ERRORS}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)
    assert isinstance(found.learned["e"], LearnedCounts)
    assert {one.stages for one in found.replays} == {(1,)}
    with pytest.raises(ValueError, match="no stage"):
        stages(1, at_least=5, at_most=4)


def test_longer_segments_are_entered_at_random() -> None:
    history = CountHistory(tuple(later(one, at) for at, one in enumerate(count_history(22, CLEAN, 7).segments)))
    found = study({"e": history}, {"e": ERRORS}, stages(1, 3, at_most=20), alpha=0.01, pause_alpha=0.05, seed=1)
    begins = {round(one.begin / 30.0) - round(one.segment * 20_000.0 / 30.0) for one in found.replays}
    assert len(begins) > 10
    assert max(begins) <= 21


def test_throughput_is_learned_in_both_directions() -> None:
    rng = np.random.default_rng(23)
    segments = tuple(
        counts(np.ones((6, 40)), rng.poisson(rng.gamma(50.0, 2.0, (6, 1)) * np.ones((6, 40))), at) for at in range(8)
    )
    found = {}
    for worse in Worse:
        settings = throughput_settings(worse=worse)
        one = taught(CountHistory(segments), settings, stages(1, 2))
        assert isinstance(one, LearnedCounts)
        found[worse] = one
        assert one.rate == pytest.approx(100.0, rel=0.1)
        assert one.noise.variation.of(np.array([60.0]))[0] > 0.005
    assert found[Worse.HIGHER].noise.variation == found[Worse.LOWER].noise.variation
    assert found[Worse.HIGHER].calibration != found[Worse.LOWER].calibration


def test_contenders_at_the_margin_are_worse_by_the_margin() -> None:
    rng = np.random.default_rng(24)
    tally = counts(np.full((6, 400), 1000.0), rng.poisson(20.0, (6, 400)))
    for settings, ratio in (
        (ERRORS, 1.25),
        (error_settings(margin_points=0.01), 1.5),
        (throughput_settings(worse=Worse.LOWER), 1 / 1.10),
    ):
        raised = at_margin(tally, settings, rng)
        assert raised.events.sum() / tally.events.sum() == pytest.approx(ratio, rel=0.01)
        assert raised.exposure is tally.exposure


def test_slowed_requests_cross_boundaries_as_latency_says() -> None:
    rng = np.random.default_rng(25)
    calm = replace(idle(CLEAN), rate=3000.0, shock=0.0)
    as_it_was = latency_release(rng, calm, speed_sd=0.0)
    truth = latency_release(rng, replace(calm, stages=((0, 10),), pods=11), scale=1.08, speed_sd=0.0)
    ours = truth.tally.contender
    for at in (4, 5, 6):
        share = slowed(as_it_was, 1.08, rng).slower[at].sum() / as_it_was.tally.exposure.sum()
        exact = truth.slower[at][ours].sum() / truth.tally.exposure[ours].sum()
        plain = as_it_was.slower[at].sum() / as_it_was.tally.exposure.sum()
        # Inside a bucket history does not know where requests lie; the step is nearly right all the same.
        assert math.log(share / plain) == pytest.approx(math.log(exact / plain), rel=0.05)
    twice = slowed(as_it_was, 2.0, rng)
    assert (np.diff(twice.slower, axis=0) <= 0.0).all()
    assert (twice.slower <= as_it_was.tally.exposure).all()
    assert (twice.slower >= as_it_was.slower).all()


def test_a_bucket_is_divided_as_a_log_normal_is_and_never_beyond_itself() -> None:
    exact = [float(stats.norm.sf(math.log(t / 0.8) / 0.6)) for t in (1.0, 1.8, 2.0)]
    assert part_above(1.8, 1.0, 2.0, exact[0], exact[2]) == pytest.approx((exact[1] - exact[2]) / (exact[0] - exact[2]))
    assert part_above(0.5, 0.0, 2.0, 1.0, 0.2) == 0.75
    assert part_above(math.sqrt(2.0), 1.0, 2.0, 1.0, 0.2) == pytest.approx(0.5)
    assert part_above(math.sqrt(2.0), 1.0, 2.0, 0.3, 0.0) == pytest.approx(0.5)
    assert part_above(math.sqrt(2.0), 1.0, 2.0, 0.3, 0.3) == pytest.approx(0.5)
    assert part_above(1.0, 1.0, 2.0, 0.5, 0.1) == 1.0
    assert part_above(2.0, 1.0, 2.0, 0.5, 0.1) == 0.0


def test_latency_learns_its_boundaries_and_their_margins() -> None:
    found = taught(latency_history(26, MODERATE, 8), latency_settings())
    assert isinstance(found, LearnedLatency)
    assert [one.seconds for one in found.boundaries] == [0.1, 0.25, 0.5]
    for one in found.boundaries:
        assert 0.02 <= one.margin <= 0.5
        assert one.noise.spread == pytest.approx(1.0 - one.share)
        assert one.noise.prior_sd == 0.5
        assert one.scale.spread >= 0.25
    assert [one.share for one in found.boundaries] == sorted((one.share for one in found.boundaries), reverse=True)
    # Above the tail boundary pods differ by more, in logs, than near the median.
    first, *_, last = (float(one.noise.variation.of(np.array([20.0]))[0]) for one in found.boundaries)
    assert last > 2.0 * first


def test_latency_histories_that_cannot_teach() -> None:
    history = latency_history(27, MODERATE, 7)
    for segments, reason in (
        ((), "TooLittleHistory"),
        (history.segments[:3], "TooLittleHistory"),
        (tuple(replace(one, slower=np.zeros_like(one.slower)) for one in history.segments), "TooFewEvents"),
        (
            (
                *history.segments[:6],
                replace(history.segments[6], boundaries=history.segments[6].boundaries * 1.5),
            ),
            "BucketsDiffer",
        ),
    ):
        found = taught(LatencyHistory(segments), latency_settings())
        assert isinstance(found, NotLearned)
        assert found.reason == reason


def test_young_pods_raise_the_threshold_only_by_the_error_of_the_curve() -> None:
    history = count_history(28, BUSY, 8)
    plain = taught(history)
    known = taught(replace(history, ages=(AgeCurve(0.5, 120.0), AgeCurve(0.5, 120.0))))
    doubtful = taught(replace(history, ages=(AgeCurve(0.5, 120.0), AgeCurve(3.0, 300.0))))
    assert isinstance(plain, LearnedCounts)
    assert plain.age is None
    assert isinstance(known, LearnedCounts)
    assert known.age == AgeCurve(0.5, 120.0)

    def reach(one: Learned | NotLearned) -> float:
        assert isinstance(one, LearnedCounts)
        return one.calibration.first.location + one.calibration.first.spread

    assert reach(doubtful) > reach(known) + 2.0
    assert reach(known) < reach(plain) + 2.0


def test_a_long_stretch_is_cut_into_whole_segments() -> None:
    tally = counts(np.ones((3, 100)), np.ones((3, 100)))
    assert [one.ends.size for one in cut(tally, 30)] == [30, 30, 30]
    holed = tally.keep_windows((np.arange(100) < 40) | (np.arange(100) >= 50))
    assert [one.ends.size for one in cut(holed, 30)] == [30, 20, 30]
    assert cut(tally.keep_windows(np.arange(100) < 0), 30) == ()
    histogram = latency_history(29, CLEAN, 1).segments[0]
    first, second = cut_histogram(histogram, 30)
    assert second.slower == pytest.approx(histogram.slower[:, :, 30:])
    assert first.tally.ends.tolist() == histogram.tally.ends[:30].tolist()


def test_counts_that_run_ahead_of_the_pods_are_tempered_in_the_margin_test() -> None:
    """Where pods' noise lasts for windows, B takes it for knowledge: unweighed it would blunt the margin test."""
    tempers = {}
    for world in (CLEAN, HEAVY):
        done = study({"e": count_history(33, world, 24)}, {"e": ERRORS}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)
        one = done.learned["e"]
        assert isinstance(one, LearnedCounts)
        tempers[world.name] = one.noise.temper
        # One bad pod among several shows in the counts alone: they can carry the margin test by themselves.
        paths = done.taught["e"].sample.paths
        assert (paths.margin >= paths.second / one.noise.temper - math.log(2.0)).all()
        assert one.calibration.margin < 2.5
    assert tempers[CLEAN.name] < 1.8
    assert tempers[HEAVY.name] > 2.0


def test_noise_that_changed_within_the_history_is_taken_from_its_last_hour() -> None:
    """Four calm segments and two noisy ones: calm pods must not make the gate keen on noisy ones."""
    rng = np.random.default_rng(31)
    calm = count_history(32, MODERATE, 4).segments
    noisy = tuple(error_release(rng, idle(HEAVY), Regression()) for _ in range(2))
    segments = tuple(
        replace(one, ends=one.ends - one.ends[0] + 30.0 + 1800.0 * at) for at, one in enumerate((*calm, *noisy))
    )
    found = {}
    for guarantee in (Guarantee.CALIBRATED, Guarantee.NOISE_CHANGED):
        done = study(
            {"e": CountHistory(segments)},
            {"e": ERRORS},
            PLAN,
            alpha=0.01,
            pause_alpha=0.05,
            seed=1,
            guarantee=guarantee,
        )
        one = done.learned["e"]
        assert isinstance(one, LearnedCounts)
        found[guarantee] = one, done.taught["e"].sample.paths
    (mixed, _), (careful, paths) = found[Guarantee.CALIBRATED], found[Guarantee.NOISE_CHANGED]
    lengths = np.array([1.0, 10.0, 60.0])
    alone = fit_variation(noisy, spread=1.0, floor=VARIATION_FLOOR)
    assert (careful.noise.variation.of(lengths) >= alone.of(lengths)).all()
    assert (careful.noise.variation.of(lengths) > mixed.noise.variation.of(lengths)).all()
    # The scales are at least those of the last hour's own replays, of which there are 24 a segment.
    own = tail_scale(paths.first[96:].max(axis=1))
    assert careful.calibration.first.location >= own.location
    assert careful.calibration.first.spread >= own.spread
    assert careful.calibration.second.spread >= tail_scale(paths.second[96:].max(axis=1)).spread


def test_the_last_hours_alone_say_so() -> None:
    found = learn(
        {"e": count_history(30, MODERATE, 6)},
        {"e": ERRORS},
        PLAN,
        alpha=0.01,
        pause_alpha=0.05,
        seed=1,
        guarantee=Guarantee.NOISE_CHANGED,
    )["e"]
    assert isinstance(found, LearnedCounts)
    assert str(found.standing).startswith("noise changed: 1 % calibrated on 6 segments")
    assert found.standing.replays == 144
