"""The report as one HTML file that needs nothing else: no script, no font and no picture from elsewhere.

Readable without colours, without a mouse and by a screen reader: every picture has its numbers beside it as text, the
headings are in order, and words and ground differ by 4.5 to 1 at least, in light and in dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from controller.morning.chart import course, scale_of, strip, timeline
from controller.morning.style import STYLE
from controller.morning.value import GROUPS, Decided, Gauged, Journey, Report, TrainRide
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
    sides,
    since,
    span,
    summary,
    turn,
    what,
)
from controller.plot.axes import Scale
from controller.release.words import printable

_COMMAND = re.compile(r"`([^`]*)`")
_OPEN = frozenset({"person", "back"})  # groups whose decisions are shown at once


def html(report: Report) -> str:
    """The whole file."""
    return "\n".join(_page(report)) + "\n"


def _page(report: Report) -> Iterator[str]:
    title = _text(report.title)
    yield "<!doctype html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""
    yield f"<title>{title}: {_text(summary(report))}</title>"
    yield f"<style>{STYLE}</style>"
    yield "</head>"
    yield "<body>"
    yield "<header>"
    yield f"<h1>{title}</h1>"
    yield f"<p>{day(report.since, report)} to {day(report.until, report)} <span>{_text(report.zone)}</span></p>"
    yield f'<p class="summary">{_text(summary(report))}</p>'
    yield "</header>"
    yield "<main>"
    yield from _figures(report)
    for ride in report.trains:
        yield from _train(ride, report)
    yield from _overview(report)
    for group in GROUPS:
        found = report.of(group)
        if found:
            yield f'<section aria-labelledby="{group}">'
            yield f'<h2 id="{group}">{HEADINGS[group]} <span class="count">{len(found)}</span></h2>'
            for one in found:
                yield from _journey(one, report)
            yield "</section>"
    if more := left_out(report):
        yield f"<p>{_text(more)}</p>"
    if report.unread:
        yield '<section aria-labelledby="unread"><h2 id="unread">Not in this report</h2><ul>'
        yield from (f"<li>{_text(problem)}</li>" for problem in report.unread)
        yield "</ul></section>"
    yield "</main>"
    yield f"<footer><p>Made by nightferry at {day(report.made, report)} {_text(report.zone)}.</p></footer>"
    yield "</body>"
    yield "</html>"


def _figures(report: Report) -> Iterator[str]:
    yield '<section aria-labelledby="figures"><h2 id="figures" class="quiet">Delivery figures</h2><dl class="figures">'
    for name, value, meaning in measures(report.figures):
        yield f"<div><dt>{_text(name)}</dt><dd><b>{_text(value)}</b><small>{_text(meaning)}</small></dd></div>"
    yield "</dl></section>"


def _train(ride: TrainRide, report: Report) -> Iterator[str]:
    name = f"train-{_id(ride.namespace)}-{_id(ride.train)}"
    yield f'<section aria-labelledby="{name}"><h2 id="{name}">Train {_text(ride.train)}, night {_text(ride.night)}</h2>'
    yield f"<p>{clock(ride.opened, report)} to {clock(ride.closes, report)}: {len(ride.departed)} left, "
    yield f"{len(ride.waiting)} did not.</p>"
    if notes := list(ride_notes(ride)):
        yield "<ul>" + "".join(f"<li>{_text(note)}</li>" for note in notes) + "</ul>"
    yield "</section>"


def _overview(report: Report) -> Iterator[str]:
    """The night at a glance: a bar for each release that moved."""
    moved = [one for one in report.journeys if one.began is not None]
    if not moved:
        return
    start = max(report.since, min(one.began or report.until for one in moved) - 60.0)
    end = min(report.until, max(one.ended or report.until for one in moved) + 60.0)
    if end <= start:
        return
    yield '<section aria-labelledby="glance"><h2 id="glance">At a glance</h2>'
    yield '<table class="glance"><thead><tr><th scope="col">release</th><th scope="col">from – to</th>'
    middle = 0.5 * (start + end)
    ticks = "".join(f"<span>{clock(at, report)}</span>" for at in (start, middle, end))
    yield f'<th scope="col" class="wide"><span class="ticks">{ticks}</span></th></tr></thead><tbody>'
    for one in sorted(moved, key=lambda each: (each.began or 0.0, each.release)):
        until = clock(one.ended, report) if one.ended is not None else "…"
        words = f"{one.release}: {outcome(one)}, {clock(one.began, report)} to {until}"
        bar = timeline(one, start, end, escape(words))
        yield f'<tr><th scope="row">{_text(one.release)}</th><td>{clock(one.began, report)} – {until}</td>'
        yield f'<td class="wide">{bar}</td></tr>'
    yield "</tbody></table></section>"


def _journey(one: Journey, report: Report) -> Iterator[str]:
    yield f'<article class="{one.group}">'
    yield f"<h3>{_text(one.app)} <span>{_text(what(one))}</span></h3>"
    name = f"<code>{_text(one.namespace)}/{_text(one.release)}</code>"
    yield f'<p class="state"><strong>{_text(outcome(one))}</strong> {name}</p>'
    yield f"<blockquote>{_text(one.because)}</blockquote>"
    times = [f"asked {clock(one.asked, report)} by {_text(asked(one))}"]
    if one.began is not None:
        times.append(f"began {clock(one.began, report)}")
    if one.ended is not None:
        length = f" after {span(one.ended - one.began)}" if one.began is not None else ""
        times.append(f"ended {clock(one.ended, report)}{length}")
    yield f'<p class="times">{", ".join(times)}</p>'
    notes = [_COMMAND.sub(r"<code>\1</code>", _text(step)) for step in next_steps(one, report)]
    notes += [_text(note) for note in (*one.doors, *(f"not told: {each}" for each in one.untold))]
    if notes:
        yield "<ul>" + "".join(f"<li>{note}</li>" for note in notes) + "</ul>"
    if one.decisions:
        shown = " open" if one.group in _OPEN else ""
        count = len(one.decisions)
        yield f"<details{shown}><summary>{count} decision{'' if count == 1 else 's'}</summary><ol>"
        last: tuple[object, ...] = ()
        for told in one.decisions:
            yield from _decision(told, report, known=told.gates == last)
            last = told.gates or last
        yield "</ol></details>"
    yield "</article>"


def _decision(told: Decided, report: Report, *, known: bool) -> Iterator[str]:
    where = f" <span>{_text(told.stage)}</span>" if told.stage else ""
    yield f"<li><p><time>{clock(told.at, report)}</time> <b>{_text(turn(told.kind))}</b>{where}</p>"
    yield f"<p>{_text(told.because)}</p>"
    if told.gates and not known:
        scale = scale_of(told.gates)
        yield '<div class="gates">'
        for one in told.gates:
            watched = "" if one.required else " <small>watched only</small>"
            yield f'<div class="gate {_id(one.verdict).lower()}">'
            yield f'<p class="name">{_text(one.gate)} <b>{_text(one.verdict)}</b>{watched}</p>'
            yield from _pictures(one, scale, report)
            yield from _numbers(one, report)
            yield "</div>"
        yield "</div>"
    elif told.gates:
        yield '<p class="same">on the same numbers</p>'
    yield "</li>"


def _pictures(one: Gauged, scale: Scale, report: Report) -> Iterator[str]:
    """The interval of a gate, and below it when its harm began, where that was in the middle of the observation."""
    if one.low is None:
        yield '<p class="blank">no comparison</p>'
        return
    words = f"{one.gate}: contender against incumbent {ratio(one.ratio)}, interval {interval(one)}"
    if one.onset is None:
        yield strip(one, scale, escape(words))
        return
    later = since(one.onset, report)
    labels = clock(one.onset.first, report), clock(one.onset.at, report), clock(one.onset.last, report)
    told = f"{one.gate}: observed from {labels[0]} to {labels[2]}, harm since {labels[1]}"
    yield f"<div>{strip(one, scale, escape(f'{words}; {later}'))}{course(one.onset, labels, escape(told))}</div>"


def _numbers(one: Gauged, report: Report) -> Iterator[str]:
    """The same in words; where the harm began later, its numbers first, each beside its mark in the picture."""
    numbers = f"{ratio(one.ratio)} ({interval(one)})" if one.ratio is not None or one.low is not None else ""
    whole = f"{_text(numbers)} <span>{_unbroken(sides(one))}</span>"
    if one.onset is None:
        yield f'<p class="numbers">{whole}</p>'
        return
    times = f": {ratio(one.onset.ratio)}" if one.onset.ratio is not None else ""
    later = f"since {clock(one.onset.at, report)}{times} <span>{_unbroken(sides(one.onset))}</span>"
    yield '<div class="numbers">'
    yield f'<p class="harm"><i aria-hidden="true">◇</i> {later}</p>'
    yield f'<p><i aria-hidden="true">●</i> whole observation: {whole}</p>'
    yield "</div>"


def _unbroken(words: str) -> str:
    """Words in which no line ends between a number and its percent sign."""
    return _text(words).replace(" %", "&nbsp;%")


def _text(words: str) -> str:
    """Words of others: never markup, and nothing in them turns the line around or hides."""
    return escape(printable(words))


def _id(words: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in words)
