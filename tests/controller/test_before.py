"""Where no incumbent serves beside the contender, its own minutes before the release are what it is held against."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.learned import Learned, NotLearned
from analysis.samples import CounterSeries
from analysis.verdict import Verdict
from controller import before
from controller.gates import judge, questions, replica_sets
from controller.release.observation import Observation
from controller.release.record import GateVerdict, Record, Span
from controller.release.vocabulary import Phase
from controller.requests.failure import Failure
from controller.requests.fetches import Counts, FetchCounts
from controller.settings import Source
from tests.controller.builders import a_policy, a_record, an_observation

SOURCE = Source(scrape=15.0, window=30.0)
STARTED = 1_700_000_010.0
SWITCHED = STARTED + 1800.0
NOW = SWITCHED + 600.0
RATE = 100.0  # requests a second and pod


def after_the_switch() -> Record:
    record = a_record(Phase.BATCH, 1, started=STARTED, stage_since=SWITCHED)
    earlier = Span(STARTED + 60.0, SWITCHED - 5.0)
    return replace(record, observing=(earlier, Span(SWITCHED + 5.0)))


def counted(pod: str, ask: FetchCounts, errors: float, *, since: float, until: float) -> CounterSeries:
    """A pod's counter from `since` to `until`: requests, or the share of them that failed."""
    times, values = [], []
    at = ask.start
    while at <= ask.end:
        if since <= at <= until:
            times.append(at)
            values.append(float(round(RATE * (at - since) * (errors if ask.term == "errors" else 1.0))))
        at += ask.step
    return CounterSeries(pod, None, tuple(times), tuple(values))


def look(
    errors_after: float,
    *,
    errors_before: float = 0.001,
    errors_in_preview: float = 0.001,
    learned: Learned | NotLearned | None = None,
) -> GateVerdict:
    """The verdict ten minutes after the switch; the incumbent had all requests up to it and none since."""
    policy, record = a_policy(), after_the_switch()
    seen = replace(an_observation(10, 10), now=NOW)
    gate = policy.spec.gates[0]
    span = before.instants(record, SOURCE, NOW)
    assert span is not None
    answers: dict[str, Counts | Failure] = {}
    for ask in questions(policy, gate, "shop", replica_sets(record), SOURCE, *span):
        assert isinstance(ask, FetchCounts)
        series = [
            counted(pod.name, ask, errors_before, since=STARTED - 7200.0, until=SWITCHED) for pod in seen.incumbents
        ]
        for pod in seen.contenders:
            preview = counted(pod.name, ask, errors_in_preview, since=STARTED + 30.0, until=NOW)
            live = counted(pod.name, ask, errors_after, since=SWITCHED, until=NOW)
            late = dict(zip(live.times, live.values, strict=True))
            held = max((v for t, v in zip(preview.times, preview.values, strict=True) if t <= SWITCHED), default=0.0)
            values = tuple(
                value if at <= SWITCHED else held + late[at]
                for at, value in zip(preview.times, preview.values, strict=True)
            )
            series.append(replace(preview, values=values))
        answers[ask.term] = Counts(tuple(series))
    return judge(gate, policy, record, seen, SOURCE, answers, learned, beside=False)


def test_a_version_that_fails_only_on_live_traffic_is_degraded() -> None:
    verdict = look(0.02)
    assert verdict.verdict is Verdict.DEGRADED
    assert verdict.because.endswith("(against the minutes before the release)")


def test_a_version_that_is_as_good_as_the_one_before_is_healthy() -> None:
    verdict = look(0.001)
    assert verdict.verdict is Verdict.HEALTHY
    assert verdict.observed == pytest.approx(570.0, abs=30.0)


def test_no_learned_threshold_is_promised_for_a_before_and_after() -> None:
    verdict = look(0.001, learned=NotLearned("TooLittleHistory", "whatever was learned"))
    assert any("BeforeAndAfter" in warning for warning in verdict.evidence["warnings"])


def test_what_the_preview_saw_is_not_counted_for_or_against_the_live_stage() -> None:
    assert look(0.001, errors_in_preview=0.5).verdict is Verdict.HEALTHY


def test_nothing_is_asked_before_the_first_window_of_the_stage_is_complete() -> None:
    record = after_the_switch()
    assert before.instants(record, SOURCE, SWITCHED + 40.0) is None
    span = before.instants(record, SOURCE, NOW)
    assert span is not None
    start, end = span
    assert start == STARTED - STARTED % 30.0 - before.MOST
    assert NOW - 60.0 < end <= NOW - SOURCE.scrape


def test_an_incumbent_whose_minutes_are_not_in_the_store_blinds() -> None:
    policy, record = a_policy(), after_the_switch()
    seen: Observation = replace(an_observation(10, 10), now=NOW)
    gate = policy.spec.gates[0]
    span = before.instants(record, SOURCE, NOW)
    assert span is not None
    answers: dict[str, Counts | Failure] = {}
    for ask in questions(policy, gate, "shop", replica_sets(record), SOURCE, *span):
        assert isinstance(ask, FetchCounts)
        answers[ask.term] = Counts(
            tuple(counted(pod.name, ask, 0.0, since=SWITCHED, until=NOW) for pod in seen.contenders)
        )
    assert judge(gate, policy, record, seen, SOURCE, answers, beside=False).verdict is Verdict.BLIND
