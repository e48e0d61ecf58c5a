"""The report as plain data: for programs, and for notifiers, which make pages of it when they send it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from controller.morning.value import Report
from controller.morning.words import summary
from controller.release.instants import rfc3339
from controller.typed import reader

VERSION = 1
_read = reader(Report, strict=False)
_TIMES = frozenset(
    {"since", "until", "made", "asked", "began", "turned", "ended", "at", "first", "last", "opened", "closes"}
)


def to_json(report: Report) -> str:
    """The report for programs; times as RFC 3339, lengths of time in seconds."""
    figures = report.figures
    told = _timed(msgspec.to_builtins(report))
    told["figures"] |= {"perDay": figures.per_day, "failureRate": figures.failure_rate}
    return json.dumps({"version": VERSION, "summary": summary(report), **told}, indent=2, ensure_ascii=False)


def payload_of(report: Report) -> dict[str, Any]:
    """What a tick hands to a notifier; the pages are made where they are sent."""
    return {
        "event": "report",
        "title": f"{report.title}: {summary(report)}",
        "at": rfc3339(report.until),
        "report": msgspec.to_builtins(report),
    }


def report_from(payload: Mapping[str, Any]) -> Report:
    """The report in a payload. Raises msgspec.ValidationError for one that `payload_of` did not make."""
    return _read(payload["report"])


def _timed(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _timed(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_timed(each) for each in value]
    return rfc3339(value) if key in _TIMES and isinstance(value, int | float) and not isinstance(value, bool) else value
