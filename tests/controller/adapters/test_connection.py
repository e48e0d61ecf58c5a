"""The connection under faults of the wire: every call ends in time, once, and as a value."""

from __future__ import annotations

import time

import pytest
from kubernetes.client import Configuration

from controller.cluster import connection as module
from controller.cluster.connection import (
    MERGE_PATCH,
    Connection,
    Stream,
    StreamBroken,
)
from controller.cluster.failures import Failed
from controller.requests.failure import Failure, FailureKind
from tests.controller.adapters.builders import TOKEN, SetClock, connection_to
from tests.controller.adapters.server import (
    CHUNKED,
    Answer,
    Asked,
    Line,
    Server,
    chunk,
    hang_up,
    nobody,
    obj,
    plain,
    raw,
    serving,
    status,
    stream,
)

OK = obj({"kind": "Thing"})


def silent(asked: Asked, line: Line) -> None:
    line.silence()


def dripping_body(asked: Asked, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    line.drip(b"x" * 10_000, every=0.02)


def dripping_header(asked: Asked, line: Line) -> None:
    line.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000, every=0.02)


def dripping_chunks(asked: Asked, line: Line) -> None:
    line.send(CHUNKED)
    line.drip(chunk(b"x") * 2_000, every=0.01)


@pytest.mark.parametrize("answer", [silent, dripping_body, dripping_header, dripping_chunks])
def test_k7_the_deadline_bounds_the_whole_answer_however_it_is_drawn_out(answer: Answer) -> None:
    with serving(answer) as server:
        began = time.monotonic()
        found = connection_to(server.url).request("GET", "/slow", deadline=0.2)
        took = time.monotonic() - began
    assert isinstance(found, Failure)
    assert (found.kind, found.message) == (FailureKind.UNAVAILABLE, "GET /slow: timed out")
    assert 0.15 < took < 30.0  # each of these answers takes longer than a minute


@pytest.mark.parametrize(
    "answer",
    [
        hang_up,
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
        raw(CHUNKED, chunk(b"half")),
        raw(CHUNKED, b"zz\r\n"),
        raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
    ],
)
def test_a_broken_answer_is_unavailable_and_is_not_asked_for_again(answer: Answer) -> None:
    with serving(answer) as server:
        found = connection_to(server.url).request("GET", "/broken")
        assert isinstance(found, Failure)
        assert found.kind is FailureKind.UNAVAILABLE
        assert len(server.asked) == 1


@pytest.mark.parametrize("method", ["GET", "PATCH", "POST", "DELETE"])
@pytest.mark.parametrize("answer", [status(503, "down"), status(429, "slow", headers={"Retry-After": "60"}), hang_up])
def test_nothing_is_retried_or_slept_over_behind_our_back(method: str, answer: Answer) -> None:
    with serving(answer) as server:
        began = time.monotonic()
        found = connection_to(server.url).request(method, "/thing", body=None if method == "GET" else {"a": 1})
        assert isinstance(found, Failure)
        assert time.monotonic() - began < 30.0
        assert len(server.asked) == 1


def test_p28_a_redirect_is_not_followed() -> None:
    with serving(OK) as other, serving(plain(b"", 302, {"Location": other.url + "/elsewhere"})) as server:
        found = connection_to(server.url).request("GET", "/thing")
        assert isinstance(found, Failure)
        assert found.kind is FailureKind.UNAVAILABLE
        assert other.asked == []


def test_nobody_there_is_unavailable_at_once() -> None:
    with nobody() as url:
        found = connection_to(url).request("GET", "/thing")
    assert isinstance(found, Failure)
    assert (found.kind, found.message) == (FailureKind.UNAVAILABLE, "GET /thing: no connection")


def test_an_answer_beyond_the_cap_is_refused_and_its_rest_is_not_read_as_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_OBJECT_CAP", 100_000)
    with serving(plain(b"x" * 300_000), OK) as server:
        connection = connection_to(server.url)
        found = connection.request("GET", "/large")
        assert isinstance(found, Failure)
        assert "longer than 100000 bytes" in found.message
        assert connection.request("GET", "/small") == b'{"kind": "Thing"}'
        assert server.connections == 2


def test_what_goes_over_the_wire_is_what_was_meant() -> None:
    with serving(OK) as server:
        connection = connection_to(server.url)
        connection.request(
            "PATCH",
            "/things/a",
            query=(("fieldManager", "nightferry"), ("labelSelector", "a=b,c=d e&f")),
            body={"metadata": {"annotations": {"x": None}}},
            content_type=MERGE_PATCH,
        )
        (asked,) = server.asked
    assert (asked.method, asked.path) == ("PATCH", "/things/a")
    assert asked.query == {"fieldManager": "nightferry", "labelSelector": "a=b,c=d e&f"}
    assert asked.json == {"metadata": {"annotations": {"x": None}}}  # a null deletes: it must arrive
    assert asked.headers["content-type"] == MERGE_PATCH
    assert asked.headers["user-agent"] == "nightferry"
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"


