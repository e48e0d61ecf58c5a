"""The past of a metric store: what is asked, what is believed, and in which words the rest is refused."""

from __future__ import annotations

import json
import threading
import time
from itertools import pairwise
from typing import Any

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.learning.asks import (
    Alerts,
    FetchAlerts,
    FetchLevels,
    FetchPods,
    FetchPresence,
    PodSeries,
    Presence,
    Scope,
    Stretch,
    Unfetched,
    Why,
)
from controller.metrics import Sources, SourceSettings, past
from controller.metrics.promql import (
    compose_levels,
    compose_pods,
    compose_presence,
    compose_totals,
    pods_of,
    records_a_rate,
)
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, FetchReadings, FetchTotals, Totals
from policies.schema import Query, Selector
from tests.controller.adapters.builders import RealClock
from tests.controller.adapters.server import Answer, Asked, Line, obj, plain, serving

T0 = 1_790_000_100.0
STEP = 30.0
SCOPE = Scope("default", "shop", "namespace", "pod", ("checkout", "checkout-twin"))
STRETCH = Stretch(T0, T0 + 3 * STEP, STEP, 30.0)
REQUESTS = FetchPods(SCOPE, "errors", "requests", Selector("http_requests_total"), STRETCH)
BUCKETS = FetchPods(SCOPE, "latency", "buckets", Selector("http_request_duration_seconds_bucket"), STRETCH)
MEMORY = FetchLevels(SCOPE, "memory", Query.parse('process_resident_memory_bytes{pod="$pods"}'), STRETCH)
PRESENCE = FetchPresence(SCOPE, "errors", Selector("http_requests_total"), STRETCH)
POD = "checkout-6c7d8f9b54-bcdfg"
OTHER = "checkout-twin-5b6d8f77c9-xz245"


def totals(of: Any = "errorRatio", **how: Any) -> FetchTotals:
    selectors = {
        "errorRatio": (("errors", Selector.parse('m{code=~"5.."}')), ("requests", Selector("m"))),
        "latency": (("histogram", Selector("d_bucket")),),
        "throughput": (("events", Selector("orders_total")),),
        "gauge": (),
    }[of]
    query = MEMORY.query if of == "gauge" else None
    standard: dict[str, Any] = {"start": T0, "end": T0 + 600.0, "step": 300.0}
    return FetchTotals(
        source="default", gate="g", of=of, selectors=selectors, query=query, namespace="shop",
        namespace_label="namespace", pod_label="pod", deployments=SCOPE.deployments, fresh_within=30.0,
        **(standard | how),
    )  # fmt: skip


def series(*values: Any, start: float = T0, step: float = STEP, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "values": [[start + step * i, value] for i, value in enumerate(values)]}


def matrix(*many: Any, **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(many)}, **more}


def by_query(answers: dict[str, Any]) -> Answer:
    """Answers with the first value whose key is in the query; nothing matches: an empty matrix."""

    def answer(asked: Asked, line: Line) -> None:
        query = asked.form["query"]
        found = next((value for key, value in answers.items() if key in query), matrix())
        (found if callable(found) else obj(found))(asked, line)

    return answer


def asked(answer: Answer, ask: Any, **options: Any) -> tuple[Any, list[Asked]]:
    with serving(answer) as server:
        source = SourceSettings("default", server.url, **{"timeout": 2.0, **options})
        history = Sources([source], RealClock()).history("default")
        assert history is not None
        match ask:
            case FetchPresence():
                return history.presence(ask), server.asked
            case FetchTotals():
                return history.totals(ask), server.asked
        return history.pods(ask), server.asked


def refused(answer: Answer, ask: Any = REQUESTS, **options: Any) -> Unfetched:
    found, _ = asked(answer, ask, **options)
    assert isinstance(found, Unfetched), found
    assert found.detail.isprintable()
    assert len(found.detail) < 500
    return found


# ------------------------------------------------------------------------------------------------- the queries


