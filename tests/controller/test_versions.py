"""Versions told apart by a label other than the pod: their values, the question, and what the answer means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.samples import CounterSeries
from analysis.verdict import Verdict
from controller.gates import instants, judge, questions, replica_sets
from controller.metrics.promql import compose
from controller.preflight import of_metrics
from controller.release.record import SlotRecord
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, FetchCounts
from controller.settings import Source
from controller.versions import ONE_SERIES, Sides, groups, incumbents, sides_of
from policies.schema import By
from tests.controller.builders import NOW, a_policy, a_record, an_observation

SOURCE = Source()
BY = {"label": "version", "incumbent": "$incumbentHash", "contender": "$contenderHash"}
EDGE = {
    "name": "edge",
    "errorRatio": {"errors": 'edge_requests_total{code=~"5.."}', "requests": "edge_requests_total"},
}
POLICY = a_policy(gates=[{**EDGE, "by": BY}])
GATE = POLICY.spec.gates[0]


def by(**changes: str) -> By:
    return By.model_validate({**BY, **changes})


def test_a_mark_is_the_hash_of_a_replica_set_and_a_value_stands_as_it_is() -> None:
    record = a_record()
    assert sides_of(by(), record) == Sides(("abc12",), ("abc12",))
    assert sides_of(by(incumbent="checkout-stable", contender="canary-$contenderHash"), record) == Sides(
        ("checkout-stable",), ("canary-abc12",)
    )
    restarted = replace(record, contender=SlotRecord("c", "u", "d", ("checkout-twin-aaaaa", "checkout-twin-bbbbb")))
    assert sides_of(by(), restarted).contender == ("aaaaa", "bbbbb")
    assert sides_of(by(), replace(record, contender=SlotRecord("c", "u", "d"))).contender == ()
    assert incumbents(by(), ("checkout-xyz",)) == ("xyz",)


def test_the_question_is_one_series_for_each_value_and_no_pod() -> None:
    asked = questions(POLICY, GATE, "shop", ("checkout-a",), SOURCE, NOW - 60.0, NOW, values=("v1.0", "v2|x"))
    assert [question.term for question in asked] == ["errors", "requests"]
    (_, requests) = asked
    assert isinstance(requests, FetchCounts)
    assert requests.replica_sets == ()
    assert compose(requests) == (
        'sum by (version) (last_over_time(edge_requests_total{namespace="shop",version=~"v1\\\\.0|v2\\\\|x"}[30s]))'
    )
    assert questions(POLICY, GATE, "shop", ("checkout-a",), SOURCE, NOW - 60.0, NOW) == ()


def test_the_namespace_may_stand_in_another_label() -> None:
    policy = a_policy(gates=[{**EDGE, "by": {**BY, "namespace": "exported_namespace"}}])
    (_, requests) = questions(policy, policy.spec.gates[0], "shop", (), SOURCE, NOW - 60.0, NOW, values=("a",))
    assert isinstance(requests, FetchCounts)
    assert 'exported_namespace="shop"' in compose(requests)


def counted(value: str, errors: float, total: float = 60_000.0) -> dict[str, CounterSeries]:
    """Ten minutes of an edge's counters of one version, at each window."""
    times = tuple(NOW // 30.0 * 30.0 - 600.0 + 30.0 * n for n in range(20))
    grown = tuple(total * n / 20.0 for n in range(20))
    return {
        "requests": CounterSeries(value, None, times, grown),
        "errors": CounterSeries(value, None, times, tuple(round(each * errors) * 1.0 for each in grown)),
    }


def verdict_of(contender: float, incumbent: float) -> tuple[Verdict, str]:
    record = replace(a_record(policy=POLICY), contender=SlotRecord("checkout-twin", "u", "d", ("checkout-twin-new00",)))
    ours, theirs = counted("new00", contender), counted("abc12", incumbent)
    answers = {term: Counts((ours[term], theirs[term])) for term in ("errors", "requests")}
    assert instants(record, SOURCE, NOW) is not None
    said = judge(GATE, POLICY, record, an_observation(), SOURCE, answers, ONE_SERIES)
    return said.verdict, said.because


def test_two_series_are_compared_and_the_verdict_says_what_it_assumes() -> None:
    verdict, because = verdict_of(0.05, 0.005)
    assert verdict is Verdict.DEGRADED
    assert "one series for each version: the noise of pods is assumed" in because
    assert verdict_of(0.005, 0.005)[0] is Verdict.HEALTHY


def test_a_missing_version_is_blindness() -> None:
    record = replace(a_record(policy=POLICY), contender=SlotRecord("checkout-twin", "u", "d", ("checkout-twin-new00",)))
    theirs = counted("abc12", 0.0)
    answers = {term: Counts((theirs[term],)) for term in ("errors", "requests")}
    assert judge(GATE, POLICY, record, an_observation(), SOURCE, answers, ONE_SERIES).verdict is Verdict.BLIND


def test_who_is_who_does_not_depend_on_pods() -> None:
    found = groups(Sides(("a",), ("b",)), an_observation())
    assert (found.contender, found.incumbent, found.restarts, found.born) == (("b",), ("a",), {}, {})
    assert replica_sets(a_record()) == ("checkout-twin-abc12", "checkout-abc12")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Counts((CounterSeries("a", None, (NOW,), (1.0,)),)), ""),
        (Counts(()), "no recent series with version=a"),
        (Counts((CounterSeries("b", None, (NOW,), (1.0,)),)), "no recent series with version=a"),
        (Failure(FailureKind.INVALID, "bad"), "refuses the query"),
    ],
)
def test_preflight_asks_whether_the_store_knows_the_version_that_serves(answer: Counts | Failure, told: str) -> None:
    found = of_metrics("edge", answer, an_observation(), ("a",), "version")
    assert (found is None) is (told == "")
    if found is not None:
        assert told in found.because
