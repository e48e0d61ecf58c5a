"""The level read: of servers that are wrong in every way, and of the real Alertmanager."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from controller.alerts import alertmanager
from controller.alerts.alertmanager import Alertmanagers, Heard
from controller.alerts.settings import AlertmanagerSettings
from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import FiringAlerts, ReadFiring
from tests.controller.adapters.builders import TOKEN, RealClock
from tests.controller.adapters.server import Answer, Asked, Line, hang_up, obj, plain, raw, serving

PAGE = (("service", "checkout"), ("severity", "page"))
ASK = ReadFiring((PAGE,))
WATCHDOG = (("alertname", "Watchdog"),)


def an_item(fingerprint: str = "f1", state: str = "active", **labels: str) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "labels": {"alertname": "CheckoutErrors", "service": "checkout", "severity": "page", **labels},
        "annotations": {},
        "startsAt": "2025-10-09T08:53:00.123Z",
        "endsAt": "2025-10-09T08:58:00.123Z",
        "updatedAt": "2025-10-09T08:53:00.123Z",
        "receivers": [{"name": "nightferry"}],
        "generatorURL": "",
        "status": {"state": state, "silencedBy": ["s1"] if state == "suppressed" else [], "inhibitedBy": []},
    }


def nobody(name: str, outcome: str, because: str) -> None:
    """Who is told what came of each, where a test does not ask."""


def managers(*urls: str, watchdog: Any = (), heard: Heard = nobody, **more: Any) -> Alertmanagers:
    settings = [
        AlertmanagerSettings(f"am-{n}", url, **{"timeout": 60.0, **more}) for n, url in enumerate(urls)
    ]  # fmt: skip
    return Alertmanagers(settings, watchdog, RealClock(), heard)


def fingerprints(found: FiringAlerts | Failure) -> set[str]:
    assert isinstance(found, FiringAlerts), found
    return {each["fingerprint"] for each in found.items}


def test_every_match_is_one_question_with_whole_labels() -> None:
    asked: list[Asked] = []

    def answer(one: Asked, line: Line) -> None:
        asked.append(one)
        obj([an_item()])(one, line)

    odd = (("service", 'a"b\\c{}, x=~".*"'),)
    with serving(answer) as server:
        found = managers(f"{server.url}/prefix/").perform(ReadFiring((PAGE, odd)))
    assert fingerprints(found) == {"f1"}
    assert [one.path for one in asked] == ["/prefix/api/v2/alerts"] * 2
    assert asked[1].query == {"filter": 'service="a\\"b\\\\c{}, x=~\\".*\\""'}


def test_an_alert_that_was_not_asked_for_is_not_believed() -> None:
    """A proxy that drops the filter must not make another app's alert ours."""
    with serving(obj([an_item(), an_item("f2", service="search")])) as server:
        assert fingerprints(managers(server.url).perform(ASK)) == {"f1"}


BAD: dict[str, Answer] = {
    "503": obj({"status": "error"}, 503),
    "a redirect": plain(b"", 302, {"Location": "http://127.0.0.1:1/"}),
    "404": plain(b"404 page not found", 404),
    "an HTML page": plain(b"<html>sign in</html>"),
    "no list": obj({"data": []}),
    "a list of something else": obj([{"name": "x"}]),
    "labels that are none": obj([{**an_item(), "labels": {"service": 3}}]),
    "no state": obj([{**an_item(), "status": {}}]),
    "nothing": hang_up,
    "half a body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n["),
    "a body that lies about its encoding": plain(b"[]", 200, {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_a11_what_is_no_answer_is_a_failure_and_never_no_alert(answer: Answer) -> None:
    with serving(answer) as server:
        found = managers(server.url).perform(ASK)
    assert isinstance(found, Failure)
    assert found.message.startswith("alertmanager am-0: ")
    assert found.message.isprintable()


def test_a11_a_server_that_drips_is_left_in_time() -> None:
    body = json.dumps([an_item()]).encode()
    with serving(lambda _, line: line.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + body, 0.05)) as server:
        found = managers(server.url, timeout=0.4).perform(ASK)
    assert isinstance(found, Failure) and "timed out" in found.message


def test_one_of_two_is_enough_and_what_either_says_fires_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager, "GRACE", 60.0)
    with serving(obj([an_item("f1", "suppressed")])) as one, serving(obj([an_item(), an_item("f2")])) as other:
        for urls in ((one.url, other.url), (other.url, one.url)):
            found = managers(*urls).perform(ASK)
            assert fingerprints(found) == {"f1", "f2"}
            assert isinstance(found, FiringAlerts)
            assert {each["status"]["state"] for each in found.items} == {"active"}
        assert fingerprints(managers("http://127.0.0.1:1", other.url).perform(ASK)) == {"f1", "f2"}
    gone = managers("http://127.0.0.1:1", "http://127.0.0.1:2").perform(ASK)
    assert isinstance(gone, Failure) and gone.kind is FailureKind.UNAVAILABLE


class Hangs:
    """An Alertmanager that says nothing for longer than anybody waits, until it `recovers`."""

    def __init__(self, *alerts: dict[str, Any]) -> None:
        self.recovers = threading.Event()
        self.given_up = threading.Event()  # somebody has waited to the end of a question
        self._alerts = alerts

    def __call__(self, asked: Asked, line: Line) -> None:
        if self.recovers.is_set():
            obj(list(self._alerts))(asked, line)
            return
        line.silence(120.0)
        self.given_up.set()