def test_the_pods_of_every_replica_set_of_both_slots_are_meant_and_no_others() -> None:
    import re

    ours = re.compile(pods_of(("checkout", "checkout-twin")))
    for name in (POD, OTHER, "checkout-7d9f8c5b6-24567"):
        assert ours.fullmatch(name), name
    for name in (
        "checkout-api-6c7d8f9b54-bcdfg",  # another Deployment whose name begins alike
        "checkout-migrate-bcdfg",  # a Job
        "checkout-0",  # a StatefulSet
        "my-checkout-6c7d8f9b54-bcdfg",
        "checkout-twin-twin-6c7d8f9b54-bcdfg",
        "checkout-6c7d8f9b54",
    ):
        assert not ours.fullmatch(name), name


def test_counters_are_summed_by_pod_and_stratum_and_no_rate_is_taken() -> None:
    query = compose_pods(REQUESTS)
    assert query.startswith("sum by (pod) (last_over_time(http_requests_total{namespace=")
    assert "rate" not in query
    assert query.endswith("[30s]))")
    mixed = FetchPods(SCOPE, "errors", "errors", Selector.parse('m{code="500"}'), STRETCH, "route")
    assert compose_pods(mixed).startswith("sum by (pod, route) (")
    assert compose_pods(BUCKETS).startswith("sum by (pod, le) (")


@pytest.mark.parametrize("of", ["errorRatio", "latency", "throughput", "gauge"])
def test_one_question_a_gate_gives_one_number_for_all_pods(of: Any) -> None:
    expression = promql_parser.parse(compose_totals(totals(of)))
    assert expression is not None
    assert compose_totals(totals(of)).count("checkout-twin") >= 1


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_whatever_a_deployment_is_called_the_query_stays_one_query(name: str) -> None:
    scope = Scope("default", name, "namespace", "pod", (name,))
    for query in (
        compose_pods(FetchPods(scope, "g", "requests", Selector("m"), STRETCH)),
        compose_presence(FetchPresence(scope, "g", Selector("m"), STRETCH)),
    ):
        assert isinstance(promql_parser.parse(query), promql_parser.AggregateExpr)
    promql_parser.parse(compose_levels(FetchLevels(scope, "g", MEMORY.query, STRETCH)))


def test_recording_rules_of_rates_are_told_from_those_of_counters() -> None:
    for name in (
        "job:http_requests:rate5m",
        "pod:http_requests_total:irate",
        "app:latency:p99",
        "a:errors:ratio_rate1h",
    ):
        assert records_a_rate(Selector(name)), name
    for name in ("http_requests_total", "pod:http_requests:sum", "rate_limited_total", "ns:requests_total:by_pod"):
        assert not records_a_rate(Selector(name)), name


# ------------------------------------------------------------------------------------------------- good answers


def test_counters_of_all_pods_come_back_with_their_strata() -> None:
    ask = FetchPods(SCOPE, "errors", "requests", Selector("m"), STRETCH, "route")
    body = matrix(
        series("1", "2", "4", "8", pod=POD, route="/pay"),
        series("5", "5", "5", "6", pod=POD),
        series("7", "8", pod=OTHER, route="/pay"),
    )
    found, (request,) = asked(obj(body), ask)
    assert isinstance(found, PodSeries)
    told = {(one.pod, one.stratum): one.values for one in found.series}
    assert told == {(POD, "/pay"): (1, 2, 4, 8), (POD, ""): (5, 5, 5, 6), (OTHER, "/pay"): (7, 8)}
    assert (request.form["start"], request.form["end"], request.form["step"]) == (
        f"{T0:.3f}", f"{T0 + 90:.3f}", f"{STEP:.3f}",
    )  # fmt: skip
    assert request.form["timeout"] == "30000ms"  # history may take longer than a look


def test_a_gauge_may_fall_and_a_reading_that_is_no_number_is_none() -> None:
    found, _ = asked(obj(matrix(series("-3", "NaN", "5", "2", pod=POD))), MEMORY)
    assert isinstance(found, PodSeries)
    (one,) = found.series
    assert one.values == (-3.0, 5.0, 2.0)
    assert one.times == (T0, T0 + 2 * STEP, T0 + 3 * STEP)
    everywhere, _ = asked(obj(matrix(series("NaN", "NaN", pod=POD))), MEMORY)
    assert everywhere.series[0].values == ()


