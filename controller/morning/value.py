"""The report as a value: what left, what arrived, what came back and why, and what waits for a person.

Times are seconds since the epoch. Sentences are those of the records, word for word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from controller.release.vocabulary import Phase

# person: needs somebody now. back: turned back, was taken back, or took something back. way: under way. arrived.
# waits: has not begun. nothing: never began.
Group = Literal["person", "back", "way", "arrived", "waits", "nothing"]
GROUPS: tuple[Group, ...] = ("person", "back", "way", "waits", "arrived", "nothing")


@dataclass(frozen=True, slots=True)
class Onset:
    """When the harm that a gate found began, where that was in the middle of the observation, first <= at < last.

    ratio: contender against incumbent since then; None without incumbent events.
    """

    at: float
    first: float
    last: float
    ratio: float | None
    contender: str  # its rate since then, and of how many, in words
    incumbent: str


@dataclass(frozen=True, slots=True)
class Gauged:
    """What one gate said at a decision. ratio: contender against incumbent, with its interval; None where unknown.

    All of these are of the whole observation, also where the harm began later, as `onset` says.
    """

    gate: str
    verdict: str
    because: str
    required: bool = True
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    contender: str = ""  # its rate, in words
    incumbent: str = ""
    onset: Onset | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """One line of a release's decision log."""

    at: float
    kind: str
    because: str
    stage: str = ""
    gates: tuple[Gauged, ...] = ()


@dataclass(frozen=True, slots=True)
class Journey:
    """One release. began: when pods began to move, None before. of: the release that it takes back, or ""."""

    namespace: str
    app: str
    release: str
    outcome: str
    group: Group
    because: str
    cause: str = ""
    version: str = ""
    origin: str = "change"
    of: str = ""
    asked_by: str = ""
    reason: str = ""
    asked: float = 0.0
    began: float | None = None
    turned: float | None = None
    ended: float | None = None
    held: str = ""
    until: float | None = None
    then: str = ""
    stage: int = 0
    stages: int = 0
    taken_by: str = ""  # the release that takes it back, or ""
    doors: tuple[str, ...] = ()  # what a person set aside, such as the gates, and why
    decisions: tuple[Decided, ...] = ()
    untold: tuple[str, ...] = ()  # notices that were given up

    @property
    def turning(self) -> Decided | None:
        """The decision that ended its way forward, if there was one."""
        return next((each for each in self.decisions if each.kind in ("RollBack", "NeedsHuman", "Cancelled")), None)

    @property
    def took_back(self) -> bool:
        """Whether it has brought back the version before the release that it is of."""
        return self.outcome == {"rollback": Phase.SUCCEEDED, "restore": Phase.ROLLED_BACK}.get(self.origin)


@dataclass(frozen=True, slots=True)
class Figures:
    """The four delivery figures over some releases; times in seconds, None where nothing tells.

    arrived: changes that succeeded. failed: changes that had to be taken back or need a person. days: the length of
    the time that they are counted over. lead: median from asking to 100 %. restore: median from the turn, or from
    asking for the way back, until the old version had all its pods.
    """

    arrived: int = 0
    failed: int = 0
    days: float = 0.0
    lead: float | None = None
    restore: float | None = None

    @property
    def per_day(self) -> float | None:
        return self.arrived / self.days if self.days > 0.0 else None

    @property
    def failure_rate(self) -> float | None:
        """Of the changes that came to an end; a change that arrived and was taken back later counts once, as failed."""
        ended = self.arrived + self.failed
        return self.failed / ended if ended else None


@dataclass(frozen=True, slots=True)
class TrainRide:
    """One night of a train."""

    namespace: str
    train: str
    night: str
    opened: float | None = None
    closes: float | None = None
    departed: tuple[tuple[str, str], ...] = ()  # release, its end or ""
    waiting: tuple[tuple[str, str], ...] = ()  # release, why it did not leave
    stopped: str = ""
    recalled: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one page says."""

    title: str
    since: float
    until: float
    made: float
    zone: str = "UTC"
    figures: Figures = Figures()
    journeys: tuple[Journey, ...] = ()
    trains: tuple[TrainRide, ...] = ()
    omitted: tuple[tuple[Group, int], ...] = ()  # how many of a group found no room on the page
    unread: tuple[str, ...] = ()  # releases whose record cannot be read, and why

    def of(self, group: Group) -> tuple[Journey, ...]:
        """The releases of one group."""
        return tuple(each for each in self.journeys if each.group == group)
