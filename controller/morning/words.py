"""Numbers, times and headings in the words of the report, the same on every page that it becomes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from analysis.figures import percent, times
from controller.morning.value import Figures, Gauged, Group, Journey, Onset, Report, TrainRide
from controller.night.windows import comes_twice
from controller.release.vocabulary import Phase
from controller.release.words import command

HEADINGS: Mapping[Group, str] = {
    "person": "Needs a person",
    "back": "Turned back",
    "way": "Under way",
    "waits": "Waits for its start",
    "arrived": "Arrived",
    "nothing": "Never began",
}
_KINDS: Mapping[str, str] = {
    "Advance": "went on",
    "RollBack": "turned back",
    "Succeeded": "succeeded",
    "RolledBack": "rolled back",
    "NeedsHuman": "needed a person",
    "Cancelled": "cancelled",
    "Departed": "left",
    "LeavesAtOnce": "left at once",
    "NotReachable": "cannot see everything",
    "NoticeFailed": "could not tell",
    "WindowMissed": "missed its window",
}


_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def turn(kind: str) -> str:
    """The kind of a decision as the verb of a sentence."""
    if kind in _KINDS:
        return _KINDS[kind]
    return f"stood still ({kind[4:]})" if kind.startswith("Hold") else _WORD.sub(" ", kind).lower()


def span(seconds: float | None) -> str:
    """A length of time, such as 40 s, 12 min, 3 h 20 min, 5 d."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{round(whole / 60)} min"
    if whole < 172800:
        hours, minutes = divmod(round(whole / 60), 60)
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return f"{round(whole / 86400)} d"


def zone_of(name: str) -> tzinfo:
    """The zone of that name; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def clock(at: float | None, report: Report) -> str:
    """The time on the report's own clock, with the day where the report is longer than one."""
    if at is None:
        return "–"
    form = "%H:%M" if report.until - report.since <= 86400.0 and report.since <= at <= report.until else "%d %b %H:%M"
    return _shown(at, report, form)


def day(at: float, report: Report) -> str:
    """Date and time, to the minute."""
    return _shown(at, report, "%Y-%m-%d %H:%M")


def _shown(at: float, report: Report, form: str) -> str:
    """A time on the report's own clock; in the hour that comes twice it says which of both it is."""
    moment = datetime.fromtimestamp(at, zone_of(report.zone))
    return moment.strftime(f"{form} %Z" if comes_twice(moment) else form)


def summary(report: Report) -> str:
    """The night in one line: 3 arrived, 1 turned back, 1 needs a person."""
    groups = Counter(dict(report.omitted))
    # What took a release back is told beside it: they are one thing that happened.
    groups.update(each.group for each in report.journeys if not each.took_back)
    return _counts(groups) or "no release"


def left_out(report: Report) -> str:
    """What found no room on the page, or ""."""
    told = _counts(dict(report.omitted))
    return f"not shown here, but counted above: {told}; ask for a shorter time or for one namespace" if told else ""


def _counts(groups: Mapping[Group, int]) -> str:
    told: tuple[tuple[Group, str], ...] = (
        ("arrived", "arrived"), ("back", "turned back"), ("person", "for a person"), ("way", "under way"),
        ("waits", "waiting"), ("nothing", "never began"),
    )  # fmt: skip
    return ", ".join(f"{groups[key]} {words}" for key, words in told if groups.get(key))


def measures(found: Figures) -> tuple[tuple[str, str, str], ...]:
    """(name, value, what it means) of the four delivery figures."""
    frequency = "–" if found.per_day is None else f"{found.arrived} in {span(86400.0 * found.days)}"
    rate = found.failure_rate
    ended = found.arrived + found.failed
    return (
        ("Deployments", frequency, "changes that arrived and stayed"),
        ("Lead time", span(found.lead), "median, from asking to all pods"),
        ("Change failure rate", "–" if rate is None else percent(rate),
         f"{found.failed} of {ended} that ended were taken back or need a person"),
        ("Time to restore", span(found.restore), "median, from the turn to the old version with all its pods"),
    )  # fmt: skip


def outcome(one: Journey) -> str:
    """Where a release stands, in a few words."""
    held = f", held: {one.held}" if one.held else ""
    cause = f" ({one.cause})" if one.cause and one.outcome != Phase.SUCCEEDED else ""
    return f"{one.outcome}{held}{cause}" + (f", taken back by {one.taken_by}" if one.taken_by else "")


def next_steps(one: Journey, report: Report) -> Iterator[str]:
    """What follows by itself, and what a person can do; commands between backticks, and no words of others."""
    if one.held and one.then:
        yield f"until {clock(one.until, report)}, then: {one.then}" if one.until is not None else one.then
    if one.group == "person" and one.outcome == Phase.NEEDS_HUMAN:
        yield f"{command('explain', one.release, one.namespace)} tells more"
        restore = command("restore", one.app, one.namespace)
        yield f"once its reason is gone, {restore} gives the old version all its pods"


def ratio(value: float | None) -> str:
    return "–" if value is None else times(value)


def interval(one: Gauged) -> str:
    if one.low is None:
        return "–"
    return f"{ratio(one.low)} to {ratio(one.high) if one.high is not None else 'unbounded'}"


def since(onset: Onset, report: Report) -> str:
    """From when on a gate found harm, and how much: since 02:14: 20.5x, 4.1 % of 3,000 against 0.2 % of 3,000."""
    times = f"{ratio(onset.ratio)}, " if onset.ratio is not None else ""
    return f"since {clock(onset.at, report)}: {times}{sides(onset)}"


def sides(one: Gauged | Onset) -> str:
    """Both rates in words, or "" where there is none."""
    return f"{one.contender} against {one.incumbent}" if one.contender else ""


def ride_notes(ride: TrainRide) -> Iterator[str]:
    """What is worth telling of a train's night beside its releases."""
    for release, because in ride.waiting:
        yield f"{release} did not leave: {because}"
    if ride.stopped:
        yield f"the line stopped{' and the cars were called back' if ride.recalled else ''}: {ride.stopped}"
    elif ride.recalled:
        yield f"the cars were called back: {ride.recalled}"


def what(one: Journey) -> str:
    """What a release brings: a version, or the way back of another one."""
    if one.of:
        return f"takes back {one.of}"
    return one.version or "unchanged images"


def asked(one: Journey) -> str:
    who = one.asked_by or "nobody in particular"
    return f"{who}: {one.reason}" if one.reason else who