def test_calls_share_one_connection() -> None:
    with serving(OK) as server:
        connection = connection_to(server.url)
        for _ in range(5):
            assert connection.request("GET", "/thing") == b'{"kind": "Thing"}'
        assert server.connections == 1


def test_k17_a_401_reads_the_credentials_again_and_asks_once_more() -> None:
    def rotated(configuration: Configuration) -> None:
        configuration.api_key["BearerToken"] = "Bearer second"

    with serving(status(401, "Unauthorized"), OK) as server:
        connection = connection_to(server.url, reload=rotated, token="first")
        assert connection.request("POST", "/things", body={"a": 1}) == b'{"kind": "Thing"}'
        assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer first", "Bearer second"]
        assert [asked.json for asked in server.asked] == [{"a": 1}, {"a": 1}]


def test_k17_a_second_401_is_the_answer() -> None:
    with serving(status(401, "Unauthorized")) as server:
        found = connection_to(server.url, reload=lambda configuration: None).request("GET", "/thing")
        assert isinstance(found, Failure)
        assert found.kind is FailureKind.UNAUTHORIZED
        assert len(server.asked) == 2


def test_k17_credentials_that_cannot_be_read_leave_the_401_as_it_was() -> None:
    def unreadable(configuration: Configuration) -> None:
        raise OSError("no such file")

    with serving(status(401, "Unauthorized")) as server:
        found = connection_to(server.url, reload=unreadable).request("GET", "/thing")
        assert isinstance(found, Failure)
        assert found.kind is FailureKind.UNAUTHORIZED
        assert len(server.asked) == 1


def test_s18_a_token_that_is_echoed_or_quoted_is_taken_out_of_the_message() -> None:
    with serving(plain(f"proxy error for Authorization: Bearer {TOKEN}".encode(), 502)) as server:
        echoed = connection_to(server.url).request("GET", "/thing")
        # A header that http.client refuses is quoted in its error.
        quoted = connection_to(server.url, token=f"{TOKEN}\nX-Evil: 1").request("GET", "/thing")
    for found in (echoed, quoted):
        assert isinstance(found, Failure)
        assert "canary" not in found.message
    assert isinstance(echoed, Failure)
    assert "Bearer ***" in echoed.message


# ------------------------------------------------------------------------------------------------ watches


def lines_of(server: Server, connection: Connection, idle: float = 60.0) -> list[bytes]:
    opened = connection.watch("/things", (("watch", "true"),), idle=idle)
    assert isinstance(opened, Stream)
    try:
        return list(opened.lines())
    finally:
        opened.close()


def test_a_watch_gives_whole_lines_as_they_come_and_ends_with_the_servers_end() -> None:
    pieces = [b'{"a":', b'1}\n{"b":2}\n\n', b'{"c"', b':3}\n{"unfinished":']
    with serving(stream(*pieces)) as server:
        assert lines_of(server, connection_to(server.url)) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_a_silent_watch_is_given_up_after_its_idle_time_and_not_after_the_deadline_of_its_opening() -> None:
    def quiet(asked: Asked, line: Line) -> None:
        line.send(CHUNKED + chunk(b'{"a":1}\n'))
        line.silence()

    clock = SetClock()
    with serving(quiet) as server:
        opened = connection_to(server.url, clock).watch("/things", (), idle=1.5, deadline=60.0)
        assert isinstance(opened, Stream)
        clock.at += 61.0
        began = time.monotonic()
        seen = []
        with pytest.raises(StreamBroken) as broken:
            for line in opened.lines():
                seen.append(line)
        assert seen == [b'{"a":1}']
        assert 1.4 < time.monotonic() - began < 30.0
        assert broken.value.failure == Failure(FailureKind.UNAVAILABLE, "watch /things: timed out")


@pytest.mark.parametrize("answer", [silent, dripping_header])
def test_the_opening_of_a_watch_has_a_deadline_too(answer: Answer) -> None:
    with serving(answer) as server:
        began = time.monotonic()
        found = connection_to(server.url).watch("/things", (), idle=60.0, deadline=0.2)
        assert 0.15 < time.monotonic() - began < 30.0
        assert isinstance(found, Failed)
        assert found.failure.kind is FailureKind.UNAVAILABLE


def test_a_watch_line_without_end_is_not_collected_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINE_CAP", 10_000)
    with serving(stream(b"x" * 50_000)) as server, pytest.raises(StreamBroken, match="longer than 10000"):
        lines_of(server, connection_to(server.url))
