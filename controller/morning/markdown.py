"""The report as Markdown: what a chat, a mail or a terminal shows. Words of people are text and never markup."""

from __future__ import annotations

import re
from collections.abc import Iterator

from controller.morning.value import GROUPS, Decided, Journey, Report
from controller.morning.words import (
    HEADINGS,
    asked,
    clock,
    day,
    interval,
    left_out,
    measures,
    next_steps,
    outcome,
    ratio,
    ride_notes,
    since,
    span,
    summary,
    turn,
    what,
)
from controller.release.words import printable

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(_lines(report)).rstrip() + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {_text(report.title)}"
    yield ""
    yield f"{day(report.since, report)} to {day(report.until, report)} ({report.zone}): **{summary(report)}**."
    yield ""
    yield "| figure | value | meaning |"
    yield "| --- | --- | --- |"
    for name, value, meaning in measures(report.figures):
        yield f"| {name} | {value} | {meaning} |"
    for ride in report.trains:
        yield ""
        count = f"{len(ride.departed)} left, {len(ride.waiting)} did not"
        yield f"Train **{_text(ride.train)}**, night {_text(ride.night)}: {count}."
        yield ""
        yield from (f"- {_text(note)}" for note in ride_notes(ride))
    for group in GROUPS:
        found = report.of(group)
        if found:
            yield ""
            yield f"## {HEADINGS[group]} ({len(found)})"
        for one in found:
            yield from _journey(one, report)
    if more := left_out(report):
        yield ""
        yield _text(more)
    for problem in report.unread:
        yield ""
        yield f"Not in this report, because its record cannot be read: {_text(problem)}"


def _journey(one: Journey, report: Report) -> Iterator[str]:
    yield ""
    yield f"### {_text(one.app)}: {_text(what(one))}"
    yield ""
    times = f"asked {clock(one.asked, report)}"
    if one.began is not None:
        times += f", began {clock(one.began, report)}"
    if one.ended is not None:
        times += f", ended {clock(one.ended, report)}"
        times += f" after {span(one.ended - one.began)}" if one.began is not None else ""
    yield f"`{one.namespace}/{one.release}` {_text(outcome(one))}; {times}; asked by {_text(asked(one))}"
    yield ""
    yield f"> {_text(one.because)}"
    notes = [_text(step).replace("\\`", "`") for step in next_steps(one, report)]
    notes += [_text(note) for note in (*one.doors, *(f"not told: {each}" for each in one.untold))]
    if notes:
        yield ""
        yield from (f"- {note}" for note in notes)
    told = one.turning
    if told is not None and told.gates:
        yield ""
        yield from _decision(told, report)


def _decision(told: Decided, report: Report) -> Iterator[str]:
    where = f" in {told.stage}" if told.stage else ""
    yield f"Numbers at {clock(told.at, report)}, when it {turn(told.kind)}{where}:"
    yield ""
    yield "| gate | verdict | contender | incumbent | ratio | interval |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in told.gates:
        cells = (one.gate, one.verdict, one.contender or "–", one.incumbent or "–", ratio(one.ratio), interval(one))
        yield "| " + " | ".join(_text(cell) for cell in cells) + " |"
    late = [(one.gate, one.onset) for one in told.gates if one.onset is not None]
    if late:
        yield ""
        yield "The table has the whole observation; the harm began in the middle of it:"
        yield ""
        yield from (f"- {_text(gate)} {_text(since(onset, report))}" for gate, onset in late)


def _text(words: str) -> str:
    """Words of others as text: nothing in them makes a link, a mention, a table or a line of its own."""
    line = " ".join(printable(words).split())
    return _MARKUP.sub(r"\\\1", line).replace("@", "@\u200b").replace("://", ":\u200b//")
