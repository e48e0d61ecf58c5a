"""One release of one app in one night, from the moment it was asked for until all is quiet.

What is parked when its hours end is followed: a person sends it off in the morning, or it goes on in its next hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from controller.accompanied import Accompanied
from controller.attempt import Attempt, parsed
from controller.record import read_record
from controller.release.record import Record, Stage
from controller.release.vocabulary import ENDS, Cause, HoldReason, Phase
from controller.requests.writes import WriteRecord
from controller.settings import Settings
from controller.simulation import manifests
from controller.simulation.driver import Driver
from controller.simulation.world import Trace, World
from policies.load import from_object
from tests.bench.nights.around import surround
from tests.bench.nights.fleet import SOURCE, App, a_world, remember
from tests.bench.nights.mix import Kind

TICK = 120.0  # seconds between looks: two windows
BY_DAY = 1800.0  # the same, over the day that a parked release is followed through
LONGEST = 6 * 3600.0  # seconds after the closing until which everything must have come to an end
MORNING = 3 * 3600.0  # seconds after the closing at which a person sees what is parked
LATE = 0.1  # the share of releases that are asked for so late that the closing meets most of them
STOOD, SENT_OFF, NEXT_HOURS = "no longer in the morning", "sent off by a person", "went on in its next hours"
_FORWARD = {Phase.CANARY, Phase.BATCH}


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a release. `minutes` from its request to its end; `flaws` names every law that was broken.

    excused: causes that what went on around it explains. rode: whether it was to leave with a train; called_back: the
    train took it back. parked: what became of its park, "" where it never was.
    """

    app: int
    day: date
    kind: str
    phase: Phase
    cause: Cause | None
    undone: bool
    kills: int
    minutes: float
    flaws: tuple[str, ...] = ()
    excused: frozenset[Cause] = frozenset()
    rode: bool = False
    called_back: bool = False
    parked: str = ""


@dataclass(slots=True)
class Watcher:
    """Sees every write of the record: what began or advanced when, and how often it ended.

    following: its next hours (opening, closing), where a parked release is followed into them.
    """

    opens: float
    closes: float
    following: tuple[float, float] | None = None
    began: list[float] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    endings: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, world: World, entry: Trace) -> None:
        if not isinstance(entry.request, WriteRecord) or not entry.applied or entry.after is None:
            return
        before, after = (read_record((obj or {}).get("status") or {}) for obj in (entry.before, entry.after))
        if after.origin != "change":
            return
        steps = after.phase in _FORWARD and (after.phase, after.stage) != (before.phase, before.stage)
        if steps:
            self.began.append(world.now)
        sent_off = bool(entry.after["spec"].get("now"))
        if steps and not (sent_off or self._open(world.now)) and advances(world, _policy(entry.after), after):
            self.outside.append(
                f"{after.phase.value} {after.stage} at {world.now - self.closes:+.0f} s from the closing"
            )
        if after.phase in ENDS and before.phase is not after.phase:
            self.endings.append((entry.request.name, after.phase.value))

    def _open(self, now: float) -> bool:
        return any(opens <= now < closes for opens, closes in filter(None, ((self.opens, self.closes), self.following)))


def _policy(obj: Mapping[str, Any]) -> str:
    return str(obj["spec"]["policy"])


def parked(record: Record) -> bool:
    """Whether a release stands, begun, until its hours come again."""
    held = record.held
    return record.phase in _FORWARD and held is not None and held.reason is HoldReason.WINDOW_CLOSED


def advances(world: World, policy: str, record: Record) -> bool:
    """Whether the stage that a record has come to moves anything on.

    To go on watching what stands, and to hand back what was borrowed, asks no hour.
    """
    spec = from_object(world.objects.items["ReleasePolicy", "shop", policy]).spec
    stages = Accompanied(spec).stages(record)
    here, before = stages[record.stage], stages[record.stage - 1] if record.stage else None
    return here.gated and (before is None or _size(here) != _size(before))


def _size(stage: Stage) -> tuple[object, ...]:
    return stage.contender, stage.weight, stage.beside


