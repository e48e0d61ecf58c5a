"""Readings become levels, or a named absence; and the position of levels among those of healthy pods."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.assumptions import EARLY_READINGS
from analysis.engine import Worse
from analysis.levels import GaugeSettings, Levels, Spans, gauge_settings, ln_levels, mixed_roles, offset_of, read_levels
from analysis.position import (
    enough_known,
    known_reference,
    normal_score,
    position,
    reference,
)
from analysis.samples import CounterSeries, Frame, Groups
from analysis.special import FloatArray
from analysis.verdict import Absence, NoData
from tests.analysis.builders import START, WINDOW, counter, instant

GROUPS = Groups(("new-0", "new-1"), ("old-0", "old-1", "old-2"))


def frame(windows: int = 10, groups: Groups = GROUPS, *, since: float = START) -> Frame:
    return Frame(groups, ((since, instant(windows)),), WINDOW)


def readings(**values: list[float | None]) -> list[CounterSeries]:
    return [counter(name.replace("_", "-"), many) for name, many in values.items()]


def level_of(read: Levels | Absence, pod: str) -> list[float]:
    assert isinstance(read, Levels)
    return [float(v) for v in read.values[read.pods.index(pod)]]


def same(seen: list[float], expected: list[float]) -> bool:
    return len(seen) == len(expected) and np.array_equal(np.array(seen), np.array(expected), equal_nan=True)


class TestReading:
    def test_a_level_may_fall_and_counts_as_it_stands(self) -> None:
        read = read_levels(readings(new_0=[5.0, 7.0, 3.0, 4.0], old_0=[1.0, 1.0, 1.0, 1.0]), frame(3))
        assert same(level_of(read, "new-0"), [7.0, 3.0, 4.0])

    def test_a_reading_whose_window_began_before_the_span_does_not_count(self) -> None:
        read = read_levels(readings(new_0=[1.0, 2.0, 3.0, 4.0, 5.0]), frame(4, since=instant(2)))
        assert same(level_of(read, "new-0"), [4.0, 5.0])

    def test_holes_and_pods_without_series_are_absent(self) -> None:
        read = read_levels(readings(new_0=[1.0, None, 3.0, 4.0]), frame(3))
        assert same(level_of(read, "new-0"), [math.nan, 3.0, 4.0])
        assert same(level_of(read, "old-1"), [math.nan] * 3)
        assert isinstance(read, Levels)
        assert read.freshness.voided == 1
        assert read.freshness.silent == ("new-1",)

    def test_pods_of_others_are_left_out_whatever_they_hold(self) -> None:
        series = [*readings(new_0=[1.0] * 4), counter("stranger", [-1.0] * 4), counter("stranger", [math.nan] * 4)]
        assert same(level_of(read_levels(series, frame(3)), "new-0"), [1.0, 1.0, 1.0])

    def test_the_reading_after_a_restart_is_void_and_age_begins_anew(self) -> None:
        groups = replace(GROUPS, restarts={"new-0": (instant(2) - 1.0,)}, born={"new-0": START - 100.0})
        read = read_levels(readings(new_0=[1.0] * 6), frame(5, groups))
        assert same(level_of(read, "new-0"), [1.0, math.nan, 1.0, 1.0, 1.0])
        assert isinstance(read, Levels)
        assert same([float(v) for v in read.ages[0]], [130.0, 1.0, 31.0, 61.0, 91.0])
        assert math.isinf(read.ages[1, 0])

    @pytest.mark.parametrize(
        ("series", "reason"),
        [
            ([], NoData.NO_SERIES),
            ([CounterSeries("new-0", None, (), ())], NoData.NO_SERIES),
            ([CounterSeries("new-0", None, (START,), (1.0, 2.0))], NoData.MALFORMED),
            ([counter("new-0", [1.0, -0.1, 1.0])], NoData.NEGATIVE),
            ([counter("new-0", [1.0, math.nan, 1.0])], NoData.NON_FINITE),
            ([counter("new-0", [1.0, math.inf, 1.0])], NoData.NON_FINITE),
            ([counter("new-0", [1.0, 1.0])] * 2, NoData.DUPLICATE),
            ([CounterSeries("new-0", None, (START, START), (1.0, 2.0))], NoData.DUPLICATE),
            ([counter("new-0", [1.0, 1.0], "0.5")], NoData.WRONG_TYPE),
            ([replace(counter("new-0", [1.0, 1.0]), stratum="/pay")], NoData.WRONG_TYPE),
            ([counter("new-0", [1.0] * 3), CounterSeries("old-0", None, (START + 7.0,), (1.0,))], NoData.MISALIGNED),
            ([counter("new-0", [1.0]), CounterSeries("old-0", None, (START + 1e9,), (1.0,))], NoData.MISALIGNED),
            ([counter("new-0", [1.0])], NoData.NO_WINDOW),
        ],
    )
    def test_every_defect_has_a_name(self, series: list[CounterSeries], reason: NoData) -> None:
        read = read_levels(series, frame(3))
        assert isinstance(read, Absence)
        assert read.reason is reason

    def test_readings_outside_settled_time_alone_are_no_window(self) -> None:
        read = read_levels(readings(new_0=[1.0, 1.0, 1.0]), frame(9, since=instant(5)))
        assert isinstance(read, Absence)
        assert read.reason is NoData.NO_WINDOW


class TestSettings:
    def test_a_bound_is_any_level(self) -> None:
        assert gauge_settings(limit=2e9).bound == 2e9
        assert gauge_settings(limit=2e9).limit is None

    @pytest.mark.parametrize("bound", [-1.0, math.nan, math.inf])
    def test_what_is_no_level_is_refused(self, bound: float) -> None:
        with pytest.raises(ValueError, match="limit of a gauge"):
            gauge_settings(limit=bound)

    def test_one_direction_and_all_checks_of_other_settings(self) -> None:
        with pytest.raises(ValueError, match="not both"):
            gauge_settings(worse=Worse.EITHER)
        with pytest.raises(ValueError, match="alpha"):
            gauge_settings(alpha=1.5)

    def test_what_is_tolerated_is_no_harm(self) -> None:
        assert gauge_settings(margin_ratio=2.0).harm_ratio == pytest.approx(2.3)
        assert isinstance(gauge_settings(), GaugeSettings)


class TestSpans:
    @pytest.mark.parametrize("seed", range(5))
    def test_means_are_those_of_a_plain_loop(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        values = np.where(rng.random((4, 37)) < 0.3, np.nan, rng.normal(size=(4, 37)))
        spans = Spans.of(np.array([1, 9, 10, 11, 30, 37]), WINDOW)
        means = spans.means(values)
        for pod, (s, start), (n, look) in itertools.product(range(4), enumerate(spans.starts), enumerate(spans.looks)):
            part = values[pod, start:look]
            part = part[np.isfinite(part)]
            if part.size >= EARLY_READINGS:
                assert means[pod, s, n] == pytest.approx(part.mean(), abs=1e-12)
            else:
                assert math.isnan(means[pod, s, n])

    def test_weights_are_one_in_sum_and_later_starts_have_none_before_they_come(self) -> None:
        spans = Spans.of(np.arange(1, 700), WINDOW)
        assert np.allclose(spans.weights.sum(axis=0), 1.0)
        assert spans.starts.tolist()[:3] == [0, 10, 20]
        assert spans.starts.size == 49
        assert (spans.weights[1:][spans.starts[1:, None] >= spans.looks[None, :]] == 0.0).all()
        assert spans.weights[0].min() >= 0.5


class TestRoles:
    def test_one_role_is_not_doubted_for_an_odd_pod(self) -> None:
        rng = np.random.default_rng(4)
        assert mixed_roles(rng.normal(0.0, 0.24, 40)) is None
        assert mixed_roles(np.append(rng.normal(0.0, 0.2, 40), 1.4)) is None

    def test_two_groups_and_a_wide_spread_are(self) -> None:
        rng = np.random.default_rng(4)
        assert "two groups" in (mixed_roles(np.append(rng.normal(0, 0.1, 9), rng.normal(2.0, 0.1, 3))) or "")
        assert "spread" in (mixed_roles(np.linspace(-1.5, 1.5, 40)) or "")

    def test_zero_has_a_logarithm_and_lower_is_turned(self) -> None:
        offset = offset_of(np.array([0.0, np.nan, 10.0, 30.0, 20.0]))
        assert offset == pytest.approx(0.2)
        assert offset_of(np.zeros(3)) == 1.0
        assert ln_levels(np.array([0.0, 1.0]), offset, Worse.LOWER) == pytest.approx([-math.log(0.2), -math.log(1.2)])


def plain_density(x: FloatArray, levels: FloatArray, within: float) -> FloatArray:
    """f0 as its formula says, by scipy."""
    sd, quartiles = levels.std(ddof=1), np.quantile(levels, (0.25, 0.75))
    h = max(0.05, within, 0.53 * min(sd, (quartiles[1] - quartiles[0]) / 1.34) * levels.size**-0.2)
    kernel = np.mean([stats.norm.pdf(x, level, h) for level in levels], axis=0)
    heavy = stats.t.pdf(x, 3, np.median(levels), max(sd, 0.05))
    result: FloatArray = np.log(0.87 * kernel + 0.13 * heavy)
    return result


class TestPosition:
    @pytest.mark.parametrize("within", [0.0, 0.3])
    def test_the_density_is_that_of_its_formula(self, within: float) -> None:
        levels = np.random.default_rng(1).normal(3.0, 0.25, 30)
        x = np.linspace(-2.0, 8.0, 501)
        table = reference(levels, within).ln_density(x)
        assert np.abs(table - plain_density(x, levels, within)).max() < 2e-3

    def test_it_is_a_density(self) -> None:
        known = reference(np.random.default_rng(1).normal(3.0, 0.25, 30), 0.1)
        x = np.linspace(-60.0, 66.0, 400_001)
        assert np.trapezoid(np.exp(known.ln_density(x)), x) == pytest.approx(1.0, abs=1e-4)

    def test_constant_levels_have_one_too(self) -> None:
        known = reference(np.full(12, 1.0), 0.0)
        x = np.linspace(-20.0, 22.0, 100_001)
        assert np.isfinite(known.ln_density(x)).all()
        assert np.trapezoid(np.exp(known.ln_density(x)), x) == pytest.approx(1.0, abs=1e-3)

    def test_normal_scores_are_scipys(self) -> None:
        p = np.concatenate([np.geomspace(1e-9, 0.5, 200), 1.0 - np.geomspace(1e-9, 0.5, 200)])
        assert np.abs(normal_score(p) - stats.norm.ppf(p)).max() < 1e-7

    def test_the_formulas_pod_by_pod(self) -> None:
        rng = np.random.default_rng(2)
        levels, y, margin = rng.normal(0.0, 0.25, 25), rng.normal(0.55, 0.25, 3), math.log(1.1)
        found = position(reference(levels, 0.05), y[:, None], np.ones(1), margin)
        shifts = margin + 0.1 * np.arange(1, 23)
        weights = stats.norm.pdf(shifts - margin, 0.0, 0.7)

        def ratio(pods: FloatArray, null: float) -> float:
            """The likelihood ratio of a shift that all these pods share, against `null`."""
            at = [plain_density(pods - s, levels, 0.05).sum() for s in (null, *shifts)]
            return float(np.average(np.exp(np.array(at[1:]) - at[0]), weights=weights))

        def told(null: float) -> float:
            one = float(np.mean([ratio(y[i : i + 1], null) for i in range(3)]))
            return 0.7 * ratio(y, null) + 0.3 * one

        assert float(found.likelihood) == pytest.approx(math.log(told(0.0)), abs=0.02)
        ranks = np.array([((levels < v - margin).sum() + 0.5) / 26.0 for v in y]).clip(0.02, 0.98)
        score = max(float(stats.norm.ppf(ranks).sum()) / math.sqrt(3.0), 0.0)
        assert float(found.ranks) == pytest.approx(score**2 / 2.0, abs=1e-6)
        assert float(found.margin) == pytest.approx(math.log(told(margin) + math.exp(score**2 / 2.0)), abs=0.02)

    def test_one_bad_pod_is_seen_among_good_ones(self) -> None:
        known = reference(np.random.default_rng(2).normal(0.0, 0.25, 25), 0.05)
        found = position(known, np.array([[1.9], [-0.1], [0.1], [0.0]]), np.ones(1), math.log(1.1))
        assert float(found.likelihood) > 2.0

    def test_inside_the_margin_there_is_no_evidence_at_all(self) -> None:
        levels = np.random.default_rng(2).normal(0.0, 0.25, 25)
        y = np.full((3, 1), levels.mean() + math.log(1.1) - 1e-6)
        found = position(reference(levels, 0.05), y, np.ones(1), math.log(1.1))
        assert (float(found.likelihood), float(found.ranks), float(found.margin)) == (0.0, 0.0, 0.0)

    def test_starts_mix_by_weight_and_absent_pods_do_not_count(self) -> None:
        levels = np.random.default_rng(2).normal(0.0, 0.25, 25)
        known, margin = reference(levels, 0.05), math.log(1.1)
        late = position(known, np.array([[0.0, 0.9], [0.0, math.nan]]), np.array([0.75, 0.25]), margin)
        alone = position(known, np.array([[0.9]]), np.ones(1), margin)
        assert float(late.likelihood) == pytest.approx(math.log(0.75 + 0.25 * math.exp(float(alone.likelihood))))
        nothing = position(known, np.full((2, 1), np.nan), np.ones(1), margin)
        assert float(nothing.likelihood) == 0.0

    def test_more_shift_and_more_pods_are_more_evidence(self) -> None:
        known = reference(np.random.default_rng(2).normal(0.0, 0.25, 25), 0.05)
        by_shift = [float(position(known, np.full((3, 1), d), np.ones(1), 0.1).likelihood) for d in (0.3, 0.5, 0.8)]
        by_pods = [float(position(known, np.full((k, 1), 0.6), np.ones(1), 0.1).likelihood) for k in (1, 2, 5)]
        assert by_shift == sorted(by_shift)
        assert by_pods == sorted(by_pods)
        assert by_pods[0] < by_pods[-1]

    def test_a_reference_is_made_once_for_the_same_levels(self) -> None:
        levels = tuple(float(v) for v in np.random.default_rng(2).normal(0.0, 0.25, 25))
        assert known_reference(levels, 0.1) is known_reference(levels, 0.1)


class TestReadings:
    def test_a_level_is_a_mean_of_three_readings_or_more(self) -> None:
        values = np.array([[math.nan, 1.0, 2.0, 6.0, math.nan, 7.0]])
        means = Spans.of(np.arange(1, 7), WINDOW).means(values)
        assert means.shape[1] == 1
        assert np.isnan(means[0, 0, :3]).all()
        assert means[0, 0, 3:] == pytest.approx([3.0, 3.0, 4.0])

    def test_a_later_start_needs_three_of_its_own(self) -> None:
        spans = Spans.of(np.array([11, 12, 13]), 30.0)
        assert spans.starts.tolist() == [0, 10]
        means = spans.means(np.ones((1, 13)))
        assert np.isfinite(means[0]).tolist() == [[True] * 3, [False, False, True]]
        assert (spans.only(slice(2, 3)).means(np.ones((1, 13)))[0] == 1.0).all()


@pytest.mark.parametrize(
    ("known", "on_trial", "enough"), [(13, 1, True), (12, 1, False), (14, 2, True), (14, 13, False)]
)
def test_as_many_levels_as_a_reference_needs_stay_beside_the_pods_on_trial(
    known: int, on_trial: int, enough: bool
) -> None:
    assert enough_known(known, on_trial) is enough
