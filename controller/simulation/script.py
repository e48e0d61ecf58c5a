"""Scenario texts: who is released, what happens when, and the turns that are expected; read, not yet run.

    # What this scenario proves.
    release checkout v41 -> v42, 10 pods, batches 1 50% 100%
    load 100/s
    errors 0.11%
    after 3m: errors contender=4.00%
    at Batch 2: prometheus down
    2m after Batch 2: prometheus up; abort it takes too long
    ----
    Degraded -> RollingBack
    RolledBack at 5m

Above the line: the release (the first of `batches` is the canary), settings of the world, and events. Times count from
the release's creation, or from the first time that a turn was seen. Below: turns in the words of the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from controller.simulation.acts import Act, act_of
from controller.simulation.acts.phrase import mapping, seconds
from policies.values import Amount
from policies.windows import known_zones

_RULE = re.compile(r"-{4,}")
_RELEASE = re.compile(
    r"release (?P<app>[a-z0-9][a-z0-9-]*) (?P<old>[a-z0-9.-]+) -> (?P<new>[a-z0-9.-]+), (?P<pods>\d+) pods?"
    r"(?P<rest>(?:, .+)?)"
)
_TIMED = re.compile(r"after (?P<after>\w+): *(?P<acts>.+)")
_TURNED = re.compile(r"(?:(?P<after>\w+) after|at) (?P<turn>[A-Z][^:]*): *(?P<acts>.+)")


class ScenarioError(ValueError):
    """What is wrong with a scenario text, as `file:line: what`, in one line."""

    def __init__(self, file: str, line: int, what: str) -> None:
        super().__init__(f"{file}:{line}: {' '.join(what.split())}")


@dataclass(frozen=True, slots=True)
class Event:
    """What happens `after` seconds from the start, or from the turn of these words."""

    line: int
    after: float
    turn: str
    acts: tuple[Act, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario text, read. `expected`: (line number, line)."""

    file: str
    proves: str
    line: int
    app: str
    old: str
    new: str
    pods: int
    strategy: Mapping[str, Any] = field(default_factory=dict)
    wish: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    load: float = 300.0
    errors: float = 0.005
    min_ready: int = 0
    lasts: float = 6 * 3600.0
    begins: float | None = None  # seconds since the epoch; None: at a time that means nothing
    events: tuple[Event, ...] = ()
    expected: tuple[tuple[int, str], ...] = ()


