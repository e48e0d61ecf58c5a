"""One table of bad input against every kind of gate: each row yields a named state, never a verdict by accident.

The rows P* and B* are those of the fault catalogue that reach this layer. Hostile answers are applied to a fleet that
would be Healthy and to one that would be Degraded, to the contender and to the incumbents, so that none can pass or
fail by them. What history taught may be missing, thin, poisoned or of another gate: the gate then acts and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from analysis.comparisons import COMPARISONS, ComparisonInput, error_settings, ratio
from analysis.learned import (
    AgeCurve,
    Calibration,
    Guarantee,
    Learned,
    LearnedCounts,
    LearnedLatency,
    Noise,
    NotLearned,
    Scale,
    Standing,
    Variation,
)
from analysis.learning import CountHistory, learn
from analysis.samples import CounterSeries, Frame, Groups
from analysis.verdict import Absence, NoData, Verdict
from tests.analysis.builders import SLOW, START, WINDOW, a_fleet, counter, instant
from tests.bench.decisions import fleets
from tests.bench.decisions.fleets import Harm
from tests.bench.decisions.learners import PLAN
from tests.bench.worlds import MODERATE

WINDOWS = 60
NAN, INF = float("nan"), float("inf")
COUNTED = ("errorRatio", "latency", "throughput")
Edited = CounterSeries | list[CounterSeries] | None
Edit = Callable[[CounterSeries], Edited]


def asked(kind: str, world: str, learned: Learned | NotLearned | None = None) -> ComparisonInput:
    fleet, good = a_fleet().lasting(WINDOWS).having_learned(learned), world == "good"
    match kind:
        case "errorRatio":
            return (fleet if good else fleet.with_errors(contender=0.10)).question()
        case "latency":
            return (fleet if good else fleet.with_latency(contender=SLOW)).latency_question()
        case "throughput":
            return fleet.throughput_question(contender=1.0 if good else 0.2)
        case "gauge":
            return fleet.gauge_question(contender=0.8 if good else 3.0)
    raise AssertionError(f"this table has no fleet for {kind}")


def edited(question: ComparisonInput, pod: str, edit: Edit) -> ComparisonInput:
    """Apply an edit to all series of a pod in all terms; None from an edit removes a series, a list replaces it."""
    terms: dict[str, tuple[CounterSeries, ...]] = {}
    for name, many in question.terms.items():
        out: list[CounterSeries] = []
        for one in many:
            changed = edit(one) if one.pod == pod else one
            if isinstance(changed, list):
                out.extend(changed)
            elif changed is not None:
                out.append(changed)
        terms[name] = tuple(out)
    return replace(question, terms=terms)


def last(value: float) -> Edit:
    return lambda s: replace(s, values=(*s.values[:-1], value))


@dataclass(frozen=True)
class Row:
    """What is done to a side's series, what the gates must then call it, and which kinds it concerns."""

    edit: Edit
    reason: NoData
    kinds: tuple[str, ...] = (*COUNTED, "gauge")


