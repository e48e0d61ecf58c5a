"""Which Alertmanagers are heard, as the metrics count it and the log says it: once, and not at each read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from controller.report.alerting import QUIET, READS, AlertReport
from tests.controller.adapters.builders import SetClock

SILENT = ("alertmanager not heard", "b")
AGAIN = ("alertmanager heard again", "b")


class Told:
    """A report on the Alertmanagers a and b, and its log."""

    def __init__(self, log: Sequence[Any]) -> None:
        self.registry, self.clock = CollectorRegistry(), SetClock()
        self.report = AlertReport(self.registry, self.clock, ["a", "b"])
        self._log = log

    def reads(self, *outcomes: str, every: float = 15.0) -> None:
        """So many reads, one in so many seconds: a answers each time, b as said."""
        for outcome in outcomes:
            self.report.read("a", "answered", "")
            self.report.read("b", outcome, "" if outcome == "answered" else "timed out")
            self.clock.at += every

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(line["event"], line["alertmanager"]) for line in self._log]

    def counted(self, alertmanager: str, outcome: str) -> float | None:
        labels = {"alertmanager": alertmanager, "outcome": outcome}
        return self.registry.get_sample_value("nightferry_alertmanager_reads_total", labels)


@pytest.fixture
def told() -> Iterator[Told]:
    with structlog.testing.capture_logs() as log:
        yield Told(log)


def test_of_each_alertmanager_there_is_a_count_before_it_was_ever_asked(told: Told) -> None:
    assert [told.counted(name, outcome) for name in "ab" for outcome in READS] == [0.0] * 6


def test_each_read_is_counted_and_a_silence_is_said_once_with_its_reason_and_its_end(told: Told) -> None:
    told.reads("answered", *["silent"] * 100, "deaf", *["answered"] * 50)
    assert told.lines == [SILENT, AGAIN]
    assert [told.counted("b", outcome) for outcome in READS] == [51.0, 100.0, 1.0]
    assert [told.counted("a", outcome) for outcome in READS] == [152.0, 0.0, 0.0]


def test_why_one_is_not_heard_is_in_its_line(told: Told) -> None:
    with structlog.testing.capture_logs() as log:
        told.report.read("b", "silent", "HTTP 503: gone")
    (line,) = log
    assert (line["log_level"], line["because"]) == ("warning", "HTTP 503: gone")


def test_one_that_hears_of_no_rules_is_as_good_as_silent(told: Told) -> None:
    told.reads("deaf", "silent", "answered")
    assert told.lines == [SILENT, AGAIN]


def test_one_that_answers_every_other_time_fills_no_log(told: Told) -> None:
    told.reads(*["silent", "answered"] * 600, every=1.0)
    assert told.lines == [SILENT, AGAIN] * (1200 // int(QUIET))


def test_one_that_falls_silent_soon_after_it_was_heard_again_is_said_all_the_same(told: Told) -> None:
    told.reads("silent", "answered", *["silent"] * 100, every=1.0)
    assert told.lines == [SILENT, AGAIN, SILENT]