def read_script(text: str, file: str) -> Script:
    """The script in a scenario text. Raises ScenarioError at the first fault."""
    lines = text.splitlines()
    rule = next((n for n, line in enumerate(lines) if _RULE.fullmatch(line.strip())), None)
    if rule is None:
        raise ScenarioError(file, max(1, len(lines)), "found no ---- line; allowed: one, above the expected turns")
    comments = [line.strip().lstrip("#").strip() for line in lines[:rule] if line.strip().startswith("#")]
    values: dict[str, Any] = {}
    events: list[Event] = []
    for number, raw in enumerate(lines[:rule], 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            if "app" not in values:
                values |= {**_release_line(line), "line": number}
            elif (event := _event(line, number)) is not None:
                events.append(event)
            else:
                values |= _setting(line)
        except ValueError as error:
            raise ScenarioError(file, number, str(error)) from None
    if "app" not in values:
        raise ScenarioError(file, rule + 1, f"found no release; allowed: {_RELEASE_USAGE}")
    expected = tuple(
        (number, line.strip())
        for number, line in enumerate(lines[rule + 1 :], rule + 2)
        if line.strip() and not line.strip().startswith("#")
    )
    return Script(file=file, proves=" ".join(comments), events=tuple(events), expected=expected, **values)


def rewritten(text: str, expected: tuple[str, ...]) -> str:
    """The same text with another expected part; its comments go."""
    above = []
    for line in text.splitlines():
        above.append(line)
        if _RULE.fullmatch(line.strip()):
            break
    return "\n".join([*above, *expected]) + "\n"


# ------------------------------------------------------------------------------------------- the release line

_RELEASE_USAGE = (
    "release APP OLD -> NEW, N pods[, batches 1 50% 100%][, surge 25%][, unavailable 0][, manual canary]"
    "[, ungated REASON][, now REASON][, not-before 2027-03-27T23:00:00Z]"
)


def _release_line(line: str) -> dict[str, Any]:
    match = _RELEASE.fullmatch(line)
    if match is None:
        raise ValueError(f"found {line!r}; allowed: {_RELEASE_USAGE}")
    twin: dict[str, Any] = {}
    wish: dict[str, Any] = {}
    for part in match["rest"].split(", ")[1:]:
        key, _, rest = part.partition(" ")
        match key:
            case "batches" if len(rest.split()) >= 2:
                sizes = [_amount(word) for word in rest.split()]
                twin |= {"canary": sizes[0], "batches": sizes[1:]}
            case "surge":
                twin["maxSurge"] = _amount(rest)
            case "unavailable":
                twin["maxUnavailable"] = _amount(rest)
            case "manual" if rest in ("canary", "batches"):
                twin.setdefault("advance", {})[rest] = "manual"
            case "ungated" if rest:
                wish["skipGates"] = {"reason": rest}
            case "now" if rest:
                wish["now"] = {"reason": rest}
            case "not-before" if rest:
                wish["notBefore"] = rest
            case _:
                raise ValueError(f"found {part!r}; allowed: {_RELEASE_USAGE}")
    return {
        "app": match["app"],
        "old": match["old"],
        "new": match["new"],
        "pods": int(match["pods"]),
        "strategy": twin,
        "wish": wish,
    }


def _amount(word: str) -> int | str:
    value: int | str = int(word) if word.isdecimal() else word
    try:
        Amount.read(value)
    except Exception:
        raise ValueError(f"found {word!r}; allowed: a number of pods, or a percent such as 25%") from None
    return value


# ------------------------------------------------------------------------------------------ settings, events

_SETTINGS = (
    "load 100/s | errors 0.5% | min-ready 10s | lasts 4h | begins 2027-03-27 22:00 ZONE | policy {...}"
    " | after 3m: EVENT; EVENT | at TURN: EVENT | 2m after TURN: EVENT"
)


def _setting(line: str) -> dict[str, Any]:
    key, _, rest = line.partition(" ")
    match key:
        case "load" if re.fullmatch(r"\d+(\.\d+)?/s", rest):
            return {"load": float(rest[:-2])}
        case "errors" if re.fullmatch(r"\d+(\.\d+)?%", rest):
            return {"errors": float(rest[:-1]) / 100.0}
        case "min-ready":
            return {"min_ready": round(seconds(rest))}
        case "lasts":
            return {"lasts": seconds(rest)}
        case "begins":
            return {"begins": _moment(rest)}
        case "policy":
            return {"policy": mapping(rest)}
    raise ValueError(f"found {line!r}; allowed: {_SETTINGS}")


def _moment(text: str) -> float:
    """`2027-03-27 22:00 Europe/Berlin` in seconds since the epoch. Raises ValueError."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d) (\S+)", text)
    if match is None or match[2] not in known_zones():
        raise ValueError(f"found {text!r}; allowed: a date, a time and an IANA time zone")
    return datetime.fromisoformat(match[1]).replace(tzinfo=ZoneInfo(match[2])).timestamp()


def _event(line: str, number: int) -> Event | None:
    timed, turned = _TIMED.fullmatch(line), _TURNED.fullmatch(line)
    match = timed or turned
    if match is None:
        return None
    acts = tuple(act_of(part.strip()) for part in match["acts"].split(";") if part.strip())
    after = seconds(match["after"]) if match["after"] else 0.0
    return Event(number, after, turned["turn"].strip() if turned is not None else "", acts)
