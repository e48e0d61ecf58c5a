"""The watch copy under every fault of the way: it keeps up, it does not hammer, and it knows how old it is."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from controller.cluster.reflector import Reflector
from controller.requests.failure import FailureKind
from tests.controller.adapters.builders import RealClock, SetClock, connection_to, event, eventually, thing
from tests.controller.adapters.server import (
    Answer,
    Asked,
    Line,
    Server,
    chunk,
    hang_up,
    pages,
    plain,
    raw,
    serving,
    status,
    stream,
)


def open_end(asked: Asked, line: Line) -> None:
    line.silence()


def bookmark(version: str) -> dict[str, Any]:
    return event("BOOKMARK", {"metadata": {"resourceVersion": version}})


def gone_event() -> dict[str, Any]:
    return event("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version", "reason": "Expired"})


def decode(raw_object: msgspec.Raw) -> dict[str, Any]:
    one = msgspec.json.decode(raw_object, type=dict[str, Any])
    if one.get("odd"):
        raise msgspec.ValidationError("Expected `int`, got `str` - at `$.odd`")
    return one


class Copy:
    """A running reflector and what it told."""

    def __init__(self, server: Server, clock: Any) -> None:
        self.server = server
        self.told: list[tuple[str, str]] = []
        self.reflector: Reflector[dict[str, Any]] = Reflector(
            connection_to(server.url, clock),
            clock,
            "/things",
            decode,
            lambda namespace, name, one: self.told.append((name, one["metadata"]["resourceVersion"])),
            jitter=random.Random(1),
            backoff=(0.01, 0.05),
        )
        self.thread = threading.Thread(target=self.reflector.run, daemon=True)
        self.thread.start()

    @property
    def names(self) -> list[str]:
        return sorted(one["metadata"]["name"] for one in self.reflector.read_all("shop"))

    @property
    def watches(self) -> list[str]:
        return [asked.query["resourceVersion"] for asked in self.server.asked if "watch" in asked.query]

    @property
    def lists(self) -> int:
        return sum("watch" not in asked.query for asked in self.server.asked)


@contextlib.contextmanager
def copying(*answers: Answer, clock: Any = None) -> Iterator[Copy]:
    with serving(*answers) as server:
        copy = Copy(server, clock or RealClock())
        try:
            yield copy
        finally:
            copy.reflector.stop()
            copy.thread.join(60)
            assert not copy.thread.is_alive()


def first_list(*things: dict[str, Any], version: str = "10") -> Answer:
    return pages("ThingList", list(things), version=version)[0]


def test_a_list_and_the_changes_after_it_make_the_copy() -> None:
    changes = stream(
        event("ADDED", thing("c", "11")),
        event("MODIFIED", thing("a", "12", more=1)),
        event("DELETED", thing("b", "13")),
        end=open_end,
    )
    with copying(first_list(thing("a", "1"), thing("b", "2")), changes) as copy:
        eventually(lambda: copy.reflector.version == "13", "the copy has followed")
        assert copy.names == ["a", "c"]
        assert copy.told == [("a", "1"), ("b", "2"), ("c", "11"), ("a", "12"), ("b", "13")]
        assert copy.reflector.read("shop", "a") == thing("a", "12", more=1)
        assert copy.reflector.version_of("shop", "a") == "12"
        assert copy.reflector.version_of("shop", "b") == ""
        assert copy.reflector.read_all("other") == []
        (asked,) = [asked for asked in copy.server.asked if "watch" in asked.query]
        assert asked.query["resourceVersion"] == "10"
        assert asked.query["allowWatchBookmarks"] == "true"
        assert 30 <= int(asked.query["timeoutSeconds"]) <= 45


def test_a_watch_goes_on_where_the_last_one_ended_and_bookmarks_move_that_place_on() -> None:
    with copying(
        first_list(thing("a", "1")), stream(event("ADDED", thing("b", "11")), bookmark("40")), stream(end=open_end)
    ) as copy:
        eventually(lambda: len(copy.watches) == 2, "the second watch")
        assert copy.watches == ["10", "40"]
        assert copy.lists == 1


@pytest.mark.parametrize(
    "forgotten", [stream(gone_event()), status(410, "Expired", "Expired"), status(400, "invalid resource version")]
)
def test_k3_after_410_everything_is_listed_again_and_what_is_missing_was_deleted(forgotten: Answer) -> None:
    with copying(
        first_list(thing("a", "1"), thing("b", "2"), thing("c", "3")),
        forgotten,
        first_list(thing("a", "1"), thing("c", "30"), thing("d", "31"), version="50"),
        stream(end=open_end),
    ) as copy:
        eventually(lambda: copy.watches == ["10", "50"], "the watch after the second list")
        assert copy.names == ["a", "c", "d"]
        # b is told with its last shape, c has changed, d is new; a is unchanged and silent.
        assert copy.told[3:] == [("b", "2"), ("c", "30"), ("d", "31")]


@pytest.mark.parametrize(
    "fault",
    [
        hang_up,
        status(500, "boom"),
        status(503, "down"),
        status(401, "Unauthorized"),
        plain(b"<html>", 502),
        stream(),  # closed at once, in good order
        stream(b"this is not json\n"),
        stream(b'{"type":"ADDED","object":{}}\n'),
        stream(b'{"type":"STRANGE","object":{"metadata":{"name":"x","resourceVersion":"99"}}}\n'),
        stream(event("ERROR", {"kind": "Status", "code": 500, "message": "watch cache is warming"})),
        stream(end=hang_up),
        raw(b"HTTP/1.1 200 OK\r\n\r\n{broken"),
    ],
)
def test_a_faulty_watch_is_asked_again_with_growing_pauses_and_from_the_same_place(fault: Answer) -> None:
    clock = SetClock()
    with copying(first_list(thing("a", "1")), *[fault] * 6, stream(end=open_end), clock=clock) as copy:
        eventually(lambda: len(copy.watches) == 7, "the watch after the faults")
        assert set(copy.watches) == {"10"}
        assert copy.lists == 1
        assert copy.names == ["a"]
        assert len(clock.waited) == 6
        # First and longest pause of this copy are 0.01 s and 0.05 s, times a half to one.
        assert all(0.005 <= pause <= 0.05 for pause in clock.waited)
        assert min(clock.waited[3:]) >= 0.025


def test_a_watch_with_events_that_closes_at_once_counts_as_a_failure_too() -> None:
    clock = SetClock()
    busy = [stream(event("MODIFIED", thing("a", str(20 + turn)))) for turn in range(5)]
    with copying(first_list(thing("a", "1")), *busy, stream(end=open_end), clock=clock) as copy:
        eventually(lambda: len(copy.watches) == 6, "the watch after the busy ones")
        assert len(clock.waited) == 5
        assert copy.reflector.version == "24"


def test_k4_a_throttled_watch_waits_as_long_as_it_is_told() -> None:
    clock = SetClock()
    with copying(
        first_list(), status(429, "slow down", headers={"Retry-After": "17"}), stream(end=open_end), clock=clock
    ) as copy:
        eventually(lambda: len(copy.watches) == 2, "the watch after the pause")
        assert clock.waited == [17.0]


def test_an_orderly_end_after_its_time_is_no_failure_and_waits_for_nothing() -> None:
    clock = SetClock()
    known: list[Copy] = []  # the first watch may begin before the copy is in our hands

    def forty_seconds(asked: Asked, line: Line) -> None:
        eventually(lambda: bool(known) and known[0].reflector.watching, "the watch is open")
        clock.at += 40.0
        line.send(b"0\r\n\r\n")

    long_watch = stream(event("ADDED", thing("b", "11")), end=forty_seconds)
    with copying(first_list(), long_watch, long_watch, stream(end=open_end), clock=clock) as copy:
        known.append(copy)
        eventually(lambda: len(copy.watches) == 3, "the third watch")
        assert clock.waited == []


def test_garbage_in_the_middle_keeps_what_came_before() -> None:
    with copying(
        first_list(),
        stream(event("ADDED", thing("a", "11")), b"{]\n", event("ADDED", thing("b", "12"))),
        stream(event("ADDED", thing("b", "12")), end=open_end),
    ) as copy:
        eventually(lambda: copy.names == ["a", "b"], "both objects")
        assert copy.watches == ["10", "11"]


def test_an_object_that_cannot_be_decoded_is_known_as_odd_until_it_can() -> None:
    with copying(
        first_list(thing("a", "1"), thing("b", "2", odd=True)),
        stream(event("MODIFIED", thing("a", "11", odd=True)), event("MODIFIED", thing("b", "12")), end=open_end),
    ) as copy:
        eventually(lambda: copy.names == ["b"], "b is readable")
        assert copy.reflector.odd("shop") == ("a",)
        assert copy.reflector.odd("other") == ()


def test_an_odd_object_that_is_deleted_is_forgotten() -> None:
    with copying(
        first_list(thing("a", "1", odd=True)),
        stream(event("DELETED", thing("a", "11", odd=True)), event("ADDED", thing("b", "12")), end=open_end),
    ) as copy:
        eventually(lambda: copy.names == ["b"], "b is there")
        assert copy.reflector.odd("shop") == ()


def test_k20_a_kind_that_is_gone_makes_the_copy_unusable_and_says_so() -> None:
    no_kind = plain(b"404 page not found\n", 404)
    with copying(first_list(thing("a", "1")), no_kind, no_kind) as copy:
        eventually(lambda: not copy.reflector.synced.is_set() and copy.lists > 1, "the loss is known")
        eventually(lambda: copy.reflector.trouble is not None, "the reason is known")
        assert copy.reflector.trouble is not None
        assert copy.reflector.trouble.kind is FailureKind.NO_KIND


def test_k20_a_kind_that_comes_back_is_copied_again() -> None:
    no_kind = plain(b"404 page not found\n", 404)
    with copying(
        first_list(thing("a", "1")), no_kind, no_kind, first_list(thing("b", "2"), version="60"), stream(end=open_end)
    ) as copy:
        eventually(lambda: copy.watches[-1:] == ["60"], "the new watch")
        assert copy.reflector.synced.is_set()
        assert copy.reflector.trouble is None
        assert copy.names == ["b"]


def test_k8_the_age_grows_while_nothing_is_heard() -> None:
    clock = SetClock()
    with copying(first_list(thing("a", "1")), stream(end=open_end), clock=clock) as copy:
        eventually(lambda: copy.reflector.watching, "the watch is open")
        assert copy.reflector.age() == 0.0
        clock.at += 70.0
        assert copy.reflector.age() == 70.0


def test_k9_before_the_first_list_nothing_is_known() -> None:
    with copying(status(503, "down")) as copy:
        eventually(lambda: len(copy.server.asked) >= 3, "it keeps asking")
        assert not copy.reflector.synced.is_set()
        assert copy.reflector.age() == float("inf")
        assert copy.reflector.trouble is not None
        assert copy.reflector.trouble.kind is FailureKind.UNAVAILABLE


def test_a_listener_that_fails_does_not_stop_the_copy() -> None:
    with serving(first_list(thing("a", "1")), stream(event("ADDED", thing("b", "11")), end=open_end)) as server:
        copy = Copy.__new__(Copy)

        def listener(namespace: str, name: str, one: Any) -> None:
            raise RuntimeError("a fault of the listener")

        clock = RealClock()
        reflector: Reflector[dict[str, Any]] = Reflector(
            connection_to(server.url), clock, "/things", decode, listener, jitter=random.Random(1)
        )
        copy.reflector = reflector
        thread = threading.Thread(target=reflector.run, daemon=True)
        thread.start()
        eventually(lambda: copy.names == ["a", "b"], "the copy goes on")
        reflector.stop()
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "busy",
    [
        [first_list(), stream(end=open_end)],  # in a silent watch
        [status(503, "down")],  # in a pause between attempts
        [first_list(), lambda asked, line: line.send(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a":') or line.silence()],
    ],
)
def test_stop_ends_at_once_wherever_the_loop_is(busy: list[Answer]) -> None:
    with serving(*busy) as server:
        reflector: Reflector[dict[str, Any]] = Reflector(
            connection_to(server.url),
            RealClock(),
            "/things",
            decode,
            lambda *_: None,
            jitter=random.Random(1),
            backoff=(300.0, 300.0),
        )
        thread = threading.Thread(target=reflector.run, daemon=True)
        thread.start()
        eventually(lambda: len(server.asked) == len(busy), "it is in the middle of it")
        time.sleep(0.1)
        reflector.stop()
        thread.join(60)  # the server would be silent for longer, and so would the pause be
        assert not thread.is_alive()


def test_an_event_split_over_many_pieces_is_one_event() -> None:
    line = msgspec.json.encode(event("ADDED", thing("a", "11"))) + b"\n"

    def in_pieces(asked: Asked, out: Line) -> None:
        stream(*[line[i : i + 7] for i in range(0, len(line), 7)], end=open_end)(asked, out)

    with copying(first_list(), in_pieces) as copy:
        eventually(lambda: copy.names == ["a"], "the event has arrived")


def test_an_unchunked_stream_is_read_as_it_comes() -> None:
    def unchunked(asked: Asked, out: Line) -> None:
        out.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        out.send(msgspec.json.encode(event("ADDED", thing("a", "11"))) + b"\n")
        out.silence()

    with copying(first_list(), unchunked) as copy:
        eventually(lambda: copy.names == ["a"], "the event has arrived before the end")


def test_many_events_in_one_piece_are_each_applied() -> None:
    many = b"".join(msgspec.json.encode(event("ADDED", thing(f"t{n}", str(100 + n)))) + b"\n" for n in range(200))

    def silent(asked: Asked, line: Line) -> None:
        line.send(chunk(b"\n"))
        line.silence()

    with copying(first_list(), stream(many, end=silent)) as copy:
        eventually(lambda: copy.reflector.version == "299", "all of them")
        assert len(copy.names) == 200
