"""The metric source: exact counts where the store is sound, and blindness in every other case, never a zero."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.samples import CounterSeries
from controller.metrics import Sources, SourceSettings, answers
from controller.metrics.prometheus import compose
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, FetchCounts, Totals
from policies.schema import Matcher, Selector
from tests.controller.adapters.builders import RealClock, SetClock
from tests.controller.adapters.server import (
    CHUNKED,
    Answer,
    Asked,
    Line,
    chunk,
    hang_up,
    nobody,
    obj,
    plain,
    raw,
    serving,
)

SECRET = "canary-secret-of-the-store"
START = 1_700_000_000.0
ASK = FetchCounts(
    source="default",
    gate="errors",
    term="errors",
    selector=Selector.parse('http_requests_total{code=~"5.."}'),
    namespace="shop",
    namespace_label="namespace",
    pod_label="pod",
    replica_sets=("checkout-7d9f8c", "checkout-twin-5b6"),
    start=START,
    end=START + 90,
    step=30.0,
    fresh_within=30.0,
)
BUCKETS = replace(ASK, term="buckets", selector=Selector("http_request_duration_seconds_bucket"))
POD = "checkout-7d9f8c-abcde"


def series(*values: Any, pod: str = POD, **labels: str) -> dict[str, Any]:
    return {"metric": {"pod": pod, **labels}, "values": [[START + 30 * i, value] for i, value in enumerate(values)]}


def matrix(*many: Any, **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(many)}, **more}


def typed(kind: str, result: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


def fetched(
    answer: Answer, ask: FetchCounts = ASK, clock: Any = None, **options: Any
) -> tuple[Counts | Totals | Failure, list[Asked]]:
    with serving(answer) as server:
        source = SourceSettings("default", server.url, **{"timeout": 20.0, **options})
        return Sources([source], clock or RealClock()).perform(ask), server.asked


def failure(answer: Answer, ask: FetchCounts = ASK, **options: Any) -> Failure:
    found, _ = fetched(answer, ask, **options)
    assert isinstance(found, Failure), found
    assert found.message.isprintable()
    assert len(found.message) < 400
    return found


# ------------------------------------------------------------------------------------------------ the query


def test_the_query_adds_pods_and_namespace_to_the_selector_and_sums_by_pod_alone() -> None:
    assert compose(ASK) == (
        'sum by (pod) (last_over_time(http_requests_total{code=~"5..",namespace="shop",'
        'pod=~"(?:checkout-7d9f8c|checkout-twin-5b6)-[a-z0-9]{5}"}[30s]))'
    )
    assert compose(BUCKETS).startswith("sum by (pod, le) (last_over_time(http_request_duration_seconds_bucket{")


def test_names_and_labels_are_taken_literally() -> None:
    ask = replace(
        ASK,
        namespace='shop"} or vector(1) #',
        replica_sets=("a.b",),
        pod_label="kubernetes_pod_name",
        namespace_label="kubernetes_namespace",
        fresh_within=2.5,
    )
    assert compose(ask) == (
        'sum by (kubernetes_pod_name) (last_over_time(http_requests_total{code=~"5..",'
        'kubernetes_namespace="shop\\"} or vector(1) #",kubernetes_pod_name=~"(?:a\\\\.b)-[a-z0-9]{5}"}[2500ms]))'
    )


@given(
    namespace=st.text(max_size=20).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)),
    value=st.text(max_size=20).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)),
    fresh=st.floats(min_value=0.001, max_value=3600),
)
@settings(max_examples=100, deadline=None)
def test_whatever_the_texts_the_query_stays_one_sum_over_one_selector(namespace: str, value: str, fresh: float) -> None:
    selector = Selector("m", (Matcher("path", "=", value),))
    found = promql_parser.parse(compose(replace(ASK, selector=selector, namespace=namespace, fresh_within=fresh)))
    assert isinstance(found, promql_parser.AggregateExpr)
    assert isinstance(found.expr, promql_parser.Call)
    (argument,) = found.expr.args
    assert isinstance(argument, promql_parser.MatrixSelector)


@pytest.mark.parametrize("label", ["pod name", "", "pod) (up", "1pod", "pöd"])
def test_a_label_that_is_none_is_refused_before_anything_is_sent(label: str) -> None:
    found, asked = fetched(obj(matrix()), replace(ASK, pod_label=label))
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.INVALID
    assert asked == []


def test_the_query_goes_in_the_body_with_exact_instants() -> None:
    ask = replace(
        ASK, start=START + 0.5, end=START + 10.5, step=2.5, replica_sets=tuple(f"rs-{i}" for i in range(5000))
    )
    found, (asked,) = fetched(obj(matrix()), ask, timeout=9.5)
    assert found == Counts(())
    assert (asked.method, asked.path, asked.query) == ("POST", "/api/v1/query_range", {})
    form = asked.form
    assert len(form.pop("query")) > 35_000  # too long for a URL
    assert form == {
        "start": "1700000000.500",
        "end": "1700000010.500",
        "step": "2.500",
        "timeout": "9500ms",
        "partial_response": "false",
    }


def test_a_path_prefix_is_kept() -> None:
    with serving(obj(matrix())) as server:
        Sources([SourceSettings("default", f"{server.url}/tenant/a/")], RealClock()).perform(ASK)
        assert server.asked[0].path == "/tenant/a/api/v1/query_range"


def test_versions_are_asked_for_by_whole_values_and_no_other_one_is_believed() -> None:
    by = replace(ASK, pod_label="version", replica_sets=(), values=("v1.0", "v2"))
    edge = [{"metric": {"version": each}, "values": [[START, "1"], [START + 30, "2"]]} for each in ("v1.0", "v2")]
    found, (asked,) = fetched(obj(matrix(*edge)), by)
    assert isinstance(found, Counts)
    assert [one.pod for one in found.series] == ["v1.0", "v2"]
    assert 'version=~"v1\\\\.0|v2"' in asked.form["query"]
    for stranger in ("v1x0", "v22", "v1.0-abcde"):
        told = failure(obj(matrix({**edge[0], "metric": {"version": stranger}})), by).message
        assert f"{stranger}, which was not asked for" in told


def test_without_replica_sets_there_is_nothing_to_ask() -> None:
    found, asked = fetched(hang_up, replace(ASK, replica_sets=()))
    assert (found, asked) == (Counts(()), [])


# ------------------------------------------------------------------------------------------- sound answers


def test_counters_come_back_exactly_with_holes_where_there_was_no_sample() -> None:
    twin = {"metric": {"pod": "checkout-twin-5b6-zzzzz"}, "values": [[START + 30, "0"], [START + 90, "12345678901"]]}
    found, _ = fetched(obj(matrix(twin, series("5", "7.5", "1.25e+06", "1e-3"))))
    assert found == Counts(
        (
            CounterSeries(POD, None, (START, START + 30, START + 60, START + 90), (5.0, 7.5, 1.25e6, 0.001)),
            CounterSeries("checkout-twin-5b6-zzzzz", None, (START + 30, START + 90), (0.0, 12345678901.0)),
        )
    )


def test_buckets_keep_their_boundary() -> None:
    found, _ = fetched(obj(matrix(series("5", le="+Inf"), series("3", le="0.25"))), BUCKETS)
    assert isinstance(found, Counts)
    assert [(one.le, one.values) for one in found.series] == [("+Inf", (5.0,)), ("0.25", (3.0,))]


def test_p7_no_series_is_an_answer_and_not_a_zero() -> None:
    assert fetched(obj(matrix()))[0] == Counts(())


def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(json.dumps(matrix(series("5"))).encode())
    found, _ = fetched(plain(body, headers={"Content-Encoding": "gzip"}))
    assert isinstance(found, Counts)
    assert found.series[0].values == (5.0,)


def test_instants_are_those_that_were_asked_for_and_not_their_rounded_text() -> None:
    ask = replace(ASK, start=START + 0.1, step=0.3, end=START + 1.0)
    answer = obj(matrix({"metric": {"pod": POD}, "values": [[1700000000.1, "1"], [1700000000.4, "2"]]}))
    found, _ = fetched(answer, ask)
    assert isinstance(found, Counts)
    assert found.series[0].times == (START + 0.1, START + 0.1 + 0.3)


# ----------------------------------------------------------------------------------------- hostile answers


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "+Inf",
        "-Inf",
        "1_0",
        "1,2",
        "0x10",
        "١٢",
        "",
        " 5",
        "5 ",
        "1e400",
        "-1",
        "1.",
        ".5",
        "05",
        "--1",
        "1" * 60,
    ],
)
def test_p8_p9_p27_a_value_that_is_no_finite_count_blinds(text: str) -> None:
    found = failure(obj(matrix(series("1", text))))
    assert found.kind is FailureKind.UNAVAILABLE
    assert "the counter reads" in found.message


@pytest.mark.parametrize(
    "body",
    [
        # P5: status decides, whatever data there is.
        {**matrix(series("5")), "status": "error", "errorType": "timeout", "error": "query timed out"},
        {**matrix(series("5")), "status": "Success"},
        {"data": matrix()["data"]},
        # P6: a partial answer looks complete but for this.
        matrix(series("5"), warnings=["store 10.0.0.7 is not reachable"]),
        matrix(series("5"), infos=["PromQL info: metric might not be a counter"]),
        matrix(series("5"), warnings="a text"),
        # P21: another type.
        typed("vector", [{"metric": {"pod": POD}, "value": [START, "5"]}]),
        typed("scalar", [START, "5"]),
        typed("string", [START, "5"]),
        {"status": "success", "data": {"result": []}},
        {"status": "success", "data": None},
        {"status": "success"},
        typed("matrix", {"a": 1}),
        {"status": "success", "data": {"resultType": "matrix"}},
        matrix({"metric": {"pod": POD}, "histograms": [[START, {"count": "5"}]]}),
        matrix({"metric": {"pod": POD}, "values": [[START, 5]]}),
        matrix({"metric": {"pod": POD}, "values": [["now", "5"]]}),
        matrix({"metric": {"pod": POD}, "values": [[START]]}),
        matrix({"metric": {"pod": 5}, "values": []}),
        matrix({"values": [[START, "5"]]}),
        # P14, P15: more series than there can be.
        matrix(series("5"), series("6")),
        matrix(series("5"), series("5")),
        matrix(series("5", replica="a"), series("5", replica="b")),
        matrix({"metric": {}, "values": [[START, "5"]]}),
        matrix(series("5", le="0.5")),
        # Another pod than was asked for.
        matrix(series("5", pod="payments-6f-abcde")),
        matrix(series("5", pod="checkout-7d9f8c-abcdef")),
        matrix(series("5", pod="x-checkout-7d9f8c-abcde")),
        matrix(series("5", pod="checkout-7d9f8c-abcde\n")),
        # P10: instants that were not asked for.
        matrix({"metric": {"pod": POD}, "values": [[START + 7, "5"]]}),
        matrix({"metric": {"pod": POD}, "values": [[START - 30, "5"]]}),
        matrix({"metric": {"pod": POD}, "values": [[START + 120, "5"]]}),
        matrix({"metric": {"pod": POD}, "values": [[START + 30, "5"], [START, "4"]]}),
        matrix({"metric": {"pod": POD}, "values": [[START, "5"], [START, "5"]]}),
        matrix({"metric": {"pod": POD}, "values": [[1e300, "5"]]}),
        [],
        "success",
        None,
    ],
)  # fmt: skip
def test_p0_whatever_breaks_a_rule_blinds(body: Any) -> None:
    assert failure(obj(body)).kind is FailureKind.UNAVAILABLE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>please log in</body></html>",
        json.dumps(matrix({"metric": {"pod": POD}, "values": [[float("nan"), "5"]]})).encode(),
        json.dumps(matrix(series("5"))).replace("1700000000.0", "1e400").encode(),
        b'{"status":"success","data":{"resultType":"matrix","result":[]}',
        b'{"status":"success","data":{"resultType":"matrix","result":[]}} and more',
        b'{"status":"success","junk":' + b"[" * 100_000,
        b'{"status":"success","data":{"resultType":"matrix","result":' + b"[" * 100_000,
        b"\xff\xfe\x00",
        b'{"status":"success\x1b[2J"}',
    ],
)  # fmt: skip
def test_p4_p20_bodies_that_are_no_answer_blind(body: bytes) -> None:
    assert failure(plain(body)).kind is FailureKind.UNAVAILABLE


def test_p20_a_result_that_is_too_large_is_not_held() -> None:
    found = failure(plain(b" " * (9 * 1024 * 1024)))
    assert found == Failure(FailureKind.UNAVAILABLE, "source default: the answer is longer than 8388608 bytes")


def test_p20_a_small_body_that_unpacks_to_a_large_one_is_not_held() -> None:
    bomb = gzip.compress(b" " * (200 * 1024 * 1024), 9)
    assert len(bomb) < 300_000
    tracemalloc.start()
    try:
        assert "longer than" in failure(plain(bomb, headers={"Content-Encoding": "gzip"})).message
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_p20_too_many_series_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_SERIES", 3)
    many = [series("5", pod=f"checkout-7d9f8c-abcd{i}") for i in range(4)]
    assert "4 series" in failure(obj(matrix(*many))).message
    assert isinstance(fetched(obj(matrix(*many[:3])))[0], Counts)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_packed_as_it_says_blinds(encoding: str) -> None:
    answer = plain(b"not packed at all", headers={"Content-Encoding": encoding})
    assert failure(answer).kind is FailureKind.UNAVAILABLE


# ------------------------------------------------------------------------------------------ status and wire


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        (400, {"status": "error", "error": "parse error at char 5"}, FailureKind.INVALID, "parse error"),
        (422, {"status": "error", "error": "many-to-many matching"}, FailureKind.INVALID, "many-to-many"),
        (401, "no", FailureKind.UNAUTHORIZED, "HTTP 401"),
        (403, "no", FailureKind.FORBIDDEN, "HTTP 403"),
        (404, "no such path", FailureKind.UNAVAILABLE, "HTTP 404"),
        (429, "too many", FailureKind.THROTTLED, "HTTP 429"),
        (500, "boom", FailureKind.UNAVAILABLE, "HTTP 500"),
        (502, "bad gateway", FailureKind.UNAVAILABLE, "HTTP 502"),
        (503, {"status": "error", "error": "query timed out"}, FailureKind.UNAVAILABLE, "query timed out"),
        (204, "", FailureKind.UNAVAILABLE, "HTTP 204"),
    ],
)  # fmt: skip
def test_p3_p4_p26_p29_the_status_says_what_kind_of_failure(
    code: int, body: Any, kind: FailureKind, words: str
) -> None:
    found, asked = fetched(obj(body, code) if code != 204 else raw(b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert isinstance(found, Failure)
    assert found.kind is kind
    assert words in found.message
    assert len(asked) == 1  # no retries behind our back


def test_p29_a_throttled_store_says_how_long() -> None:
    assert failure(plain(b"", 429, {"Retry-After": "12"})).retry_after == 12.0
    assert failure(plain(b"", 429)).retry_after == 1.0


def test_p4_an_excerpt_of_the_body_is_short_and_escaped() -> None:
    found = failure(plain(b"<html>\r\n\x1b[31m" + b"x" * 5000, 502))
    assert "<html> \\x1b[31mxxx" in found.message
    assert found.message.count("x") < 260


def test_p28_a_redirect_is_not_followed_and_its_body_is_bounded() -> None:
    with serving(obj(matrix(series("5")))) as other:
        found = failure(plain(b"x" * 100, 302, {"Location": other.url}))
        assert "HTTP 302" in found.message
        assert other.asked == []


def dripping(asked: Asked, line: Line) -> None:
    line.send(CHUNKED)
    line.drip(chunk(b" ") * 5000, every=0.01)


def dripping_header(asked: Asked, line: Line) -> None:
    line.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 5000, every=0.02)


def silent(asked: Asked, line: Line) -> None:
    line.silence()


@pytest.mark.parametrize("answer", [dripping, dripping_header, silent])
def test_p2_the_deadline_bounds_the_whole_answer(answer: Answer) -> None:
    began = time.monotonic()
    found = failure(answer, timeout=0.2)
    assert 0.15 < time.monotonic() - began < 30.0  # each of these answers takes longer than a minute
    assert found == Failure(FailureKind.UNAVAILABLE, "source default: timed out")


@pytest.mark.parametrize(
    "answer",
    [hang_up, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), raw(CHUNKED, b"zz\r\n"), raw(b"hello\r\n")],
)
def test_a_broken_answer_blinds_and_is_not_asked_for_again(answer: Answer) -> None:
    found, asked = fetched(answer)
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.UNAVAILABLE
    assert len(asked) == 1


def test_p1_nobody_there_blinds_at_once() -> None:
    with nobody() as url:
        found = Sources([SourceSettings("default", url)], RealClock()).perform(ASK)
    assert found == Failure(FailureKind.UNAVAILABLE, "source default: no connection")


def test_after_a_failure_the_next_query_works() -> None:
    with serving(hang_up, plain(b" " * (9 * 1024 * 1024)), obj(matrix(series("5")))) as server:
        sources = Sources([SourceSettings("default", server.url)], RealClock())
        assert isinstance(sources.perform(ASK), Failure)
        assert isinstance(sources.perform(ASK), Failure)
        assert isinstance(sources.perform(ASK), Counts)


# -------------------------------------------------------------------------------------------- credentials


def authorized(token: str) -> Answer:
    def answer(asked: Asked, line: Line) -> None:
        good = asked.headers.get("authorization") == token
        (obj(matrix(series("5"))) if good else plain(b"who are you", 401))(asked, line)

    return answer


def test_p26_a_token_file_is_sent_and_read_again_when_it_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    with serving(authorized("Bearer first")) as server:
        sources = Sources([SourceSettings("default", server.url, bearer_token_file=token)], SetClock())
        assert isinstance(sources.perform(ASK), Counts)
        server.answers[:] = [authorized("Bearer second")]
        token.write_text("second\n")
        assert isinstance(sources.perform(ASK), Counts)
        # One header each time: it does not pile up.
        assert [asked.headers["authorization"] for asked in server.asked] == [
            "Bearer first",
            "Bearer first",
            "Bearer second",
        ]


def test_p26_a_token_file_is_read_each_minute(tmp_path: Path) -> None:
    token, clock = tmp_path / "token", SetClock()
    token.write_text("first")
    with serving(obj(matrix())) as server:
        sources = Sources([SourceSettings("default", server.url, bearer_token_file=token)], clock)
        sources.perform(ASK)
        token.write_text("second")
        for at in (59.0, 61.0):
            clock.at = 1000.0 + at
            sources.perform(ASK)
        assert [asked.headers["authorization"][7:] for asked in server.asked] == ["first", "first", "second"]


def test_a_user_and_password_go_as_basic_auth(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("night:owl:s")
    found, (asked,) = fetched(obj(matrix()), basic_auth_file=tmp_path / "auth")
    assert found == Counts(())
    assert asked.headers["authorization"] == "Basic bmlnaHQ6b3dsOnM="


def test_a_second_refusal_is_the_answer(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    found, asked = fetched(plain(b"no", 401), bearer_token_file=tmp_path / "token")
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.UNAUTHORIZED
    assert len(asked) == 2


@pytest.mark.parametrize("content", [None, "", "two\nlines", "tök", "bell\x07"])
def test_s18_a_credentials_file_that_is_none_is_named_and_not_shown(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    found, asked = fetched(obj(matrix()), bearer_token_file=path)
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.UNAUTHORIZED
    assert str(path) in found.message
    assert asked == []


def test_s18_no_failure_shows_the_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)

    def echo(asked: Asked, line: Line) -> None:
        plain(f"you sent {asked.headers['authorization']}".encode(), 502)(asked, line)

    for answer in (echo, hang_up, plain(b"no", 401), plain(f'"{SECRET}"'.encode())):
        assert SECRET not in failure(answer, bearer_token_file=tmp_path / "token").message
    (tmp_path / "auth").write_text(f"night:{SECRET}")
    message = failure(echo, basic_auth_file=tmp_path / "auth").message
    assert message == "source default: HTTP 502: you sent Basic ***"


def test_a_netrc_and_cookies_do_not_speak_for_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(obj(matrix(), headers={"Set-Cookie": "session=1"})) as server:
        sources = Sources([SourceSettings("default", server.url)], RealClock())
        for _ in range(2):
            sources.perform(ASK)
        for asked in server.asked:
            assert "authorization" not in asked.headers
            assert "cookie" not in asked.headers


# ------------------------------------------------------------------------------------------------ the table


def test_a_source_that_is_not_configured_is_named_with_those_that_are() -> None:
    sources = Sources([SourceSettings("default", "http://x"), SourceSettings("long", "http://y")], RealClock())
    found = sources.perform(replace(ASK, source="thanos"))
    assert found == Failure(FailureKind.INVALID, "no metric source is named 'thanos'; configured: default, long")


def test_kinds_and_names_of_sources_are_never_guessed() -> None:
    with pytest.raises(ValueError, match="unknown kind 'influx'; allowed: prometheus"):
        Sources([SourceSettings("default", "http://x", kind="influx")], RealClock())
    with pytest.raises(ValueError, match="two sources are named default"):
        Sources([SourceSettings("default", "http://x"), SourceSettings("default", "http://y")], RealClock())