HOSTILE = {
    "P7 empty vector": Row(lambda s: None, NoData.NO_SERIES, COUNTED),
    "P7 series without samples": Row(lambda s: replace(s, times=(), values=()), NoData.NO_SERIES, COUNTED),
    "P8 NaN": Row(last(NAN), NoData.NON_FINITE),
    "P8 nothing but NaN": Row(lambda s: replace(s, values=(NAN,) * len(s.values)), NoData.NON_FINITE),
    "P9 +Inf": Row(last(INF), NoData.NON_FINITE),
    "P9 -Inf": Row(last(-INF), NoData.NON_FINITE),
    "P27 overflow to infinity": Row(last(float("1e400")), NoData.NON_FINITE),
    "negative value": Row(last(-1.0), NoData.NEGATIVE),
    "P10 stopped long ago": Row(
        lambda s: replace(s, times=s.times[:1], values=s.values[:1]), NoData.NO_SERIES, COUNTED
    ),
    "P12 one sample in the whole range": Row(
        lambda s: replace(s, times=s.times[9:10], values=s.values[9:10]), NoData.NO_SERIES, COUNTED
    ),
    "P12 every other scrape missing": Row(
        lambda s: replace(s, times=s.times[::2], values=s.values[::2]), NoData.NO_SERIES, COUNTED
    ),
    "P13 not scraped yet": Row(
        lambda s: replace(s, times=s.times[-1:], values=s.values[-1:]), NoData.NO_SERIES, COUNTED
    ),
    "P14 one series too many": Row(lambda s: [s, replace(s, values=tuple(v + 1 for v in s.values))], NoData.DUPLICATE),
    "P15 doubled by a pair of stores": Row(lambda s: [s, s], NoData.DUPLICATE),
    "P19 clocks apart": Row(lambda s: replace(s, times=tuple(t + 7.0 for t in s.times)), NoData.MISALIGNED),
    "P27 times that are not finite": Row(lambda s: replace(s, times=(*s.times[:-1], INF)), NoData.NON_FINITE),
    "times run backwards": Row(lambda s: replace(s, times=s.times[::-1]), NoData.DUPLICATE),
    "lengths differ": Row(lambda s: replace(s, values=s.values[:-1]), NoData.MALFORMED),
    "bucket text is no number": Row(lambda s: replace(s, le="wide"), NoData.MALFORMED, COUNTED),
    "P21 a bucket where a number is asked": Row(
        lambda s: replace(s, le="0.5" if s.le is None else None), NoData.WRONG_TYPE
    ),
    "P11 a reset in every window": Row(
        lambda s: counter(s.pod, [float(1000 - k) for k in range(WINDOWS + 1)], s.le), NoData.NO_SERIES, COUNTED
    ),
    "P24 constant counters": Row(
        lambda s: replace(s, values=(5.0,) * len(s.values)), NoData.NO_TRAFFIC, ("errorRatio", "latency")
    ),
}
CASES = [(name, kind) for name, row in HOSTILE.items() for kind in row.kinds]


def test_the_table_covers_every_kind_of_gate() -> None:
    assert {kind for row in HOSTILE.values() for kind in row.kinds} == set(COMPARISONS)


@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_the_fleets_of_this_table_do_pass_and_fail_without_hostility(kind: str) -> None:
    assert COMPARISONS[kind](asked(kind, "good")).verdict is Verdict.HEALTHY
    assert COMPARISONS[kind](asked(kind, "bad")).verdict is Verdict.DEGRADED


@pytest.mark.parametrize("side", ["contender", "incumbent"])
@pytest.mark.parametrize("world", ["good", "bad"])
@pytest.mark.parametrize(("row", "kind"), CASES)
def test_nothing_advances_or_fails_on_unusable_data(row: str, kind: str, world: str, side: str) -> None:
    question = asked(kind, world)
    groups = question.frame.groups
    for pod in groups.contender if side == "contender" else groups.incumbent:
        question = edited(question, pod, HOSTILE[row].edit)
    found = COMPARISONS[kind](question)
    assert found.verdict is Verdict.BLIND
    assert found.no_data is HOSTILE[row].reason


@pytest.mark.parametrize("reason", list(NoData))
@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_an_answer_unusable_as_a_whole_is_blind_whatever_else_is_there(kind: str, reason: NoData) -> None:
    # P1-P6, P20, P21, a query that timed out: the reader of the store says why; series beside it are not read.
    for world in ("good", "bad"):
        found = COMPARISONS[kind](replace(asked(kind, world), unread=Absence(reason, "the store said so")))
        assert found.verdict is Verdict.BLIND
        assert found.no_data is reason


@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_one_hostile_pod_among_many_is_not_quietly_dropped(kind: str) -> None:
    # The bad pod is the one whose numbers break: judging the others alone would pass it.
    question = asked(kind, "good")
    for pod in ("new-0", "old-3"):
        assert COMPARISONS[kind](edited(question, pod, last(NAN))).no_data is NoData.NON_FINITE


@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_no_pods_no_spans_no_terms(kind: str) -> None:
    question = asked(kind, "bad")
    nobody = Frame(Groups((), ()), ((START, instant(9)),), WINDOW)
    assert COMPARISONS[kind](ComparisonInput(nobody, question.settings)).verdict is Verdict.BLIND
    assert COMPARISONS[kind](replace(question, terms={})).no_data is NoData.NO_SERIES
    unsettled = replace(question, frame=replace(question.frame, settled=()))
    assert COMPARISONS[kind](unsettled).no_data is NoData.NO_WINDOW