def test_a_gauge_that_answers_for_the_same_app_elsewhere_is_refused_with_what_to_add() -> None:
    found = refused(obj(matrix(series("1", pod=POD, namespace="staging"))), MEMORY)
    assert found.why is Why.UNUSABLE
    assert 'namespace="$namespace"' in found.detail
    ours, _ = asked(obj(matrix(series("1", pod=POD, namespace="shop"))), MEMORY)
    assert isinstance(ours, PodSeries)


def test_the_tick_reads_gauges_and_totals_of_the_same_store() -> None:
    reading = FetchReadings(
        "default", "memory", MEMORY.query, "shop", "pod", ("checkout-6c7d8f9b54",), T0, T0 + 30, STEP
    )
    with serving(obj(matrix(series("1", "2", pod=POD)))) as server:
        found = Sources([SourceSettings("default", server.url)], RealClock()).perform(reading)
    assert isinstance(found, Counts)
    assert found.series[0].values == (1.0, 2.0)
    with serving(obj(matrix(series("0.1", "NaN", "0.3", step=300.0)))) as server:
        both = Sources([SourceSettings("default", server.url)], RealClock()).perform(totals())
    assert both == Totals((T0, T0 + 600.0), (0.1, 0.3))
    with serving(obj(matrix(series("1", "2", pod="payments-6c7d8f9b54-bcdfg")))) as server:
        wrong = Sources([SourceSettings("default", server.url)], RealClock()).perform(reading)
    assert isinstance(wrong, Failure)
    assert wrong.kind is FailureKind.UNAVAILABLE


def test_which_replica_sets_had_pods_is_told_by_name() -> None:
    body = matrix(
        series("6", "6", "3", replica_set="checkout-6c7d8f9b54"),
        series("3", "6", start=T0 + 60, replica_set="checkout-twin-5b6d8f77c9"),
    )
    found, _ = asked(obj(body), PRESENCE)
    assert isinstance(found, Presence)
    assert found.pods["checkout-6c7d8f9b54"] == ((T0, 6), (T0 + 30, 6), (T0 + 60, 3))
    assert found.pods["checkout-twin-5b6d8f77c9"] == ((T0 + 60, 3), (T0 + 90, 6))


def test_alerts_of_the_namespace_are_told_by_name() -> None:
    ask = FetchAlerts(SCOPE, STRETCH)
    with serving(obj(matrix(series("1", "1", alertname="CheckoutErrors"), series("2", alertname="Slow")))) as server:
        history = Sources([SourceSettings("default", server.url)], RealClock()).history("default")
        assert history is not None
        found = history.alerts(ask)
    assert found == Alerts({"CheckoutErrors": (T0, T0 + STEP), "Slow": (T0,)})
    assert server.asked[0].form["query"] == 'count by (alertname) (ALERTS{alertstate="firing",namespace="shop"})'


def test_five_weeks_of_five_minutes_are_asked_in_parts_that_a_store_takes() -> None:
    end = T0 + 35 * 86_400.0

    def answer(asked: Asked, line: Line) -> None:
        start = float(asked.form["start"])
        obj(matrix(series("0.5", start=start, step=300.0)))(asked, line)

    found, requests = asked(answer, totals(end=end))
    assert list(found.times) == [float(request.form["start"]) for request in requests]
    assert float(requests[0].form["start"]) == T0
    assert float(requests[-1].form["end"]) == end
    for request, following in pairwise(requests):
        assert float(following.form["start"]) == float(request.form["end"]) + 300.0
    for request in requests:
        assert (float(request.form["end"]) - float(request.form["start"])) / 300.0 + 1 <= past.MOST_POINTS <= 11_000


def test_p20_an_answer_that_is_too_long_is_asked_for_again_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    from controller.metrics import transport

    monkeypatch.setattr(transport, "MAX_BODY", 600)

    def answer(asked: Asked, line: Line) -> None:
        start, end = float(asked.form["start"]), float(asked.form["end"])
        values = [str(10 * k) for k in range(round((start - T0) / STEP), round((end - T0) / STEP) + 1)]
        obj(matrix(series(*values, start=start, pod=POD)))(asked, line)

    ask = FetchPods(SCOPE, "errors", "requests", Selector("m"), Stretch(T0, T0 + 39 * STEP, STEP, 30.0))
    found, requests = asked(answer, ask)
    assert isinstance(found, PodSeries)
    (one,) = found.series
    assert one.values == tuple(10.0 * k for k in range(40))
    assert one.times == tuple(T0 + k * STEP for k in range(40))
    assert len(requests) > 2


