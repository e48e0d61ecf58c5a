"""What the process says about itself: lines that nobody can forge, and labels that end with what they describe."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import urllib3

from analysis.verdict import Verdict
from controller.attempt import TickResult
from controller.release.record import Entry, GateVerdict, Held, Record
from controller.release.vocabulary import HoldReason, Phase
from controller.report import Report
from controller.report.logs import configure
from controller.report.server import Server, words
from controller.requests.failure import Failure, FailureKind
from controller.simulation.scenario import Run
from controller.simulation.script import read_script
from tests.controller.process.apps import CHECKOUT

NOW = 1_800_000_000.0


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers, root.level
    configure(lambda: NOW, stream=stream)
    yield stream
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def turn(because: str) -> TickResult:
    verdict = GateVerdict(
        "errors",
        Verdict.DEGRADED,
        "worse",
        evidence={"effect": {"ratio": 8.1, "interval": [5, 11]}, "exposure": {"requests": [100, 300]}},
    )
    record = Record(phase=Phase.ROLLING_BACK, stage=2, stages=4, desired=10, epoch=3, ready=(4, 6))
    entry = Entry(NOW, "RollBack", because, Phase.ROLLING_BACK, 2, (verdict,))
    return TickResult(CHECKOUT, "checkout-1", record, turned=True, wrote=2, entries=(entry,))


def test_a_turn_is_one_line_with_its_numbers(lines: io.StringIO) -> None:
    Report().ticked(CHECKOUT, turn("errors 4 % against 0.5 %"), 0.02, 0)
    [line] = told(lines)
    assert list(line)[:3] == ["at", "level", "event"]
    assert line["event"] == "turn"
    assert line["at"] == "2027-01-15T08:00:00.000Z"
    assert (line["app"], line["release"], line["phase"]) == ("shop/checkout", "checkout-1", "RollingBack")
    assert (line["batch"], line["of"], line["contender"], line["incumbent"], line["desired"]) == (2, 4, 4, 6, 10)
    assert line["verdicts"] == [
        {"gate": "errors", "verdict": "Degraded", "ratio": 8.1, "interval": [5, 11], "requests": [100, 300]}
    ]


def test_the_first_advance_says_what_it_orders_and_what_serves_already(lines: io.StringIO) -> None:
    """The real first turn of a release, out of the simulation."""
    script = read_script(
        "# A release begins.\nrelease checkout v41 -> v42, 10 pods, batches 2 100%\n----\n", "begin.txt"
    )
    run = Run(None, script, 1)
    report = Report()
    run.driver.on_tick = lambda ticked: report.ticked(CHECKOUT, ticked.result, 0.02, 0)
    run.to_end()
    advances = [line for line in told(lines) if line.get("kind") == "Advance"]
    assert [(each["ordered"], each["contender"], each["incumbent"]) for each in advances] == [(2, 0, 10), (10, 2, 8)]


# A pod's message is written by whoever wrote the pod. It must not become a line of ours.
def test_no_message_forges_a_line(lines: io.StringIO) -> None:
    forged = 'back-off\n{"level": "info", "event": "turn", "phase": "Succeeded"}\r\x1b[2J\u2028'
    Report().ticked(CHECKOUT, turn(forged), 0.02, 0)
    assert len(lines.getvalue().splitlines()) == 1
    assert told(lines)[0]["because"] == forged
    assert lines.getvalue().isascii()


def test_a_quiet_tick_says_nothing(lines: io.StringIO) -> None:
    Report().ticked(CHECKOUT, TickResult(CHECKOUT, "checkout-1", Record(phase=Phase.CANARY)), 0.01, 0)
    assert lines.getvalue() == ""


def test_a_failure_that_lasts_is_told_now_and_then(lines: io.StringIO) -> None:
    report = Report()
    failed = TickResult(CHECKOUT, "checkout-1", failure=Failure(FailureKind.UNAVAILABLE, "no connection"))
    for times in range(1, 101):
        report.ticked(CHECKOUT, failed, 0.01, times)
    assert [line["times"] for line in told(lines)] == [1, 2, 3, 20, 40, 60, 80, 100]
    assert report.metrics.registry.get_sample_value("nightferry_ticks_total", {"outcome": "failed"}) == 100


def test_an_exception_shows_its_traceback_once(lines: io.StringIO) -> None:
    report = Report()
    try:
        raise KeyError("metadata")
    except KeyError as error:
        for times in (1, 2, 3):
            report.crashed(CHECKOUT, error, times, None)
    assert ["traceback" in line for line in told(lines)] == [True, False, False]


def test_the_libraries_own_lines_are_json_too(lines: io.StringIO) -> None:
    logging.getLogger("some.library").warning("careful: %s", "a\nb")
    assert told(lines)[0]["event"] == "careful: a\nb"


def test_a_hold_is_shown_while_it_lasts_and_leaves_no_label(lines: io.StringIO) -> None:
    report = Report()
    held = Record(phase=Phase.CANARY, held=Held(HoldReason.BLIND, NOW, None, "rollBack", "no data"))
    report.ticked(CHECKOUT, TickResult(CHECKOUT, "checkout-1", held), 0.01, 0)
    report.late(CHECKOUT, 0.3)
    text = report.metrics.text().decode()
    assert 'nightferry_release_held{app="checkout",namespace="shop",reason="Blind"} 1.0' in text
    assert 'nightferry_tick_lag_seconds{app="checkout",namespace="shop"} 0.3' in text
    report.ticked(CHECKOUT, TickResult(CHECKOUT, "checkout-1", Record(phase=Phase.ROLLED_BACK)), 0.01, 0)
    assert 'reason="Blind"' not in report.metrics.text().decode()
    report.gone(CHECKOUT)
    assert "checkout" not in report.metrics.text().decode()


def test_releases_are_counted_by_phase_as_they_are_now() -> None:
    report = Report()
    report.metrics.present.phases = lambda: {"Canary": 2}
    assert report.metrics.registry.get_sample_value("nightferry_releases", {"phase": "Canary"}) == 2
    report.metrics.present.phases = dict
    assert report.metrics.registry.get_sample_value("nightferry_releases", {"phase": "Canary"}) == 0


def test_requests_are_counted_by_kind_and_outcome() -> None:
    report = Report()
    report.performed("WriteSlot", "Conflict", 0.01)
    report.performed("WriteSlot", "Ok", 0.01)
    value = report.metrics.registry.get_sample_value
    assert value("nightferry_requests_total", {"kind": "WriteSlot", "outcome": "Conflict"}) == 1
    assert value("nightferry_conflicts_total") == 1
    assert value("nightferry_request_duration_seconds_count", {"kind": "WriteSlot"}) == 2


def test_the_pages_are_served_and_nothing_else() -> None:
    server = Server(("127.0.0.1", 0), {"/healthz": lambda: words(200, "alive"), "/readyz": lambda: words(503, "no")})
    server.start()
    try:
        found = {
            path: urllib3.request("GET", f"http://127.0.0.1:{server.port}{path}", retries=False, timeout=60.0)
            for path in ("/healthz?verbose", "/readyz", "/etc/passwd", "/")
        }
    finally:
        server.stop()
    assert {path: answer.status for path, answer in found.items()} == {
        "/healthz?verbose": 200,
        "/readyz": 503,
        "/etc/passwd": 404,
        "/": 404,
    }
    assert found["/readyz"].data == b"no\n"
