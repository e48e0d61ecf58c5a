"""What history teaches about gauges: levels, growth, replays, thresholds; and the error rates that come of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.assumptions import LEVEL_PLATEAU
from analysis.comparisons import error_settings
from analysis.engine import Worse
from analysis.learned import Calibration, Guarantee, Learned, LearnedCounts, LearnedLevels, NotLearned, Scale, Standing
from analysis.learning import History, LevelHistory, ReplayPlan, learn, study
from analysis.learning.growth import growth_of
from analysis.learning.levels import LEVELS, LevelModel, caution
from analysis.learning.replay import NOTHING_SEEN, Replay
from analysis.levels import GaugeSettings, Levels, Spans, gauge_settings
from analysis.position import reference
from analysis.question import Settings
from analysis.special import FloatArray
from analysis.weighing import course
from tests.analysis.learning.histories import count_history
from tests.bench.worlds import MODERATE

WINDOW, LOOKS = 30.0, 30
STAGES, AT_MOST = (1, 3, 5), 10
PLAN = ReplayPlan(lambda _: STAGES, AT_MOST, AT_MOST)
SETTINGS = gauge_settings()


def stretch(values: FloatArray, *, begin: float = 0.0, contender: int = 0, names: tuple[str, ...] = ()) -> Levels:
    """Readings of grown-up pods, (pods, instants)."""
    pods = names or tuple(f"pod-{i}" for i in range(values.shape[0]))
    instants: FloatArray = begin + WINDOW * (1.0 + np.arange(values.shape[1], dtype=np.float64))
    return Levels(pods, np.arange(len(pods)) < contender, values, np.full(values.shape, np.inf), instants, WINDOW)


def wandering(rng: np.random.Generator, pods: int, looks: int = LOOKS) -> FloatArray:
    """A little movement inside each pod, AR(1) of sd .04."""
    out = np.empty((pods, looks))
    out[:, 0] = rng.normal(size=pods)
    for at in range(1, looks):
        out[:, at] = 0.9 * out[:, at - 1] + math.sqrt(1 - 0.81) * rng.normal(size=pods)
    return 0.04 * out


def history(own: FloatArray, seed: int, segments: int = 16) -> LevelHistory:
    """Pods of ln levels `own` over distinct segments, all moved together a little by the hour."""
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(segments):
        ln = own[:, None] + rng.normal(0.0, 0.05) + wandering(rng, own.size)
        parts.append(stretch(np.exp(ln), begin=7200.0 * number))
    return LevelHistory(tuple(parts))


def taught(past: LevelHistory, settings: GaugeSettings = SETTINGS, seed: int = 1) -> Learned | NotLearned:
    return learn({"memory": past}, {"memory": settings}, PLAN, alpha=0.01, pause_alpha=0.05, seed=seed)["memory"]


def fitted(past: LevelHistory, settings: GaugeSettings = SETTINGS) -> LevelModel:
    model = LEVELS.fit(past, settings)
    assert isinstance(model, LevelModel)
    return model


def a_replay(segment: int = 2, contender: tuple[int, ...] = (3, 7, 1, 9, 4), pods: int = 10) -> Replay:
    order = (*contender, *(i for i in range(pods) if i not in contender))
    ends = tuple(AT_MOST * (stage + 1) for stage in range(len(STAGES)))
    return Replay(segment, tuple(f"pod-{i}" for i in order), 7200.0 * segment, WINDOW, STAGES, ends)


OWN = np.log(200.0) + np.random.default_rng(9).normal(0.0, 0.22, 20)


class TestFit:
    def test_levels_are_those_of_the_pods_by_name(self) -> None:
        learned = fitted(history(OWN, 1)).learned
        assert sorted(learned.pods) == sorted(f"pod-{i}" for i in range(20))
        place = [int(name.split("-")[1]) for name in learned.pods]
        assert np.abs(np.array(learned.levels) - OWN[place]).max() < 0.1
        assert 0.0 < learned.within < 0.15
        assert learned.offset == pytest.approx(2.0, rel=0.2)

    def test_an_earlier_revisions_pods_count_and_the_latest_two_hundred_are_kept(self) -> None:
        rng = np.random.default_rng(5)
        parts = []
        for night in range(30):
            names = tuple(f"rev{night}-{i}" for i in range(10))
            parts.append(
                stretch(
                    np.exp(5.0 + rng.normal(0.0, 0.2, (10, 1)) + np.zeros((1, LOOKS))), begin=1e5 * night, names=names
                )
            )
        learned = fitted(LevelHistory(tuple(parts))).learned
        assert len(learned.levels) == len(set(learned.pods)) == 200
        assert {name.split("-")[0] for name in learned.pods} == {f"rev{night}" for night in range(10, 30)}

    @pytest.mark.parametrize(
        ("past", "reason"),
        [
            (LevelHistory(()), "TooLittleHistory"),
            (LevelHistory((stretch(np.full((20, LOOKS), np.nan)),) * 8), "TooLittleHistory"),
            (LevelHistory((stretch(np.zeros((20, LOOKS))),) * 8), "BurstyGauge"),
            (history(OWN[:11], 1), "TooFewPods"),
            (history(OWN, 1, segments=5), "TooLittleHistory"),
        ],
    )
    def test_what_cannot_be_learned_says_why(self, past: LevelHistory, reason: str) -> None:
        told = taught(past)
        assert isinstance(told, NotLearned)
        assert told.reason == reason

    def test_constant_levels_are_levels(self) -> None:
        told = taught(LevelHistory(tuple(stretch(np.full((20, LOOKS), 8.0), begin=7200.0 * i) for i in range(8))))
        assert isinstance(told, LearnedLevels)
        assert np.ptp(told.levels) == 0.0

    def test_lower_keeps_levels_as_they_are(self) -> None:
        up = fitted(history(OWN, 1)).learned
        down = fitted(history(OWN, 1), gauge_settings(worse=Worse.LOWER)).learned
        assert down.levels == pytest.approx(up.levels)


class TestReplays:
    def test_contender_and_segment_are_left_out_of_the_reference(self) -> None:
        past = history(OWN, 1)
        model = fitted(past)
        out = frozenset({"pod-3", "pod-7"})
        known, own = model.without(2, out)
        rest = [i for i in range(20) if f"pod-{i}" not in out]
        parts = np.stack([np.log(one.values + model.learned.offset) for n, one in enumerate(past.segments) if n != 2])
        expected = parts.mean(axis=(0, 2))
        assert known.levels == pytest.approx(np.sort(expected[rest]))
        assert own["pod-3"] == pytest.approx(expected[3])

    def test_a_replay_is_what_the_gate_would_have_said(self) -> None:
        past = history(OWN, 1)
        model, one = fitted(past), a_replay()
        paths = LEVELS.paths(model, past, [one], LOOKS, np.random.default_rng(0))
        # The same release by hand, with the reference that the replay has.
        segment = past.segments[2]
        rows = [segment.pods.index(pod) for pod in one.order]
        turn = np.array([one.turns().get(pod, LOOKS) for pod in one.order])
        values: FloatArray = segment.values[rows].copy()
        ours, theirs = values[:5].copy(), values.copy()
        for row in range(len(rows)):
            theirs[row, turn[row] :] = np.nan
        for row in range(5):
            ours[row, : turn[row]] = np.nan
        levels = stretch(
            np.concatenate([ours, theirs]),
            begin=7200.0 * 2,
            contender=5,
            names=(*(f"new-{i}" for i in range(5)), *one.order),
        )
        _, outside = model.without(2, frozenset())
        for stage, on_trial in enumerate(STAGES):
            known, _ = model.without(2, frozenset(one.order[:on_trial]))
            names = [pod for pod in model.learned.pods if pod not in one.order[:on_trial]]
            learned = replace(
                model.learned,
                levels=tuple(outside[pod] for pod in names),
                pods=tuple(names),
                calibration=Calibration(Scale(0.0, 1.0), Scale(0.0, 1.0), 0.0, 0.0, 0.0),
            )
            seen = course(levels, SETTINGS, learned, Spans.of(np.arange(1, LOOKS + 1), WINDOW))
            assert seen.known.levels == pytest.approx(known.levels)
            part = slice(AT_MOST * stage, AT_MOST * (stage + 1))
            # Incumbents that have turned are known to the replay's drift, not to this one: the rest is the same.
            there = paths.first[0, part] != NOTHING_SEEN
            assert there.sum() == (AT_MOST - 2 if stage == 0 else AT_MOST)
            assert np.abs(paths.margin[0, part] - seen.margin[part])[there].max() < 0.35
        assert paths.first.shape == paths.second.shape == paths.margin.shape == (1, LOOKS)

    def test_worse_segments_give_more_evidence_and_raised_ones_none_of_no_change(self) -> None:
        past = history(OWN, 1)
        model, rng = fitted(past), np.random.default_rng(0)
        twice = LevelHistory(tuple(replace(one, values=one.values * 2.0) for one in past.segments))
        usual = LEVELS.paths(model, past, [a_replay()], LOOKS, rng)
        worse = LEVELS.paths(model, past, [a_replay()], LOOKS, rng, twice)
        assert worse.first.max() > usual.first.max() + 3.0
        assert worse.second.max() > usual.second.max() + 1.0
        _, raised = LEVELS.raised(model, past, [a_replay()], LOOKS, rng)
        tenth = LevelHistory(tuple(replace(one, values=one.values * 1.1) for one in past.segments))
        by_hand = LEVELS.paths(model, past, [a_replay()], LOOKS, rng, tenth)
        # The offset is raised along with a reading in one and not in the other.
        assert np.abs(raised - by_hand.margin).max() < 0.05

    def test_what_has_not_been_seen_is_no_evidence(self) -> None:
        past = history(OWN, 1)
        holes = tuple(replace(one, values=np.where(np.arange(LOOKS) < 4, np.nan, one.values)) for one in past.segments)
        paths = LEVELS.paths(fitted(past), LevelHistory(holes), [a_replay()], LOOKS, np.random.default_rng(0))
        assert (paths.first[0, :6] == NOTHING_SEEN).all()
        assert (paths.first[0, 6:] >= -1e-9).any()

    def test_harm_is_ruled_out_for_pods_in_the_middle_and_not_for_pods_at_the_top(self) -> None:
        past = history(OWN, 1)
        order = np.argsort(OWN)
        middle, top = (tuple(int(i) for i in order[part]) for part in (slice(8, 13), slice(15, 20)))
        replays = [a_replay(contender=ours, pods=20) for ours in (middle, top)]
        safe = LEVELS.harmless(fitted(past), past, replays, LOOKS)
        assert safe[0, -1]
        assert not safe[1].any()
        assert not safe[:, 0].any()

    def test_only_pods_on_trial_by_then_are_left_out(self) -> None:
        past = history(OWN, 1)
        model = fitted(past)
        order = tuple(int(i) for i in np.argsort(OWN)[::-1])
        first = replace(a_replay(contender=order, pods=20), stages=(1, 8), ends=(10, 20))
        other = replace(first, stages=(1, 2))
        paths = LEVELS.paths(model, past, [first, other], LOOKS, np.random.default_rng(0))
        # Who turns later changes nothing before; leaving eight high pods out of the reference changes what follows.
        assert (paths.first[0, :10] == paths.first[1, :10]).all()
        assert (paths.margin[0, :10] == paths.margin[1, :10]).all()
        assert (paths.first[0, 12:] > paths.first[1, 12:]).all()

    def test_a_stage_that_leaves_too_few_says_nothing(self) -> None:
        past = history(OWN[:14], 1)
        one = replace(a_replay(pods=14), stages=(1, 2, 3), ends=(10, 20, 30))
        model, rng = fitted(past), np.random.default_rng(0)
        paths = LEVELS.paths(model, past, [one], LOOKS, rng)
        assert (paths.first[0, 2:20] > NOTHING_SEEN).all()
        for part in (paths.first, paths.second, paths.margin, LEVELS.raised(model, past, [one], LOOKS, rng)[1]):
            assert (part[0, 20:] == NOTHING_SEEN).all()
        assert not LEVELS.harmless(model, past, [one], LOOKS)[0, 20:].any()
        assert LEVELS.silent(model, 2) is None
        assert LEVELS.silent(model, 3) == "14 known pods, 3 of them on trial: 12 others are needed"


def to_the_end(pods: int) -> tuple[int, ...]:
    """The plan 1, 25 %, 50 %, 100 %."""
    return (1, *(math.ceil(pods * share) for share in (0.25, 0.5, 1.0)))


class TestSmallFleets:
    @pytest.mark.parametrize("pods", [3, 7, *range(12, 21), 24, 27, 30])
    def test_evidence_is_a_number_for_every_fleet_or_nothing_is_promised(self, pods: int) -> None:
        rng = np.random.default_rng(pods)
        past = history(math.log(200.0) + rng.normal(0.0, 0.22, pods), pods, segments=8)
        parts = tuple(
            stretch(np.concatenate([one.values] * 2, axis=1), begin=7200.0 * n) for n, one in enumerate(past.segments)
        )
        plan = ReplayPlan(to_the_end, 6, AT_MOST)
        with np.errstate(invalid="raise", divide="raise", over="raise"):
            told = study(
                {"memory": LevelHistory(parts)}, {"memory": SETTINGS}, plan, alpha=0.01, pause_alpha=0.05, seed=1
            )
        learned = told.learned["memory"]
        if pods < 13:
            assert isinstance(learned, NotLearned)
            assert learned.reason == "TooFewPods"
            assert not told.taught
            return
        assert isinstance(learned, LearnedLevels)
        sample = told.taught["memory"].sample
        ends = np.array([one.ends[-1] for one in told.replays])
        inside = np.arange(1, told.looks + 1) <= ends[:, None]
        for part in (sample.paths.first, sample.paths.second, sample.paths.margin, sample.raised):
            assert np.isfinite(part[inside]).all()
            assert (part[~inside] == -np.inf).all()
        limits = learned.calibration
        assert all(map(math.isfinite, (limits.change, limits.pause, limits.margin, limits.first.location)))

    def test_twelve_pods_cannot_lose_one_and_say_so_in_numbers(self) -> None:
        told = taught(history(OWN[:12], 1))
        assert told == NotLearned(
            "TooFewPods",
            "16 of 16 segments cannot be replayed: 12 known pods, 1 of them on trial: 12 others are needed",
        )

    def test_a_gauge_that_cannot_be_replayed_leaves_the_others_alone(self) -> None:
        both: dict[str, History] = {"few": history(OWN[:12], 1), "errors": count_history(1, MODERATE, 16)}
        known: dict[str, Settings] = {"few": SETTINGS, "errors": error_settings()}
        found = learn(both, known, PLAN, alpha=0.01, pause_alpha=0.05, seed=1)
        assert isinstance(found["few"], NotLearned)
        assert isinstance(found["errors"], LearnedCounts)


class TestThresholds:
    def test_few_pods_ask_for_more_than_many_segments_give(self) -> None:
        model = fitted(history(OWN, 1))
        plain = Calibration(Scale(0.0, 1.0), Scale(0.0, 1.0), 4.0, 1.0, 3.0)
        standing = Standing(Guarantee.CALIBRATED, segments=84)
        kept = LEVELS.finished(model, plain, standing)
        assert isinstance(kept, LearnedLevels)
        more = caution(20) / caution(84)
        none = math.log(2.0)
        assert kept.calibration.change == pytest.approx(none + more * (4.0 - none))
        assert kept.calibration.margin == pytest.approx(more)
        same = LEVELS.finished(model, plain, replace(standing, segments=8))
        assert isinstance(same, LearnedLevels)
        assert same.calibration == plain

    def test_learning_gives_the_same_twice_and_stands_on_its_segments(self) -> None:
        one, two = taught(history(OWN, 1)), taught(history(OWN, 1))
        assert one == two
        assert isinstance(one, LearnedLevels)
        assert one.standing.guarantee is Guarantee.CALIBRATED
        assert one.standing.segments == 16
        assert one.calibration.pause < one.calibration.change

    def test_healthy_releases_pass_and_twice_the_level_does_not(self) -> None:
        """Eight services of 24 pods each; every look of every release is peeked at."""
        spans = Spans.of(np.arange(1, LOOKS + 1), WINDOW)
        stopped, releases = {1.0: 0, 1.1: 0, 2.0: 0}, {1.0: 40, 1.1: 20, 2.0: 8}
        for service in range(8):
            rng = np.random.default_rng([11, service])
            own = np.log(200.0) + rng.normal(0.0, 0.2, 24)
            learned = taught(history(own, service), seed=service)
            assert isinstance(learned, LearnedLevels)
            for ratio in stopped:
                for _ in range(releases[ratio]):
                    ln = np.concatenate([np.log(200.0 * ratio) + rng.normal(0.0, 0.2, 5), own[:10]])[:, None]
                    values = np.exp(ln + rng.normal(0.0, 0.05) + wandering(rng, 15))
                    for pod, since in enumerate((0, 10, 10, 20, 20)):
                        values[pod, :since] = np.nan
                    names = (*(f"new-{i}" for i in range(5)), *(f"pod-{i}" for i in range(10)))
                    levels = stretch(values, begin=1e7, contender=5, names=names)
                    seen = course(levels, SETTINGS, learned, spans)
                    limits = learned.calibration
                    stopped[ratio] += bool(((seen.joined > limits.change) & (seen.margin > limits.margin)).any())
        # At a true 1 % more than nine of 320 happen once in 500; at 10 % more than 25 of 160 once in 100.
        assert stopped[1.0] <= 9
        assert stopped[1.1] <= 25
        assert stopped[2.0] >= 0.9 * 64


def newborns(pods: int, shift_of: dict[float, float], seed: int = 2, hours: float = 2.0) -> Levels:
    """Pods from their birth on: ln level below an age is shifted by so much."""
    rng = np.random.default_rng(seed)
    ages = np.broadcast_to(30.0 * np.arange(int(hours * 120)), (pods, int(hours * 120))).astype(np.float64)
    ln = 5.0 + rng.normal(0.0, 0.2, (pods, 1)) + rng.normal(0.0, 0.01, ages.shape)
    for until in sorted(shift_of, reverse=True):
        ln = np.where(ages < until, 5.0 + (ln - 5.0) + shift_of[until], ln)
    return replace(stretch(np.exp(ln)), ages=ages)


class TestGrowth:
    def test_the_curve_of_new_pods_is_found_and_ends_where_they_are_grown_up(self) -> None:
        found = growth_of([newborns(12, {600.0: -0.4})], 0.0)
        assert found.plateau == 600.0
        assert [step.until for step in found.steps] == [60.0, 120.0, 300.0, 600.0]
        assert [step.shift for step in found.steps] == pytest.approx([-0.4] * 4, abs=0.02)
        assert all(step.sd < 0.05 for step in found.steps)

    def test_pods_that_do_not_grow_have_no_plateau(self) -> None:
        assert growth_of([newborns(12, {})], 0.0) == type(growth_of([], 0.0))(0.0)

    def test_seven_new_pods_teach_nothing(self) -> None:
        found = growth_of([newborns(7, {600.0: -0.4})], 0.0)
        assert (found.plateau, found.steps) == (LEVEL_PLATEAU, ())

    def test_pods_that_never_settle_are_young_for_an_hour(self) -> None:
        found = growth_of([newborns(12, {7200.0: 0.3, 3600.0: -0.4})], 0.0)
        assert found.plateau == 3600.0

    def test_a_rollout_teaches_the_gate_what_young_pods_read(self) -> None:
        past = history(OWN, 1)
        born = newborns(12, {600.0: -0.4})
        names = tuple(f"young-{i}" for i in range(12))
        learned = fitted(replace(past, rollouts=(replace(born, pods=names),))).learned
        assert learned.plateau == 600.0
        assert learned.growth[-1].shift == pytest.approx(-0.4, abs=0.05)
        assert fitted(past).learned.growth == ()

    def test_young_readings_are_no_levels(self) -> None:
        past = history(OWN, 1)
        segments = tuple(
            replace(one, values=one.values * 9.0, ages=np.zeros(one.values.shape)) if n < 3 else one
            for n, one in enumerate(past.segments)
        )
        # Plateau assumed: three segments of newborn pods change nothing.
        expected = fitted(LevelHistory(past.segments[3:])).learned.levels
        assert fitted(LevelHistory(segments)).learned.levels == pytest.approx(expected, abs=0.02)


def test_the_reference_of_a_replay_is_smaller_and_still_a_reference() -> None:
    model = fitted(history(OWN, 1))
    known, _ = model.without(0, frozenset(f"pod-{i}" for i in range(5)))
    assert known.levels.size == 15
    assert reference(known.levels, model.learned.within).sd == known.sd
