"""A table of hostile answers against every comparison: on unusable data nothing is ever Healthy or Degraded.

The rows are those of the fault catalogue that reach this layer. Each is applied to a fleet that would be Healthy and to
one that would be Degraded, to the contender and to the incumbent, so that a hostile answer can neither pass nor fail.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparisons import COMPARISONS, ComparisonInput, error_settings, latency_settings
from analysis.samples import CounterSeries, Frame, Groups
from analysis.verdict import Absence, Evidence, NoData, Verdict
from tests.analysis.builders import SLOW, START, WINDOW, a_fleet, counter, instant

WINDOWS = 60
NAN, INF = float("nan"), float("inf")


def asked(kind: str, world: str) -> ComparisonInput:
    fleet = a_fleet().lasting(WINDOWS)
    if kind == "errorRatio":
        return (fleet if world == "good" else fleet.with_errors(contender=0.10)).question()
    return (fleet if world == "good" else fleet.with_latency(contender=SLOW)).latency_question()


def edited(question: ComparisonInput, pod: str, edit: object) -> ComparisonInput:
    """Apply an edit to all series of a pod in all terms; None from an edit removes a series, a list replaces it."""
    terms: dict[str, tuple[CounterSeries, ...]] = {}
    for name, many in question.terms.items():
        out: list[CounterSeries] = []
        for one in many:
            changed = edit(one) if one.pod == pod else one  # type: ignore[operator]
            if isinstance(changed, list):
                out.extend(changed)
            elif changed is not None:
                out.append(changed)
        terms[name] = tuple(out)
    return replace(question, terms=terms)


def last(value: float) -> object:
    return lambda s: replace(s, values=(*s.values[:-1], value))


HOSTILE = {
    "P7 empty vector": (lambda s: None, NoData.NO_SERIES),
    "P7 series without samples": (lambda s: replace(s, times=(), values=()), NoData.NO_SERIES),
    "P8 NaN": (last(NAN), NoData.NON_FINITE),
    "P8 nothing but NaN": (lambda s: replace(s, values=(NAN,) * len(s.values)), NoData.NON_FINITE),
    "P9 +Inf": (last(INF), NoData.NON_FINITE),
    "P9 -Inf": (last(-INF), NoData.NON_FINITE),
    "P27 overflow to infinity": (last(float("1e400")), NoData.NON_FINITE),
    "negative count": (last(-1.0), NoData.NEGATIVE),
    "P10 stopped long ago": (lambda s: replace(s, times=s.times[:1], values=s.values[:1]), NoData.NO_SERIES),
    "P12 one sample in the whole range": (lambda s: replace(s, times=s.times[9:10], values=s.values[9:10]), None),
    "P12 every other scrape missing": (lambda s: replace(s, times=s.times[::2], values=s.values[::2]), None),
    "P13 not scraped yet": (lambda s: replace(s, times=s.times[-1:], values=s.values[-1:]), NoData.NO_SERIES),
    "P14 one series too many": (lambda s: [s, replace(s, values=tuple(v + 1 for v in s.values))], NoData.DUPLICATE),
    "P15 doubled by a pair of stores": (lambda s: [s, s], NoData.DUPLICATE),
    "P19 clocks apart": (lambda s: replace(s, times=tuple(t + 7.0 for t in s.times)), NoData.MISALIGNED),
    "P27 times that are not finite": (lambda s: replace(s, times=(*s.times[:-1], INF)), NoData.NON_FINITE),
    "times run backwards": (lambda s: replace(s, times=s.times[::-1]), NoData.DUPLICATE),
    "lengths differ": (lambda s: replace(s, values=s.values[:-1]), NoData.MALFORMED),
    "bucket text is no number": (lambda s: replace(s, le="wide"), NoData.MALFORMED),
    "a reset in every window": (
        lambda s: counter(s.pod, [float(1000 - k) for k in range(WINDOWS + 1)], s.le),
        NoData.NO_SERIES,
    ),
    "frozen counters": (lambda s: replace(s, values=(5.0,) * len(s.values)), NoData.NO_TRAFFIC),
}


def must_hold(found: Evidence) -> None:
    assert found.verdict not in (Verdict.HEALTHY, Verdict.DEGRADED), found.because


@pytest.mark.parametrize("side", ["contender", "incumbent"])
@pytest.mark.parametrize("world", ["good", "bad"])
@pytest.mark.parametrize("kind", list(COMPARISONS))
@pytest.mark.parametrize("row", list(HOSTILE))
def test_nothing_advances_or_fails_on_unusable_data(row: str, kind: str, world: str, side: str) -> None:
    edit, reason = HOSTILE[row]
    question = asked(kind, world)
    groups = question.frame.groups
    for pod in groups.contender if side == "contender" else groups.incumbent:
        question = edited(question, pod, edit)
    found = COMPARISONS[kind](question)
    must_hold(found)
    assert found.verdict is Verdict.BLIND
    if reason is not None:
        assert found.no_data is reason


@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_the_fleets_of_this_table_do_pass_and_fail_without_hostility(kind: str) -> None:
    assert COMPARISONS[kind](asked(kind, "good")).verdict is Verdict.HEALTHY
    assert COMPARISONS[kind](asked(kind, "bad")).verdict is Verdict.DEGRADED


@pytest.mark.parametrize("reason", list(NoData))
@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_an_answer_unusable_as_a_whole_is_blind_whatever_else_is_there(kind: str, reason: NoData) -> None:
    # P1-P6, P20, P21: the reader of the store says why; even good-looking series beside it are not read.
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
    settings = error_settings() if kind == "errorRatio" else latency_settings()
    nobody = Frame(Groups((), ()), ((START, instant(9)),), WINDOW)
    assert COMPARISONS[kind](ComparisonInput(nobody, settings)).verdict is Verdict.BLIND
    question = asked(kind, "bad")
    assert COMPARISONS[kind](replace(question, terms={})).no_data is NoData.NO_SERIES
    unsettled = replace(question, frame=replace(question.frame, settled=()))
    assert COMPARISONS[kind](unsettled).no_data is NoData.NO_WINDOW


@pytest.mark.parametrize("kind", list(COMPARISONS))
def test_random_damage_never_raises_and_a_blind_verdict_has_a_reason(kind: str) -> None:
    rng = np.random.default_rng(20)
    edits = [edit for edit, _ in HOSTILE.values()]
    for _ in range(60):
        question = asked(kind, str(rng.choice(["good", "bad"])))
        pods = question.frame.groups.contender + question.frame.groups.incumbent
        for _ in range(int(rng.integers(1, 6))):
            pod, edit = str(rng.choice(pods)), edits[int(rng.integers(len(edits)))]
            question = edited(question, pod, edit)
        found = COMPARISONS[kind](question)
        assert (found.no_data is not None) == (found.verdict is Verdict.BLIND)
        found.to_dict()