@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_a_metric_that_the_release_renamed_is_no_data_and_no_pass(kind: str) -> None:
    # P17: the new pods have no series of the old name, the old ones do.
    question = asked(kind, "good")
    for pod in question.frame.groups.contender:
        question = edited(question, pod, lambda s: None)
    assert COMPARISONS[kind](question).no_data is NoData.NO_SERIES


@pytest.mark.parametrize("kind", COUNTED)
def test_a_hole_of_ten_minutes_costs_windows_and_changes_no_verdict(kind: str) -> None:
    def torn(s: CounterSeries) -> CounterSeries:
        return replace(s, times=s.times[:20] + s.times[40:], values=s.values[:20] + s.values[40:])

    for world, verdict in (("good", (Verdict.HEALTHY, Verdict.UNDECIDED)), ("bad", (Verdict.DEGRADED,))):
        question = edited(asked(kind, world), "new-0", torn)
        found = COMPARISONS[kind](question)
        assert found.verdict in verdict
        assert found.exposure.windows == WINDOWS - 21
        assert found.freshness.voided >= 21


@pytest.mark.parametrize("kind", COUNTED)
def test_a_reset_costs_a_window_and_changes_no_verdict(kind: str) -> None:
    # P11: the process started anew in window 31; counters go on from zero.
    def restarted(s: CounterSeries) -> CounterSeries:
        after = tuple(v - s.values[30] for v in s.values[31:])
        return replace(s, values=s.values[:31] + after)

    for world, verdict in (("good", Verdict.HEALTHY), ("bad", Verdict.DEGRADED)):
        found = COMPARISONS[kind](edited(asked(kind, world), "new-0", restarted))
        assert found.verdict is verdict
        assert found.exposure.windows == WINDOWS - 1


@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_random_damage_never_raises_and_a_blind_verdict_has_a_reason(kind: str) -> None:
    rng = np.random.default_rng(20)
    edits = [row.edit for row in HOSTILE.values()]
    for _ in range(60):
        question = asked(kind, str(rng.choice(["good", "bad"])))
        pods = question.frame.groups.contender + question.frame.groups.incumbent
        for _ in range(int(rng.integers(1, 6))):
            pod, edit = str(rng.choice(pods)), edits[int(rng.integers(len(edits)))]
            question = edited(question, pod, edit)
        found = COMPARISONS[kind](question)
        assert found.no_data is not None or found.verdict is not Verdict.BLIND
        found.to_dict()


@pytest.mark.parametrize("row", ["P7 empty vector", "P7 series without samples", "P10 stopped long ago"])
@pytest.mark.parametrize("world", ["good", "bad"])
def test_a_gauge_without_readings_of_a_side_has_nothing_to_compare(row: str, world: str) -> None:
    question = asked("gauge", world)
    alone = question
    for pod in question.frame.groups.incumbent:
        alone = edited(alone, pod, HOSTILE[row].edit)
    found = COMPARISONS["gauge"](alone)
    assert found.verdict not in (Verdict.HEALTHY, Verdict.DEGRADED)
    assert found.no_data is NoData.TOO_FEW_PODS
    for pod in question.frame.groups.contender:
        question = edited(question, pod, HOSTILE[row].edit)
    assert COMPARISONS["gauge"](question).no_data is NoData.NO_SERIES


# --- traffic --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COUNTED)
def test_without_traffic_on_either_side_nothing_is_healthy(kind: str) -> None:
    question = asked(kind, "good")
    for pod in question.frame.groups.contender + question.frame.groups.incumbent:
        question = edited(question, pod, lambda s: replace(s, values=(7.0,) * len(s.values)))
    found = COMPARISONS[kind](question)
    assert (found.verdict, found.no_data) == (Verdict.BLIND, NoData.NO_TRAFFIC)