@pytest.mark.parametrize("first", [True, False])
def test_a11_one_that_hangs_keeps_nobody_waiting_for_the_other(first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its whole time is many times what is left of a tick, and of a post that waits for its answer."""
    hangs = Hangs(an_item("f2"))
    with serving(hangs) as silent, serving(obj([an_item("f1")])) as other:
        urls = (silent.url, other.url) if first else (other.url, silent.url)
        monkeypatch.setattr(alertmanager, "GRACE", 0.1)
        both = managers(*urls)
        assert fingerprints(both.perform(ASK)) == {"f1"}
        assert not hangs.given_up.is_set()

        # It has missed its moment, and gets no other one until it has answered again.
        monkeypatch.setattr(alertmanager, "GRACE", 3600.0)
        assert fingerprints(both.perform(ASK)) == {"f1"}
        assert not hangs.given_up.is_set()

        hangs.recovers.set()
        while "f2" not in fingerprints(both.perform(ASK)):
            pass
        assert [fingerprints(both.perform(ASK)) for _ in range(20)] == [{"f1", "f2"}] * 20


def test_a11_who_is_a_moment_slower_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may know what the other one has not heard of yet."""
    monkeypatch.setattr(alertmanager, "GRACE", 60.0)
    first_said = threading.Event()

    def quick(asked: Asked, line: Line) -> None:
        obj([])(asked, line)
        first_said.set()

    def slower(asked: Asked, line: Line) -> None:
        first_said.wait(60.0)
        obj([an_item()])(asked, line)

    with serving(quick) as one, serving(slower) as other:
        assert fingerprints(managers(one.url, other.url).perform(ASK)) == {"f1"}


def test_a11_that_one_of_a_pair_hangs_is_told_and_that_it_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str, str]] = []
    hangs = Hangs(an_item("f2"))
    with serving(hangs) as silent, serving(obj([an_item("f1")])) as other:
        both = managers(silent.url, other.url, heard=lambda *each: told.append(each))
        monkeypatch.setattr(alertmanager, "GRACE", 0.0)
        for _ in range(3):
            both.perform(ASK)
        assert told == [("am-0", "silent", "timed out"), ("am-1", "answered", "")] * 3
        hangs.recovers.set()
        monkeypatch.setattr(alertmanager, "GRACE", 3600.0)
        while "f2" not in fingerprints(both.perform(ASK)):
            pass
        assert told[-2:] == [("am-0", "answered", ""), ("am-1", "answered", "")]


def test_a11_a20_that_one_answers_wrongly_or_hears_of_no_rules_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager, "GRACE", 60.0)
    told: list[tuple[str, str, str]] = []
    dog = {**an_item("dog"), "labels": {"alertname": "Watchdog"}}
    with serving(obj([an_item(), dog])) as good, serving(plain(b"gone", 503)) as bad, serving(obj([])) as deaf:
        urls = (bad.url, deaf.url, good.url)
        three = managers(*urls, watchdog=WATCHDOG, heard=lambda *each: told.append(each))
        assert fingerprints(three.perform(ASK)) == {"f1"}
    because = "the watchdog alert (alertname=Watchdog) does not fire: alert rules are not evaluated, or do not arrive"
    assert told == [("am-0", "silent", "HTTP 503: gone"), ("am-1", "deaf", because), ("am-2", "answered", "")]


def test_a20_an_answer_without_the_watchdog_cuts_nobodys_time_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Prometheus reaches the first any more, so the slow one is the only one that knows."""
    monkeypatch.setattr(alertmanager, "GRACE", 0.0)
    dog = {**an_item("dog"), "labels": {"alertname": "Watchdog"}}
    asked = threading.Event()

    def empty(one: Asked, line: Line) -> None:
        obj([])(one, line)
        if one.query["filter"].startswith("alertname"):
            asked.set()

    def patient(one: Asked, line: Line) -> None:
        asked.wait(60.0)  # until the other one has said all that it has to say
        body = json.dumps([an_item(), dog]).encode()
        line.drip(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, 0.001)

    with serving(empty) as one, serving(patient) as other:
        found = managers(one.url, other.url, watchdog=WATCHDOG).perform(ASK)
    assert fingerprints(found) == {"f1"}


def test_a20_without_its_watchdog_an_alertmanager_is_not_believed() -> None:
    dog = {**an_item("dog"), "labels": {"alertname": "Watchdog"}}
    with serving(obj([])) as server:
        found = managers(server.url, watchdog=WATCHDOG).perform(ASK)
        assert isinstance(found, Failure) and "watchdog alert (alertname=Watchdog) does not fire" in found.message
    with serving(obj([dog])) as server:
        assert fingerprints(managers(server.url, watchdog=WATCHDOG).perform(ASK)) == set()


def test_s18_credentials_are_sent_read_again_and_never_shown(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("an-old-one")

    def answer(one: Asked, line: Line) -> None:
        if one.headers.get("authorization", one.headers.get("Authorization")) != f"Bearer {TOKEN}":
            token.write_text(TOKEN)
            plain(f"who is {TOKEN}?".encode(), 401)(one, line)
        else:
            plain(f"{TOKEN} and no list".encode(), 500)(one, line)

    with serving(answer) as server:
        found = managers(server.url, bearer_token_file=token).perform(ASK)
        assert isinstance(found, Failure)
        assert "HTTP 500" in found.message and TOKEN not in found.message
        gone = managers(server.url, bearer_token_file=tmp_path / "none").perform(ASK)
        assert isinstance(gone, Failure) and gone.kind is FailureKind.UNAUTHORIZED


def test_two_of_one_name_and_none_at_all() -> None:
    with pytest.raises(ValueError, match="two Alertmanagers are named a"):
        Alertmanagers([AlertmanagerSettings("a", "http://a")] * 2, (), RealClock(), nobody)
    found = Alertmanagers([], (), RealClock(), nobody).perform(ASK)
    assert isinstance(found, Failure) and found.kind is FailureKind.ABSENT
