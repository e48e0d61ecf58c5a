"""What a simulated release came to: its turns, its steps for whoever watches, and the result to compare."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.record import own_name
from controller.release.record import Entry, Record
from controller.release.vocabulary import Cause, Phase

# The words of a turn: a gate's verdict says more than the name of the cause.
_CAUSES = {Cause.GATE: "Degraded"}


@dataclass(frozen=True, slots=True)
class Turn:
    """A change that a release recorded: of phase, of batch, or of its hold. `at` is in seconds from the start."""

    at: float
    release: str
    text: str
    phase: str = ""  # the phase or stage that it begins, "" for a hold and its end

    @property
    def line(self) -> str:
        """As a scenario text has it, to the minute."""
        return f"{self.release}{self.text} at {round(self.at / 60.0)}m"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a release stands after a tick. `verdicts` are (gate, verdict, because); pods are counts."""

    story: str
    minute: float
    release: str
    phase: Phase
    held: str
    batch: int
    batches: int
    desired: int
    contender_pods: int
    contender_ready: int
    incumbent_pods: int
    incumbent_ready: int
    verdicts: tuple[tuple[str, str, str], ...]
    because: str
    stage: str = ""  # its own name, where it is no batch


@dataclass(frozen=True, slots=True)
class Story:
    """A whole run. `minutes` to the last release's end; `series` has a snapshot per tick, for plots and pages."""

    outcome: str
    turns: tuple[Turn, ...]
    ending: tuple[str, ...]
    phases: tuple[tuple[str, float], ...]
    minutes: float
    because: str
    decisions: tuple[Entry, ...]
    series: tuple[Snapshot, ...]
    rested: bool
    releases: tuple[Mapping[str, Any], ...] = ()  # the Release objects at the end, for reports

    @property
    def lines(self) -> tuple[str, ...]:
        """The expected part that this run would have."""
        return (*(turn.line for turn in self.turns), *self.ending)


@dataclass(frozen=True, slots=True)
class StoryResult:
    """A story and what it had to be. `phases`: (phase, minute it began). `problems`: what differs, one line each."""

    story: str
    outcome: str
    expected: tuple[str, ...]
    phases: tuple[tuple[str, float], ...]
    minutes: float
    because: str
    ok: bool
    turns: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    releases: tuple[Mapping[str, Any], ...] = ()


def turn_text(before: Record, after: Record) -> str:
    """The words of the turn between two records of a release, or "" where there is none."""
    if after.phase is not before.phase:
        if after.phase in (Phase.ROLLING_BACK, Phase.NEEDS_HUMAN, Phase.CANCELLED) and after.cause is not None:
            return f"{_CAUSES.get(after.cause, after.cause.value)} -> {after.phase.value}"
        return _stage(after) if after.phase is Phase.BATCH else after.phase.value
    if after.stage != before.stage:
        return _stage(after)
    if after.watch is not None and after.watch.over and (before.watch is None or not before.watch.over):
        why = _CAUSES.get(after.turned, after.turned.value) if after.turned is not None else ""
        return f"Watch: {why} -> back" if after.watch.back else "Watch over"
    if any(entry.kind == "WindowMissed" and entry not in before.decisions for entry in after.decisions[-3:]):
        return "Window missed"
    held_before = before.held.reason if before.held is not None else None
    held_after = after.held.reason if after.held is not None else None
    if held_after is not held_before:
        return f"Held {held_after.value}" if held_after is not None else "Goes on"
    return ""


def _stage(record: Record) -> str:
    """What people call the stage: a batch by its number, or by its own name."""
    return own_name(record).capitalize() or f"Batch {record.stage}"


# --------------------------------------------------------------------------------------------- comparing

_TIMED = re.compile(r"(?P<text>.*?)(?: at (?P<minutes>\d+)m(?: \+- ?(?P<slack>\d+)m)?)?")


def differences(expected: Sequence[tuple[int, str]], story: Story) -> tuple[str, ...]:
    """What an expected part asks and a run did not do, as `LINE: what`; `expected` is (line number, line).

    The lines must appear in this order; turns between them are free. A line without a time fits at any time, `at 38m`
    at this very minute, `at 38m +-2m` within two. `never TURN` forbids a turn.
    """
    problems: list[str] = []
    events: list[tuple[str, int | None]] = [(f"{t.release}{t.text}", round(t.at / 60.0)) for t in story.turns]
    events += [(line, None) for line in story.ending]
    place = 0
    for number, line in expected:
        if line.startswith("never "):
            if found := next((text for text, _ in events if _same(line[6:], text)), None):
                problems.append(f"{number}: {found} must never happen")
            continue
        match = _TIMED.fullmatch(line)
        assert match is not None  # every text fits
        wanted, slack = match["text"], int(match["slack"] or 0)
        minutes = int(match["minutes"]) if match["minutes"] else None
        index = next((n for n in range(place, len(events)) if _fits(events[n], wanted, minutes, slack)), None)
        if index is None:
            rest = ", ".join(text if at is None else f"{text} at {at}m" for text, at in events[place:]) or "nothing"
            problems.append(f"{number}: expected {line}; what followed: {rest}")
            continue
        place = index + 1
    return tuple(problems)


def _fits(event: tuple[str, int | None], wanted: str, minutes: int | None, slack: int) -> bool:
    text, at = event
    return _same(wanted, text) and (minutes is None or (at is not None and abs(at - minutes) <= slack))


def _same(wanted: str, text: str) -> bool:
    """`Degraded -> RollingBack` is also found as `RollingBack`, and any phase by any case."""
    wanted, text = wanted.casefold(), text.casefold()
    return wanted == text or text.endswith(f"-> {wanted}")