@pytest.mark.parametrize("kind", COUNTED)
def test_a_night_of_hardly_any_traffic_is_undecided_or_blind(kind: str) -> None:
    # P23: three events per pod in half an hour.
    question = asked(kind, "good")
    for pod in question.frame.groups.contender + question.frame.groups.incumbent:
        question = edited(question, pod, lambda s: replace(s, values=tuple(float(k // 20) for k in range(WINDOWS + 1))))
    assert COMPARISONS[kind](question).verdict in (Verdict.UNDECIDED, Verdict.BLIND)


@pytest.mark.parametrize("kind", COUNTED)
def test_what_hits_both_sides_alike_is_not_the_version(kind: str) -> None:
    # B6: an outage of a dependency in the last ten minutes, in old and new pods alike.
    fleet = a_fleet().lasting(WINDOWS)
    question = {
        "errorRatio": fleet.with_errors(contender=0.2, incumbent=0.2).question,
        "latency": fleet.with_latency(contender=SLOW, incumbent=SLOW).latency_question,
        "throughput": fleet.serving(0.5).throughput_question,
    }[kind]()
    assert COMPARISONS[kind](question).verdict is not Verdict.DEGRADED


def test_ten_thousand_series_of_one_gate_are_counted_like_their_sum() -> None:
    pods, routes, windows = 100, 50, 4
    names = tuple(f"pod-{i:03}" for i in range(pods))
    frame = Frame(Groups(names[:10], names[10:]), ((START, instant(windows)),), WINDOW)
    times = tuple(instant(k) for k in range(windows + 1))

    def split(per_window: float) -> tuple[CounterSeries, ...]:
        return tuple(
            CounterSeries(pod, None, times, tuple(per_window * k for k in range(windows + 1)), f"/r{route}")
            for pod in names
            for route in range(routes)
        )

    def whole(per_window: float) -> tuple[CounterSeries, ...]:
        return tuple(
            CounterSeries(pod, None, times, tuple(routes * per_window * k for k in range(windows + 1))) for pod in names
        )

    settings = asked("errorRatio", "good").settings
    split_terms = {"requests": split(6.0), "errors": split(0.25)}
    assert sum(len(many) for many in split_terms.values()) == 10_000
    found = COMPARISONS["errorRatio"](ComparisonInput(frame, settings, split_terms))
    same = COMPARISONS["errorRatio"](ComparisonInput(frame, settings, {"requests": whole(6.0), "errors": whole(0.25)}))
    assert found == same
    assert found.exposure.incumbent_requests == 90 * 50 * 6 * 4


# --- what history taught ----------------------------------------------------------------------------------------------

NOISE = Noise(Variation((INF,), (0.01,)), 0.02)
BARS = Calibration(Scale(0.0, 1.0), Scale(0.0, 1.0), 3.0, 2.0, 2.0)
STANDING = Standing(Guarantee.CALIBRATED, 0.01, 40, 240, (0.0, 0.02))
COUNTS = LearnedCounts(NOISE, 0.005, BARS, STANDING)
LATENCY = LearnedLatency((), BARS, STANDING)


def bars(change: float = 3.0, margin: float = 2.0) -> LearnedCounts:
    return replace(COUNTS, calibration=replace(BARS, change=change, margin=margin))


UNUSABLE: dict[str, Learned | NotLearned] = {
    "B1 cold start": NotLearned("TooLittleHistory", "2 h of 3 h"),
    "B1 no series in history": NotLearned("NoTraffic", "no request in 40 segments of history"),
    "P22 the store has lost its past": NotLearned("Gaps", "31 % of the points of 14 days"),
    "B8 another kind of gate": LATENCY,
    "B8 a threshold that is no number": bars(change=NAN),
    "B8 a threshold that nothing exceeds": bars(change=INF),
    "B8 a margin that is no number": bars(margin=NAN),
    "B8 a scale of zero": replace(COUNTS, calibration=replace(BARS, first=Scale(0.0, 0.0))),
    "B8 a negative variance": replace(COUNTS, noise=replace(NOISE, variation=Variation((INF,), (-0.01,)))),
    "B8 a variance that is no number": replace(COUNTS, noise=replace(NOISE, variation=Variation((INF,), (NAN,)))),
    "B8 a prior of no width": replace(COUNTS, noise=replace(NOISE, prior_sd=0.0)),
    "B8 a temper that is no number": replace(COUNTS, noise=replace(NOISE, temper=NAN)),
    "B8 a correlation of one": replace(COUNTS, noise=replace(NOISE, rho=1.0)),
    "B8 pods that are never born": replace(COUNTS, age=AgeCurve(-1.5, 60.0)),
    "B8 a route of no weight": replace(COUNTS, mix=(("/a", 0.0),)),
}


@pytest.mark.parametrize("kind", ["errorRatio", "throughput"])
@pytest.mark.parametrize("row", list(UNUSABLE))
def test_without_usable_history_a_gate_acts_on_assumed_noise_and_says_so(row: str, kind: str) -> None:
    for world in ("good", "bad"):
        plain, found = COMPARISONS[kind](asked(kind, world)), COMPARISONS[kind](asked(kind, world, UNUSABLE[row]))
        assert replace(found, warnings=()) == plain
        assert len(found.warnings) == 1 and found.warnings[0].startswith("noise is assumed")
        assert found.standing.guarantee is Guarantee.ASSUMED


@pytest.mark.parametrize(
    "learned",
    [
        NotLearned("TooLittleHistory", "2 h of 3 h"),
        COUNTS,
        LATENCY,
        replace(LATENCY, calibration=replace(BARS, pause=NAN)),
    ],
)
def test_the_same_for_latency(learned: Learned | NotLearned) -> None:
    for world in ("good", "bad"):
        plain, found = (
            COMPARISONS["latency"](asked("latency", world)),
            COMPARISONS["latency"](asked("latency", world, learned)),
        )
        assert replace(found, warnings=()) == plain
        assert found.warnings[0].startswith("noise is assumed")


@pytest.mark.parametrize("kind", ["errorRatio", "throughput"])
def test_pods_that_never_differed_make_a_band_of_chance_and_not_of_nothing(kind: str) -> None:
    # B4: zero variance.
    still = replace(COUNTS, noise=Noise(Variation((INF,), (0.0,)), 1e-6))
    found = COMPARISONS[kind](asked(kind, "good", still))
    assert found.verdict in (Verdict.HEALTHY, Verdict.UNDECIDED)
    assert all(map(math.isfinite, (found.log_evidence, found.margin_evidence)))
    assert COMPARISONS[kind](asked(kind, "bad", still)).verdict is Verdict.DEGRADED


def test_a_history_poisoned_by_an_incident_costs_power_and_stops_nobody() -> None:
    # B2: in a quarter of the segments three pods failed thirty times as often, and nobody left that out.
    rng, settings = np.random.default_rng(1), error_settings()
    clean = fleets.history(rng, MODERATE, 40)
    poisoned = []
    for number, segment in enumerate(clean):
        events = segment.events.copy()
        if number % 4 == 0:
            events[:3, 15:45] += rng.poisson(29.0 * 0.005 * segment.exposure[:3, 15:45])
        poisoned.append(replace(segment, events=events))
    told = [
        learn({"errors": CountHistory(tuple(many))}, {"errors": settings}, PLAN, alpha=0.01, pause_alpha=0.05, seed=2)
        for many in (clean, poisoned)
    ]

    def stopped(learned: Learned | NotLearned, factor: float) -> int:
        batch = fleets.releases_of(np.random.default_rng(3), MODERATE, Harm(factor), 30)
        found = []
        for number in range(len(batch)):
            tally = batch.tally(number)
            ours = tuple(np.array(tally.pods)[tally.contender].tolist())
            groups = Groups(ours, tuple(pod for pod in tally.pods if pod not in ours), reporting=())
            frame = Frame(groups, ((float(tally.ends[0]) - WINDOW, float(tally.ends[-1])),), WINDOW)
            found.append(ratio.judge(tally, settings, frame, learned).verdict)
        return sum(verdict is Verdict.DEGRADED for verdict in found)

    known, blurred = (one["errors"] for one in told)
    assert isinstance(known, LearnedCounts) and isinstance(blurred, LearnedCounts)
    assert stopped(blurred, 1.0) == 0
    assert stopped(blurred, 3.0) < stopped(known, 3.0) == 30