def night(app: App, day: date, kind: Kind, seed: int) -> Told | None:
    """What becomes of a release of this kind; None where no window opens on that date."""
    span = app.night(day)
    if span is None:
        return None
    opens, closes = span
    rng = np.random.default_rng([seed, app.number, day.toordinal()])
    chance = np.random.default_rng([seed, 600, app.number, day.toordinal()])
    number, asked = int(rng.integers(1 << 30)), opens - float(rng.integers(1, 20)) * 60.0
    if chance.random() < LATE:
        asked = max(asked, closes - _shortest(app) - float(chance.uniform(300.0, 900.0)))
    world = a_world((app,), number, asked)
    watcher = Watcher(opens, closes)
    world.after_write.append(watcher)
    if kind.begins is not None:
        kind.begins(world, rng, app.name, "v2")
    world.create(manifests.release("checkout", "first", "v2"))
    remember(world, app, "first")
    kills = surround(world, rng)
    settings = Settings(sources={"default": SOURCE}, interval=TICK, learns=True, hears=True)
    driver = Driver(world, settings, meddle=kills)
    if rng.random() < 0.02:
        driver.controllers["a"].due = dict.fromkeys(driver.apps, closes + 600.0)  # away for the whole window
    later = max(opens, asked) + float(rng.uniform(120.0, 2400.0)) if kind.later is not None else None
    stands, end = "", closes
    while world.now < end + LONGEST:
        if later is not None and world.now >= later:
            assert kind.later is not None
            kind.later(world, rng, app.name, "v2")
            later = None
        driver.run_to(world.now + TICK)
        if stands in ("", STOOD) and parked(_first(world)):
            stands = STOOD
            if world.now >= closes + MORNING:
                stands, end = _goes_on(app, day, world, watcher, by_person=bool(chance.random() < 0.5))
        by_day = watcher.following is not None and world.now < watcher.following[0] - BY_DAY
        driver.settings = replace(settings, interval=BY_DAY if by_day else TICK)
        if _quiet(world, end):
            break
    return _told(app, day, kind, world, watcher, len(kills.struck), stands)


def _shortest(app: App) -> float:
    policy = from_object(app.policy).spec
    least, _ = policy.strategy.moves.shortest(policy.observe.at_least)
    return least.seconds


def _goes_on(app: App, day: date, world: World, watcher: Watcher, *, by_person: bool) -> tuple[str, float]:
    """How a parked release goes on, and when it must be through but for what `LONGEST` allows.

    Where the next date has no hours a person sends it off: a weekend of looks at one release takes minutes.
    """
    following = app.night(day + timedelta(days=1))
    if by_person or following is None:
        world.edit("Release", "first", {"spec": {"now": {"reason": "seen in the morning"}}})
        return SENT_OFF, world.now + 2 * 3600.0
    watcher.following = following
    return NEXT_HOURS, following[1]


def _first(world: World) -> Record:
    return next(record for one, record in releases_of(world) if one.name == "first")


def releases_of(world: World) -> list[tuple[Attempt, Record]]:
    """All releases with their records, the oldest first."""
    found = [parsed(obj) for (kind, _, _), obj in world.objects.items.items() if kind == "Release"]
    return [(one, one.record) for one in sorted(found, key=lambda each: each.created)]


def _quiet(world: World, closes: float) -> bool:
    """Whether all have ended, or wait for another night, and nobody watches any more."""
    for _, record in releases_of(world):
        if record.phase is Phase.QUEUED and world.now < closes + 1800.0:
            return False
        if record.phase not in ENDS and record.phase is not Phase.QUEUED:
            return False
    last = world.trace[-1].at if world.trace else world.started
    return world.now - last > 3000.0 or world.now > closes + 3600.0


def _told(app: App, day: date, kind: Kind, world: World, watcher: Watcher, kills: int, stands: str) -> Told:
    found, first = releases_of(world), _first(world)
    undone = any(record.origin == "rollback" and record.phase is Phase.SUCCEEDED for _, record in found)
    flaws = [*(f"outside: {one}" for one in watcher.outside), *flaws_of(found, watcher.endings)]
    flaws += ["stuck: it was parked, and nothing let it go on"] if first.phase in _FORWARD else []
    return Told(
        app.number, day, kind.name, first.phase, first.cause, undone, kills,
        max(0.0, first.since - world.started) / 60.0, tuple(flaws), parked=stands,
    )  # fmt: skip


def flaws_of(found: Sequence[tuple[Attempt, Record]], endings: Sequence[tuple[str, str]]) -> list[str]:
    """What is wrong with how releases ended, whatever their hours; `endings`: each end that was written."""
    flaws = []
    if len(endings) != len({name for name, _ in endings}):
        flaws.append(f"ended twice: {endings}")
    ways = [one.spec.rollback_of for one, record in found if record.origin == "rollback"]
    if len(ways) != len(set(ways)):
        flaws.append("two ways back for one release")
    for one, record in found:
        waits = record.phase is Phase.QUEUED or (record.held is not None and record.held.until is not None)
        if record.phase not in ENDS and not waits:
            flaws.append(f"stuck: {one.name} {record.phase.value} because {record.because}")
        if record.phase in ENDS and (not record.because or record.cause is None):
            flaws.append(f"unexplained: {one.name} {record.phase.value}")
        if record.cause is Cause.GATE and not any(verdict.evidence for verdict in record.verdicts):
            flaws.append(f"without numbers: {one.name}")
    return flaws
