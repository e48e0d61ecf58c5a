"""The report in plain words, a few lines for each release: for chats, which know neither tables nor Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from controller.morning.value import GROUPS, Journey, Report
from controller.morning.words import (
    HEADINGS,
    asked,
    clock,
    day,
    left_out,
    measures,
    next_steps,
    outcome,
    ride_notes,
    since,
    span,
    what,
)
from controller.release.vocabulary import Phase
from controller.release.words import printable

MOST_WORDS = 400  # characters of one sentence; the whole one stands in the other forms


def brief(report: Report) -> str:
    """The whole report."""
    return "\n".join(map(_line, _lines(report))) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"{day(report.since, report)} to {day(report.until, report)} {report.zone}"
    yield "; ".join(f"{name.lower()} {value}" for name, value, _ in measures(report.figures) if value != "–")
    for ride in report.trains:
        yield from (f"train {ride.train}: {note}" for note in ride_notes(ride))
    for group in GROUPS:
        if found := report.of(group):
            yield ""
            yield f"*{HEADINGS[group]}*"
        for one in found:
            yield from _journey(one, report)
    if more := left_out(report):
        yield ""
        yield more
    if report.unread:
        yield ""
    for problem in report.unread:
        yield f"not in this report, because its record cannot be read: {problem}"


def _journey(one: Journey, report: Report) -> Iterator[str]:
    times = ""
    if one.began is not None and one.ended is not None:
        times = f", {clock(one.began, report)} to {clock(one.ended, report)} ({span(one.ended - one.began)})"
    yield f"• {one.app}: {what(one)}: {outcome(one)}{times}"
    if one.took_back:
        yield f"   asked by {asked(one)}"
    elif one.outcome != Phase.SUCCEEDED:
        yield f"   {one.because}"
        for gate in one.turning.gates if one.turning is not None else ():
            if gate.onset is not None:
                yield f"   gate {gate.gate} {since(gate.onset, report)}"
    for note in (*next_steps(one, report), *one.doors, *(f"not told: {each}" for each in one.untold)):
        yield f"   {note}"


def _line(words: str) -> str:
    line = printable(words)
    return line if len(line) <= MOST_WORDS else f"{line[:MOST_WORDS]}..."