def test_one_question_at_a_time_whoever_asks() -> None:
    running = {"now": 0, "most": 0}
    lock = threading.Lock()

    def answer(asked: Asked, line: Line) -> None:
        with lock:
            running["now"] += 1
            running["most"] = max(running["most"], running["now"])
        time.sleep(0.05)
        with lock:
            running["now"] -= 1
        obj(matrix())(asked, line)

    with serving(answer) as server:
        history = Sources([SourceSettings("default", server.url)], RealClock()).history("default")
        assert history is not None
        threads = [threading.Thread(target=history.pods, args=(REQUESTS,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert running["most"] == 1
    assert len(server.asked) == 5


# -------------------------------------------------------------------------------------------------- bad answers


def test_p20_ten_thousand_series_of_one_gate_are_too_many_and_say_what_to_do() -> None:
    many = matrix(*(series("1", pod=f"checkout-6c7d8f9b54-{n:05d}") for n in range(past.MOST_SERIES + 1)))
    found = refused(plain(json.dumps(many).encode()))
    assert found.why is Why.TOO_LARGE
    assert "10001 series" in found.detail
    assert "narrow the selector" in found.detail


def test_p2_a_store_that_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "LEAST_TIMEOUT", 0.2)

    def silent(asked: Asked, line: Line) -> None:
        line.silence()

    found = refused(silent, timeout=0.2)
    assert found.why is Why.TIMED_OUT
    assert "timed out" in found.detail


def test_p2_what_takes_too_long_is_asked_about_less_time_a_few_times_and_then_given_up() -> None:
    def slow(asked: Asked, line: Line) -> None:
        points = (float(asked.form["end"]) - float(asked.form["start"])) / 300.0 + 1
        at = series("0.5", start=float(asked.form["start"]), step=300.0)
        (obj({"error": "query timed out in query execution"}, 503) if points > 100 else obj(matrix(at)))(asked, line)

    found, requests = asked(slow, totals(end=T0 + 299 * 300.0))  # a day
    assert isinstance(found, Totals)
    assert len(found.times) == 4
    assert len(requests) == 7
    never, asked_about = asked(obj({"error": "query timed out in query execution"}, 503), totals(end=T0 + 7 * 86_400.0))
    assert isinstance(never, Unfetched)
    assert never.why is Why.TIMED_OUT
    assert len(asked_about) == 4


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (400, {"status": "error", "errorType": "bad_data", "error": "parse error"}, Why.REFUSED),
        (422, {"status": "error", "errorType": "execution", "error": "many-to-many matching"}, Why.REFUSED),
        (
            422,
            {"error": "query processing would load too many samples into memory in query execution"},
            Why.TOO_LARGE,
        ),
        (400, {"error": "exceeded maximum resolution of 11,000 points per timeseries"}, Why.TOO_LARGE),
        (422, {"error": "the query hit the max number of series limit (limit: 500000 series)"}, Why.TOO_LARGE),
        (503, {"error": "query timed out in query execution"}, Why.TIMED_OUT),
        (504, {"error": "upstream"}, Why.TIMED_OUT),
        (401, {"error": "who are you"}, Why.REFUSED),
        (403, {"error": "no"}, Why.REFUSED),
        (500, {"error": "boom"}, Why.UNREACHABLE),
        (302, {}, Why.UNREACHABLE),
    ],
)
def test_a_refusal_is_told_by_what_can_be_done_about_it(status: int, body: dict[str, Any], why: Why) -> None:
    assert refused(obj(body, status)).why is why


