"""The benchmark of decisions: its fleets, the rules of others as they are documented, its own fast path, its report."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.comparisons import latency, ratio
from analysis.comparisons.boundaries import quantile as histogram_quantile
from analysis.learned import LearnedCounts, LearnedLatency
from analysis.question import latency_settings
from analysis.samples import Frame, Groups
from analysis.verdict import Verdict
from tests.bench.decisions import __main__ as bench
from tests.bench.decisions import fleets, learners, page, report, rivals, running
from tests.bench.decisions.fleets import NOW, Batch, Harm, Slowness
from tests.bench.decisions.judging import ASSUMED, PAUSE, judged, judged_gates, judged_latency, percentile
from tests.bench.decisions.rivals import NEVER, End, Fate, Measurement, argo, argo_measurement, flagger
from tests.bench.decisions.rows import ALPHA, FALSE_ROLLBACK, OURS, Absent, Row, as_json, clopper_pearson, share, table
from tests.bench.decisions.running import Sizes
from tests.bench.decisions.studies import STUDIES, Kind
from tests.bench.worlds import CLEAN, LOOKS, MODERATE, QUIET, WINDOW, World

MINUTE = 60.0
EVERY_FIVE = range(5, LOOKS + 1, 5)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([20260722, *seed])


# How others decide: the facts of their documentation and source.


@pytest.mark.parametrize(("threshold", "seconds"), [(10, 660.0), (5, 360.0), (1, 120.0)])
def test_flagger_rolls_back_one_interval_after_the_failure_that_is_one_too_many(threshold: int, seconds: float) -> None:
    assert flagger([False] * 40, threshold).tick * MINUTE == seconds


def test_flagger_promotes_a_healthy_release_after_its_ten_checks() -> None:
    assert flagger([True] * 40, 10, steps=10) == Fate(End.PROMOTED, 10)


def test_flagger_never_forgets_a_failure() -> None:
    every_second = [tick % 2 == 0 for tick in range(1, 60)]
    assert flagger(every_second, 10, steps=10).tick * MINUTE == 1200.0
    assert flagger(every_second, 0).tick == 2


def test_chances_of_a_false_rollback_when_checks_fail_independently() -> None:
    def chance(rolled_back: Callable[[tuple[bool, ...]], bool], checks: int, bad: float) -> float:
        total = 0.0
        for oks in itertools.product((True, False), repeat=checks):
            if rolled_back(oks):
                total += bad ** oks.count(False) * (1.0 - bad) ** oks.count(True)
        return total

    def by_flagger(threshold: int) -> Callable[[tuple[bool, ...]], bool]:
        return lambda oks: flagger(oks, threshold, steps=10).end is End.ROLLED_BACK

    def by_argo(limit: int) -> Callable[[tuple[bool, ...]], bool]:
        kinds = {True: Measurement.SUCCESSFUL, False: Measurement.FAILED}
        return lambda oks: argo([kinds[ok] for ok in oks], limit, count=10).end is End.ROLLED_BACK

    assert chance(by_flagger(1), 10, 0.01) == pytest.approx(0.096, abs=0.0005)
    assert chance(by_argo(0), 10, 0.05) == pytest.approx(0.40, abs=0.005)
    # Failed checks do not raise the weight, so ten passes may take fourteen checks.
    assert chance(by_flagger(5), 14, 0.05) == pytest.approx(0.0004, abs=0.00005)
    assert chance(by_flagger(5), 14, 0.10) == pytest.approx(0.009, abs=0.0005)
    assert chance(by_argo(3), 10, 0.05) == pytest.approx(0.0010, abs=0.00005)
    assert chance(by_argo(3), 10, 0.10) == pytest.approx(0.013, abs=0.0005)


def test_argo_fails_on_one_failure_more_than_its_limit_and_on_the_fifth_error_in_a_row() -> None:
    bad, error, good = Measurement.FAILED, Measurement.ERROR, Measurement.SUCCESSFUL
    assert argo([good, bad], 0) == Fate(End.ROLLED_BACK, 2)
    assert argo([bad, good, bad, bad, good, bad], 3) == Fate(End.ROLLED_BACK, 6)
    assert argo([error] * 5) == Fate(End.ROLLED_BACK, 5)
    assert argo([error] * 4 + [good] + [error] * 4) == Fate(End.RUNNING)
    assert argo([Measurement.INCONCLUSIVE]) == Fate(End.INCONCLUSIVE, 1)
    # What is in error does not count towards the end.
    assert argo([error, good, good], count=2) == Fate(End.PROMOTED, 3)


def test_nan_fails_a_success_condition_of_argo_and_passes_a_failure_condition() -> None:
    assert argo_measurement(math.nan, success_below=0.01, failure_above=None) is Measurement.FAILED
    assert argo_measurement(math.nan, success_below=None, failure_above=0.01) is Measurement.SUCCESSFUL
    assert argo_measurement(math.nan, success_below=0.01, failure_above=0.05) is Measurement.INCONCLUSIVE
    assert argo_measurement(0.03, success_below=0.01, failure_above=0.05) is Measurement.INCONCLUSIVE
    assert argo_measurement(None, success_below=0.01, failure_above=None) is Measurement.ERROR
    assert argo_measurement(0.5, success_below=None, failure_above=None) is Measurement.SUCCESSFUL


def test_kayentas_interval_holds_the_shifts_that_a_rank_test_does_not_refuse() -> None:
    draws = rng(1)
    x, y = draws.normal(0.4, 1.0, 25), draws.normal(0.0, 1.0, 30)
    shift = rivals.hodges_lehmann(x, y)
    assert shift is not None
    assert shift.estimate == pytest.approx(np.median(x[:, None] - y[None, :]))

    def p(moved: float) -> float:
        return float(stats.mannwhitneyu(x - moved, y, method="asymptotic", use_continuity=True).pvalue)

    for end, outwards in ((shift.low, -1.0), (shift.high, 1.0)):
        assert p(end + outwards * 1e-9) <= 0.02 + 1e-9
        assert p(end - outwards * 0.05) > 0.02


def test_kayenta_passes_what_is_equal_or_empty_and_calls_a_clear_shift_high() -> None:
    flat = np.full(10, 0.5)
    assert not rivals.kayenta_high(rivals.hodges_lehmann(flat, flat))
    assert not rivals.kayenta_high(rivals.hodges_lehmann(np.full(5, np.nan), flat))
    draws = rng(2)
    control = draws.normal(10.0, 1.0, 30)
    assert rivals.kayenta_high(rivals.hodges_lehmann(control + 5.0, control))
    assert not rivals.kayenta_high(rivals.hodges_lehmann(control - 5.0, control))
    assert not rivals.kayenta_high(rivals.hodges_lehmann(control + 5.0, control), allowed=2.0)


def test_pipecds_rank_test_passes_two_empty_sides_and_fails_one() -> None:
    empty, some = np.full(5, np.nan), np.arange(5.0)
    assert rivals.rank_test(empty, empty) == 1.0
    assert rivals.rank_test(some, empty) == 0.0
    assert rivals.rank_test(np.ones(5), np.ones(5)) == 1.0
    assert rivals.rank_test(some + 10.0, some) == pytest.approx(2.0 / math.comb(10, 5))
    scores = rivals.pipecd_scores((some + 10.0)[None, :], some[None, :])
    assert rivals.PIPECD.alarms(scores).tolist() == [10.0]
    assert rivals.PIPECD.alarms(rivals.pipecd_scores(some[None, :], some[None, :])).tolist() == [NEVER]


def test_fishers_test_is_that_of_scipy() -> None:
    draws = rng(3)
    n, m = draws.integers(20, 400, 50), draws.integers(20, 4000, 50)
    x, y = draws.binomial(n, 0.08), draws.binomial(m, 0.05)
    found = rivals.fisher(*(one.astype(np.float64) for one in (x, n, y, m)))
    for a, b, c, d, p in zip(x, n, y, m, found, strict=True):
        if a * (b + d) > (a + c) * b:
            assert p == pytest.approx(stats.fisher_exact([[a, b - a], [c, d - c]], alternative="greater")[1], rel=1e-9)
        else:
            assert p == 1.0


def test_minutes_without_data_fail_for_flagger_and_are_errors_for_argo() -> None:
    minutes = np.full((3, 12), 0.001)
    minutes[0, 3], minutes[1, 2:6], minutes[2, 2:7] = np.nan, np.nan, np.nan
    for row, alarm in zip(minutes, (0.0, 0.0, 14.0), strict=True):
        kinds = [argo_measurement(None if math.isnan(v) else v, success_below=0.01, failure_above=None) for v in row]
        assert argo(kinds, 0).tick * 2 == alarm
        assert rivals.ARGO_0.alarms(rivals.argo_scores(row[None, :])).tolist() == [alarm]
    assert rivals.FLAGGER_1.alarms(rivals.flagger_scores(minutes)).tolist() == [10.0, 8.0, 8.0]


@pytest.mark.parametrize(
    ("rule", "machine"),
    [
        (rivals.FLAGGER_1, lambda oks: flagger(oks, 1)),
        (rivals.FLAGGER_5, lambda oks: flagger(oks, 5)),
        (rivals.ARGO_0, lambda oks: argo([Measurement.SUCCESSFUL if ok else Measurement.FAILED for ok in oks], 0)),
        (rivals.ARGO_3, lambda oks: argo([Measurement.SUCCESSFUL if ok else Measurement.FAILED for ok in oks], 3)),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_rules_over_many_releases_are_the_state_machines(
    rule: rivals.Rule, machine: Callable[[list[bool]], Fate]
) -> None:
    scores = rng(4).choice([0.0, 0.005, 0.02, np.inf], p=[0.45, 0.45, 0.05, 0.05], size=(400, 30))
    looks = rule.alarms(scores)
    for one, look in zip(scores, looks, strict=True):
        fate = machine([value <= rule.threshold for value in one])
        expected = fate.tick if fate.end is End.ROLLED_BACK and fate.tick <= 30 else 0
        assert look == expected * rule.every
    assert 0 < int((looks != NEVER).sum()) < 400


@pytest.mark.parametrize("rule", rivals.RULES, ids=lambda one: one.name)
def test_a_tuned_rule_rolls_back_as_many_healthy_releases_as_asked(rule: rivals.Rule) -> None:
    scores = rng(5).normal(size=(400, 30))
    for rate in (0.0, 0.01, 0.1):
        rolled = float((rule.alarms(scores, rule.threshold_for(scores, rate)) != NEVER).mean())
        assert rolled <= rate
        assert rolled >= rate - 1.0 / 400


# Fleets.


def test_a_release_moves_pods_in_stages_and_knows_their_births() -> None:
    layout = fleets.release_layout(MODERATE)
    assert layout.alive.sum(axis=0).tolist() == [10] * LOOKS
    assert layout.alive[layout.contender].sum(axis=0)[[0, 19, 20, 39, 40, 59]].tolist() == [1, 1, 3, 3, 5, 5]
    assert layout.births() == {
        "new-0": NOW,
        **dict.fromkeys(("new-1", "new-2"), NOW + 600.0),
        **dict.fromkeys(("new-3", "new-4"), NOW + 1200.0),
    }
    assert layout.age()[1, 20] == 0.5 * WINDOW


def test_the_same_seed_draws_the_same_releases() -> None:
    one, other = (fleets.releases_of(rng(6), MODERATE, Harm(2.0), 3) for _ in range(2))
    assert (one.events == other.events).all()
    assert not (one.events == fleets.releases_of(rng(7), MODERATE, Harm(2.0), 3).events).all()


@pytest.mark.parametrize(
    ("harm", "factors"),
    [
        (Harm(), (1.0, 1.0)),
        (Harm(3.0, onset=24), (1.0, 3.0)),
        (Harm(3.0, onset=59, ramp=4), (1.0, 3.0**0.25)),
        (Harm(10.0, one_pod=True), (10.0, 10.0)),
        (Harm(2.0, young=0.5, young_seconds=3e5), (3.0, 3.0)),
    ],
)
def test_a_harm_multiplies_the_first_pods_errors(harm: Harm, factors: tuple[float, float]) -> None:
    layout = fleets.release_layout(CLEAN)
    found = fleets.excess(layout, harm)
    assert found[0, [0, 59]] == pytest.approx(factors, rel=5e-3)
    assert (found[layout.contenders :] == 1.0).all()
    if harm.one_pod:
        assert (found[1:] == 1.0).all()


def test_rates_and_noise_are_those_of_the_world() -> None:
    world = replace(MODERATE, shock=0.0, weight_sd=0.0, rate=1e5)
    drawn = fleets.draw(rng(8), world, fleets.steady_layout(10, LOOKS), 400)
    level = np.log(drawn.rate / world.base)
    pods = level.mean(axis=2)
    inside = (level - pods[:, :, None]).ravel()
    window = math.log1p(world.window_cv2)
    left = window * _ar1_mean(world.memory, LOOKS)
    assert pods.var() == pytest.approx(world.pod_sd**2 + left, rel=0.1)
    assert inside.var() == pytest.approx(window - left, rel=0.03)
    assert np.corrcoef(level[:, :, :-1].ravel(), level[:, :, 1:].ravel())[0, 1] == pytest.approx(0.63, abs=0.03)
    batch = fleets.errors(rng(9), drawn, Harm())
    assert batch.events.sum() / batch.requests.sum() == pytest.approx(drawn.rate.mean(), rel=0.01)
    assert drawn.rate.mean() == pytest.approx(world.base * math.exp(world.pod_sd**2 / 2), rel=0.01)


def _ar1_mean(memory: float, windows: int) -> float:
    lags = np.abs(np.subtract.outer(np.arange(windows), np.arange(windows)))
    return float((memory**lags).mean())


def test_a_shifted_mix_has_more_errors_and_the_routes_add_up() -> None:
    batch = fleets.releases_of(rng(10), replace(CLEAN, shock=0.0, rate=2000.0), Harm(pay=0.35), 5)
    assert batch.routes is not None
    asked, failed = batch.routes
    assert (asked.sum(axis=0) == batch.requests).all()
    assert (failed.sum(axis=0) == batch.events).all()
    mine = batch.layout.contender
    rate = [batch.events[:, side].sum() / batch.requests[:, side].sum() for side in (mine, ~mine)]
    assert rate[1] == pytest.approx(0.005, rel=0.02)
    assert rate[0] / rate[1] == pytest.approx((0.65 + 0.35 * 8.5) / (0.8 + 0.2 * 8.5), rel=0.03)
    by_route = failed.sum(axis=(1, 2, 3)) / asked.sum(axis=(1, 2, 3))
    assert by_route[1] / by_route[0] == pytest.approx(8.5, rel=0.03)


def test_holes_void_pod_windows_and_nothing_else() -> None:
    whole = fleets.releases_of(rng(11), MODERATE, Harm(), 20)
    lost = fleets.missed_scrapes(rng(12), whole, 0.2)
    holed = whole.with_holes(lost)
    assert lost.mean() == pytest.approx(0.36, abs=0.01)
    assert (holed.requests[lost] == 0.0).all()
    assert (holed.requests[~lost] == whole.requests[~lost]).all()
    assert (holed.events.sum(axis=2) <= whole.events.sum(axis=2)).all()


def test_history_is_other_pods_at_other_times() -> None:
    segments = fleets.history(rng(13), MODERATE, 84)
    assert len({one.pods for one in segments}) == 84
    begins = [float(one.ends[0]) - WINDOW for one in segments]
    assert begins[0] == 0.0
    assert begins == sorted(begins)
    assert begins[-1] < NOW
    assert not any(one.contender.any() for one in segments)


def test_one_fleet_keeps_its_pods_while_its_noise_changes() -> None:
    loud = replace(MODERATE, pod_sd=1.0)
    told = fleets.one_fleet(rng(14), [(240, replace(MODERATE, pod_sd=0.0, rate=1e5)), (120, replace(loud, rate=1e5))])
    assert told.ends.size == 360
    assert float(told.ends[-1]) == NOW
    level = np.log(told.events / told.exposure)
    assert level[:, :240].mean(axis=1).std() < 0.15
    assert level[:, 240:].mean(axis=1).std() > 0.5


def test_percentiles_are_those_of_a_histogram() -> None:
    slow = fleets.latencies(
        rng(15), fleets.draw(rng(16), MODERATE, fleets.release_layout(MODERATE), 2), Slowness(1.5, 0.02)
    )
    mine = slow.batch.layout.contender
    found = percentile(slow.batch.requests[:, mine].sum(axis=1), slow.slower[:, :, mine].sum(axis=2))
    for number in range(2):
        minute = slow.histogram(number)
        minute = replace(
            minute, slower=minute.slower[:, :, 50:52], tally=minute.tally.keep_windows(np.arange(60) // 2 == 25)
        )
        assert found[number, 25] == pytest.approx(histogram_quantile(minute, 0.95, contender=True), rel=1e-9)


def test_slow_contenders_are_slower() -> None:
    drawn = fleets.draw(rng(17), replace(CLEAN, shock=0.0), fleets.release_layout(CLEAN), 20)
    for wrong in (Slowness(), Slowness(2.0), Slowness(slow_share=0.02)):
        slow = fleets.latencies(rng(18), drawn, wrong, speed_sd=0.0)
        mine = slow.batch.layout.contender
        for bound, above in zip(fleets.BOUNDS, slow.slower, strict=True):
            for side, scale, tail in ((mine, wrong.scale, wrong.slow_share), (~mine, 1.0, 0.0)):
                usual = stats.lognorm.sf(bound, 0.8, scale=0.08 * scale)
                # A slow request takes two seconds more, whatever it took.
                due = usual + tail * (1.0 - usual) * (bound < 2.5)
                found = above[:, side].sum() / slow.batch.requests[:, side].sum()
                assert found == pytest.approx(due, rel=0.03, abs=3e-5)


# Our own rule: what runs in bulk is what the comparison says look by look.


def framed(batch: Batch, look: int) -> Frame:
    names, last = batch.layout.names, batch.layout.contenders
    groups = Groups(names[:last], names[last:], reporting=(), born=batch.layout.births())
    return Frame(groups, ((NOW, NOW + look * WINDOW),), WINDOW)


def errors_look_by_look(batch: Batch, learned: LearnedCounts | None) -> tuple[list[float], list[float]]:
    """The looks at which each release is first Degraded, and first leaning so much that it waits."""
    degraded, leaning = [], []
    for number in range(len(batch)):
        tally = batch.tally(number)
        said = [
            ratio.judge(tally.keep_windows(np.arange(LOOKS) < look), learners.SETTINGS, framed(batch, look), learned)
            for look in range(1, LOOKS + 1)
        ]
        degraded.append(next((k + 1.0 for k, one in enumerate(said) if one.verdict is Verdict.DEGRADED), NEVER))
        over = (k + 1.0 for k, one in enumerate(said) if learned and one.log_evidence > learned.calibration.pause)
        leaning.append(next(over, NEVER))
    return degraded, leaning


def taught(world: World, routes: bool = False, rollouts: tuple[Batch, ...] = ()) -> learners.Lesson:
    history = fleets.history(rng(19), world, 12, pay=routes)
    return learners.learned_errors(history, rng(20), rollouts, routes=routes)


@pytest.mark.parametrize("case", ["plain", "quiet", "holes", "young", "mix"])
def test_errors_in_bulk_are_the_comparison_look_by_look(case: str) -> None:
    world = QUIET if case == "quiet" else MODERATE
    young = Harm(young=0.5, young_seconds=180.0)
    past = fleets.rollouts(rng(21), world, young, 6) if case == "young" else ()
    lesson = taught(world, routes=case == "mix", rollouts=past)
    known = lesson.counts
    assert known is not None, lesson.standing
    assert (known.age is not None) == (case == "young")
    assert bool(known.mix) == (case == "mix")
    harm = replace(young if case == "young" else Harm(), factor=2.5, pay=0.35 if case == "mix" else None)
    batch = fleets.releases_of(rng(22), world, harm, 3)
    if case == "holes":
        batch = batch.with_holes(fleets.missed_scrapes(rng(23), batch, 0.2))
    adjusted = lesson.adjusted(batch.layout.births())
    bulk = judged(batch, known, np.full(4, 0.005), adjusted=adjusted, with_rivals=False).alarms
    degraded, leaning = errors_look_by_look(batch, known)
    assert bulk[OURS].tolist() == degraded
    assert bulk[PAUSE].tolist() == leaning
    assert any(degraded)


def test_assumed_noise_in_bulk_is_the_comparison_without_history() -> None:
    batch = fleets.releases_of(rng(24), MODERATE, Harm(3.0), 3)
    bulk = judged(batch, None, np.full(4, 0.005), with_rivals=False).alarms
    degraded, _ = errors_look_by_look(batch, None)
    assert bulk[ASSUMED].tolist() == degraded
    assert any(degraded)
    assert OURS not in bulk


def test_latency_in_bulk_is_the_comparison_look_by_look() -> None:
    lesson = learners.learned_latency(fleets.slow_history(rng(25), MODERATE, 12), rng(26))
    known = lesson.latency
    assert isinstance(known, LearnedLatency), lesson.standing
    slow = fleets.latencies(rng(27), fleets.draw(rng(28), MODERATE, fleets.release_layout(MODERATE), 3), Slowness(1.3))
    bulk = judged_latency(slow, known, np.full(4, 0.3)).alarms[OURS]
    for number in range(3):
        whole = slow.histogram(number)
        for look in EVERY_FIVE:
            said = latency.judge(whole.first(look), latency_settings(), framed(slow.batch, look), known)
            # Degraded at an earlier look need not last: the looks before the first one must all be quiet.
            if look < bulk[number] or bulk[number] == NEVER:
                assert said.verdict is not Verdict.DEGRADED
        at = int(bulk[number])
        if at:
            said = latency.judge(whole.first(at), latency_settings(), framed(slow.batch, at), known)
            assert said.verdict is Verdict.DEGRADED
    assert bulk.any()


def test_the_first_of_several_gates_ends_the_release() -> None:
    histories = [fleets.history(rng(29, k), MODERATE, 12) for k in range(2)]
    lessons = learners.learned_gates(histories, rng(30))
    drawn = fleets.draw(rng(31), MODERATE, fleets.release_layout(MODERATE), 10)
    batches = [
        fleets.errors(rng(32), drawn, Harm(3.0)),
        fleets.errors(rng(33), fleets.another_metric(rng(34), MODERATE, drawn), Harm()),
    ]
    usual = np.full(4, 0.005)
    both = judged_gates(batches, [one.counts for one in lessons], usual).alarms
    each = [judged(b, one.counts, usual).alarms for b, one in zip(batches, lessons, strict=True)]
    for rule in (OURS, rivals.FISHER.name, rivals.ARGO_0.name, rivals.KAYENTA.name):
        first = [
            min((look for look in pair if look), default=NEVER) for pair in zip(*(e[rule] for e in each), strict=True)
        ]
        assert both[rule].tolist() == first
    assert both[OURS].any()


def test_learning_is_the_same_whichever_process_does_it() -> None:
    number = next(n for n, study in enumerate(STUDIES) if study.name == "20 segments")
    sizes = Sizes(services=1, healthy=4, margin=1, harmful=2)
    one, other = (running.run_service(number, 5, 77, sizes) for _ in range(2))
    assert not one.failed
    for cell in one.cells:
        for rule, looks in one.cells[cell].alarms.items():
            assert looks.tolist() == other.cells[cell].alarms[rule].tolist()
    assert one.standing.startswith("calibrated")


def test_after_noise_has_changed_the_service_learns_anew() -> None:
    number = next(n for n, study in enumerate(STUDIES) if study.name.startswith("from S1 to S2 three"))
    ran = running.run_service(number, 0, 77, Sizes(services=1, healthy=1, margin=1, harmful=1))
    assert ran.standing.startswith("noise changed"), ran.failed or ran.standing


# The report.


def test_a_goal_is_met_or_missed_and_only_a_rate_beyond_chance_breaks_a_promise() -> None:
    fine = Row("g", "c", OURS, FALSE_ROLLBACK, 0.012, 0.008, 0.017, 4000, "<= 0.01")
    broken = replace(fine, low=0.0101)
    other = replace(broken, rule="Kayenta")
    power = Row("g", "c", OURS, "caught", 0.9, 0.8, 0.95, 600, ">= 0.9")
    assert (fine.met, fine.broken) == (False, False)
    assert (broken.met, broken.broken) == (False, True)
    assert (other.broken, power.met, replace(power, goal="").met) == (False, True, None)
    lines = table([fine, broken, power], [Absent("real memory", "no folder")])
    assert "missed" in lines[2]
    assert "BROKEN" in lines[3]
    assert lines[4].rstrip(" |").endswith("met")
    assert lines[5] == "real memory: not measured: no folder"
    told = as_json([replace(power, value=math.inf)], [])
    assert told["rows"][0]["value"] is None
    assert told["rows"][0]["interval"] == [0.8, 0.95]


def test_an_interval_counts_releases_of_one_service_for_less_when_services_differ() -> None:
    even = share("g", "c", "r", "f", [1] * 10, [100] * 10)
    uneven = share("g", "c", "r", "f", [10] + [0] * 9, [100] * 10)
    assert even.value == uneven.value == 0.01
    assert (even.low, even.high) == pytest.approx(clopper_pearson(10, 1000))
    assert uneven.low < even.low < even.high < uneven.high
    exact = stats.binomtest(10, 1000).proportion_ci(method="exact")
    assert (even.low, even.high) == pytest.approx((exact.low, exact.high))


def test_information_is_nothing_without_events_and_a_known_amount_with_them() -> None:
    odds, events = np.full((1, 3), 1.0), np.array([[0.0, 10.0, 5.0]])
    found = report.information(events, odds, 3.0)
    each = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert found[0].tolist() == pytest.approx([0.0, 10.0 * each, 15.0 * each])


def test_every_study_says_how_often_it_is_wrong() -> None:
    names = [(study.group, study.name) for study in STUDIES]
    assert len(set(names)) == len(names)
    for study in STUDIES:
        if study.group == "early advance":
            continue
        calm = [cell for cell in study.cells if cell.kind is Kind.HEALTHY]
        assert len(calm) == 1, study.name
        assert calm[0].goals == {FALSE_ROLLBACK: f"<= {ALPHA:g}"}


def test_the_command_prints_every_group_and_names_what_is_absent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Sizes(services=2, healthy=3, margin=3, harmful=3)
    monkeypatch.setattr(bench, "QUICK", tiny)
    file = tmp_path / "out.json"
    asked = ["--quick", "--only", "thin history", "--only", "real memory", "--seed", "3", "--json", str(file)]
    assert bench.main(asked) == 0
    said = capsys.readouterr().out
    assert "thin history: 20 segments" in said
    assert "real memory: not measured: no folder of real series was given (--data DIR)" in said
    assert '"false rollback"' in file.read_text()


def test_published_tables_are_written_between_their_markers(tmp_path: Path) -> None:
    cell = "S1 pod sd .10: healthy"
    rows = [
        Row("errors", cell, OURS, FALSE_ROLLBACK, 0.005, 0.002, 0.01, 4200, "<= 0.01"),
        Row("errors", cell, "Kayenta", FALSE_ROLLBACK, 0.03, 0.02, 0.04, 4200),
        Row("errors", "S1 pod sd .10: errors x3", OURS, "caught", 1.0, 0.99, 1.0, 600),
        Row("errors", "S1 pod sd .10: errors x3", OURS, "median minutes", math.inf, n=600),
        Row("errors", "S1 pod sd .10: errors x3", OURS, "p90 minutes", 11.0, n=600),
        Row("errors", "S1 pod sd .10: errors x3", "Kayenta, tuned", "caught", 1.0, 0.99, 1.0, 600),
        Row("errors", "S1 pod sd .10: errors x3", "Kayenta, tuned", "median minutes", math.inf, n=600),
        Row("real memory", "one role: x2", OURS, "caught", 0.97, 0.9, 0.99, 96, ">= 0.95"),
    ]
    file = tmp_path / "run.json"
    file.write_text(json.dumps(as_json(rows)))
    tables = page.sections(page.read(file))
    assert tables["healthy"][2].startswith("| errors | S1 pod sd .10 | 4200 | 0.50 [0.20, 1.00] |  |  |")
    assert "| 3.0 |" in tables["healthy"][2]
    assert tables["caught"][2] == "| S1 pod sd .10: errors x3 | 600 | 1.00 [0.99, 1.00] | never | 11 |  |  |"
    assert tables["lost"][2:] == []
    assert tables["goals"][2].endswith("| 4200 | <= 0.01 | yes |")
    document = "a\n<!-- figures: healthy -->\nold\n<!-- end of healthy -->\nz\n"
    once = page.written(document, tables)
    assert once.startswith("a\n<!-- figures: healthy -->\n\n| group |")
    assert once.endswith("\n<!-- end of healthy -->\nz\n")
    assert "old" not in once
    assert page.written(once, tables) == once
    with pytest.raises(ValueError, match="end of healthy"):
        page.written("<!-- figures: healthy -->", tables)
    with pytest.raises(ValueError, match="figures: NAME"):
        page.written("nothing", tables)
