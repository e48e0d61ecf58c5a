"""What must never happen in a night of a train, asked after every write; it shares nothing with what it examines.

The list in the train's status is who was called, the releases themselves say who is under way, and the hours are those
of a clock on the wall. Every law that is broken is named once for each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.record import read_record
from controller.release.record import Record
from controller.release.vocabulary import ENDS, Cause, Phase
from controller.requests.writes import CreateRelease, WriteRecord, WriteTrainStatus
from controller.simulation.world import Trace, World
from tests.bench.nights.night import advances

_FORWARD = {Phase.CANARY, Phase.BATCH}
_TURNED = {Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.NEEDS_HUMAN}
_SAYS_NOTHING = {Cause.SUPERSEDED, Cause.TRAIN_STOPPED, Cause.WINDOW_CLOSED}
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the train and its cars promise. `opens` and `closes`: the night; they are equal where nothing may leave.

    own: the last instant at which a car may leave by its own window, the opening and the closing of that; None where it
    does not open on this date, no entry for a car without a window.
    """

    opens: float
    closes: float
    at_once: int
    stops_after: int | None
    after: Mapping[str, tuple[str, ...]]
    own: Mapping[str, tuple[float, float, float] | None]


@dataclass(slots=True)
class TrainLaws:
    """Sees every write. `left`: when the train called a release, by its name; `flaws`: what was broken."""

    rules: Rules
    left: dict[str, float] = field(default_factory=dict)
    endings: list[tuple[str, str]] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)
    stopped: float | None = None
    reported: float | None = None

    def __call__(self, world: World, entry: Trace) -> None:
        if not entry.applied:
            return
        match entry.request:
            case WriteTrainStatus():
                self._called(world, entry.before or {}, entry.after or {})
            case WriteRecord(name=name):
                before, after = (read_record((obj or {}).get("status") or {}) for obj in (entry.before, entry.after))
                self._moved(world, name, (entry.after or {}).get("spec") or {}, before, after)
            case CreateRelease(_, manifest) if "-recall-" in manifest["metadata"]["name"]:
                self._taken_back(world, manifest["metadata"]["name"])

    # ------------------------------------------------------------------------------------------------ the train

    def _called(self, world: World, before: Object, after: Object) -> None:
        old, new = (((obj.get("status") or {}).get("night") or {}) for obj in (before, after))
        same = old.get("id") == new.get("id")
        fresh = list(new.get("departed") or ())[len(old.get("departed") or ()) if same else 0 :]
        stopped = same and bool(old.get("stopped"))
        if new.get("reported") and self.reported is None:
            self.reported = world.now
        for each in fresh:
            name, app = str(each["release"]), str(each["policy"])
            if name in self.left:
                self.flaws.append(f"left twice: {name}")
            if not self.rules.opens <= world.now < self.rules.closes:
                self.flaws.append(f"outside: {name} was called {world.now - self.rules.closes:+.0f} s from the closing")
            if stopped or (self.rules.stops_after is not None and self._turned(world) >= self.rules.stops_after):
                self.flaws.append(f"after the stop: {name} was called")
            for first in self.rules.after.get(app, ()):
                if why := self._goes_first(world, first):
                    self.flaws.append(f"before its turn: {name}, {why}")
            self.left[name] = world.now
        if fresh and (number := self._under_way(world)) > self.rules.at_once:
            self.flaws.append(f"too many at once: {number} of {self.rules.at_once}")
        if new.get("stopped") and self.stopped is None:
            self.stopped = world.now

    def _goes_first(self, world: World, policy: str) -> str:
        """Why those after this policy may not leave now, or ""."""
        own = [each for each in releases(world) if each[1].get("policy") == policy]
        asked = [each for each in own if not each[1].get("rollbackOf")]
        if len(asked) < len(own):
            return f"{policy} was taken back"
        left = [each for each in asked if each[0] in self.left]
        if left and left[-1][2].phase is not Phase.SUCCEEDED:
            return f"{left[-1][0]} is {left[-1][2].phase.value}"
        if asked and asked[-1][0] not in self.left and asked[-1][2].phase is Phase.QUEUED and self._may(world, policy):
            return f"{asked[-1][0]} waits"
        return ""

    def _may(self, world: World, policy: str) -> bool:
        """Whether a car's own window still lets it leave in this night."""
        if policy not in self.rules.own:
            return True
        own = self.rules.own[policy]
        return own is not None and own[1] < self.rules.closes and world.now <= own[0]

    def _turned(self, world: World) -> int:
        return sum(
            record.phase in _TURNED and (record.turned or record.cause) not in _SAYS_NOTHING
            for name, _, record in releases(world)
            if name in self.left
        )

    def _under_way(self, world: World) -> int:
        """Releases that were called and have not ended, and those that nobody had to call."""
        found = 0
        for name, _, record in releases(world):
            moving = record.phase not in ENDS and record.phase not in (Phase.QUEUED, Phase.PREFLIGHT)
            found += moving or (name in self.left and record.phase not in ENDS)
        return found

    def _taken_back(self, world: World, name: str) -> None:
        others = [
            other for other, _, record in releases(world)
            if "-recall-" in other and other != name and record.phase not in ENDS
        ]  # fmt: skip
        if others:
            self.flaws.append(f"two taken back at once: {name} beside {', '.join(others)}")

    # ------------------------------------------------------------------------------------------------ the cars

    def _moved(self, world: World, name: str, spec: Object, before: Record, after: Record) -> None:
        if after.phase in ENDS and before.phase is not after.phase:
            self.endings.append((name, after.phase.value))
        if spec.get("rollbackOf") or spec.get("now"):
            return
        now, rules = world.now, self.rules
        begins = before.phase is Phase.QUEUED and after.phase is Phase.PREFLIGHT
        first = before.phase not in _FORWARD and after.phase in _FORWARD
        steps = after.phase in _FORWARD and (after.phase, after.stage) != (before.phase, before.stage)
        if (begins or first) and name not in self.left:
            self.flaws.append(f"uncalled: {name} is {after.phase.value}")
        if (begins or first) and not rules.opens <= now < rules.closes:
            self.flaws.append(f"outside: {name} is {after.phase.value} {now - rules.closes:+.0f} s from the closing")
        if begins and self.stopped is not None:
            self.flaws.append(f"after the stop: {name} began")
        policy = str(spec.get("policy"))
        if steps and policy in rules.own and advances(world, policy, after):
            own = rules.own[policy]
            if own is None or not own[1] <= now < own[2]:
                self.flaws.append(f"outside: {name} is {after.phase.value} {after.stage} outside of its own window")


def releases(world: World) -> Iterator[tuple[str, Object, Record]]:
    """(name, spec, record) of each release, the oldest first."""
    found = [obj for (kind, _, _), obj in world.objects.items.items() if kind == "Release"]
    for obj in sorted(found, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"])):
        yield str(obj["metadata"]["name"]), obj["spec"], read_record(obj.get("status") or {})