@pytest.mark.parametrize(
    "body",
    [
        matrix(series("1", pod=POD), warnings=["partial response"]),
        matrix(series("1", pod=POD), infos=["metric might not be a counter"]),
        matrix(series("1", pod=POD), series("2", pod=POD)),
        matrix(series("-1", pod=POD)),
        matrix(series("NaN", pod=POD)),
        matrix(series("+Inf", pod=POD)),
        matrix(series("1", pod="payments-6c7d8f9b54-bcdfg")),
        matrix(series("1", pod=POD, code="200")),
        matrix(series("1")),
        matrix({"metric": {"pod": POD}, "values": [[T0 + 7.0, "1"]]}),
        {"status": "success", "data": {"resultType": "vector", "result": []}},
        {"status": "error", "data": {"resultType": "matrix", "result": []}},
        {},
    ],
)
def test_p0_an_answer_that_breaks_a_rule_teaches_nothing(body: dict[str, Any]) -> None:
    assert refused(obj(body)).why is Why.UNUSABLE


def test_p21_native_histograms_are_refused_with_the_way_out() -> None:
    native = {"metric": {"pod": POD}, "histograms": [[T0, {"count": "3", "sum": "1"}]]}
    found = refused(obj(matrix(native)))
    assert found.why is Why.NATIVE
    assert "always_scrape_classic_histograms" in found.detail


def test_a_recording_rule_of_a_rate_is_not_even_asked_for() -> None:
    found, requests = asked(obj(matrix()), FetchPods(SCOPE, "g", "requests", Selector("job:m:rate5m"), STRETCH))
    assert isinstance(found, Unfetched)
    assert found.why is Why.RECORDED
    assert requests == []


@given(body=st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_noise_instead_of_an_answer_is_no_exception(body: bytes) -> None:
    assert refused(plain(body)).why is Why.UNUSABLE


# --------------------------------------------------------------------------------------------------- diagnosis


def diagnosed(answers: dict[str, Any], selector: Selector | None = None) -> Unfetched | None:
    with serving(by_query(answers)) as server:
        history = Sources([SourceSettings("default", server.url)], RealClock()).history("default")
        assert history is not None
        return history.diagnose(SCOPE, "g", selector or Selector("m"), T0, 300.0)


def test_sound_series_have_no_diagnosis() -> None:
    assert diagnosed({"by (pod, ": matrix(series("3", pod=POD), series("4", pod=OTHER))}) is None


@pytest.mark.parametrize("label", ["prometheus_replica", "replica", "__replica__"])
def test_p15_a_pair_of_stores_that_both_answer_is_found(label: str) -> None:
    pairs = [
        {**series(count), "metric": {"pod": pod, label: name}}
        for pod in (POD, OTHER)
        for name, count in (("a", "1000"), ("b", "1004"))
    ]
    found = diagnosed({"by (pod, ": matrix(*pairs)})
    assert found is not None
    assert found.why is Why.DOUBLED
    assert f'{label}="a"' in found.detail


def test_an_apps_own_replica_label_is_no_pair() -> None:
    own = [series(count, pod=POD, replica=name) for name, count in (("reads", "1000"), ("writes", "40"))]
    assert diagnosed({"by (pod, ": matrix(*own)}) is None
    one = [series("10", pod=POD, replica="a"), series("10", pod=OTHER, replica="a")]
    assert diagnosed({"by (pod, ": matrix(*one)}) is None


def test_p17_series_under_other_labels_are_told_from_none_at_all() -> None:
    elsewhere = diagnosed({"count(last_over_time(m[": matrix(series("14"))})
    assert elsewhere is not None
    assert elsewhere.why is Why.NO_SERIES
    assert "14 series of m" in elsewhere.detail
    assert "spec.metrics.pod" in elsewhere.detail
    nothing = diagnosed({})
    assert nothing is not None
    assert nothing.why is Why.NO_SERIES
    assert "is it scraped?" in nothing.detail


def test_a_histogram_that_exists_only_as_a_native_one_is_found() -> None:
    found = diagnosed({"count(last_over_time(d[": matrix(series("6"))}, Selector("d_bucket"))
    assert found is not None
    assert found.why is Why.NATIVE


def test_a_store_that_fails_at_the_diagnosis_is_not_taken_for_an_absent_series() -> None:
    found = diagnosed({"by (pod, ": obj({"error": "boom"}, 500)})
    assert found is not None
    assert found.why is Why.UNREACHABLE
