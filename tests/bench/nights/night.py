"""One release of one app in one night, from the moment it was asked for until all is quiet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from controller.accompanied import Accompanied
from controller.attempt import Attempt, parsed
from controller.record import read_record
from controller.release.record import Record
from controller.release.vocabulary import ENDS, Cause, Phase
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
LONGEST = 6 * 3600.0  # seconds after the closing until which everything must have come to an end
_FORWARD = {Phase.CANARY, Phase.BATCH}


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a release. `minutes` from its request to its end; `flaws` names every law that was broken.

    excused: causes that what went on around it explains. rode: whether it was to leave with a train; called_back: the
    train took it back.
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


@dataclass(slots=True)
class Watcher:
    """Sees every write of the record: what began or advanced when, and how often it ended."""

    opens: float
    closes: float
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
        if (
            steps
            and not self.opens <= world.now < self.closes
            and advances(world, str(entry.after["spec"]["policy"]), after)
        ):
            self.outside.append(
                f"{after.phase.value} {after.stage} at {world.now - self.closes:+.0f} s from the closing"
            )
        if after.phase in ENDS and before.phase is not after.phase:
            self.endings.append((entry.request.name, after.phase.value))


def advances(world: World, policy: str, record: Record) -> bool:
    """Whether the stage that a record has come to moves anything on; handing back what was borrowed asks no hour."""
    spec = from_object(world.objects.items["ReleasePolicy", "shop", policy]).spec
    return Accompanied(spec).stage(record).gated


def night(app: App, day: date, kind: Kind, seed: int) -> Told | None:
    """What becomes of a release of this kind; None where no window opens on that date."""
    span = app.night(day)
    if span is None:
        return None
    opens, closes = span
    rng = np.random.default_rng([seed, app.number, day.toordinal()])
    world = a_world((app,), int(rng.integers(1 << 30)), opens - float(rng.integers(1, 20)) * 60.0)
    watcher = Watcher(opens, closes)
    world.after_write.append(watcher)
    if kind.begins is not None:
        kind.begins(world, rng, app.name, "v2")
    world.create(manifests.release("checkout", "first", "v2"))
    remember(world, app, "first")
    kills = surround(world, rng)
    driver = Driver(world, Settings(sources={"default": SOURCE}, interval=TICK, learns=True, hears=True), meddle=kills)
    if rng.random() < 0.02:
        driver.controllers["a"].due = dict.fromkeys(driver.apps, closes + 600.0)  # away for the whole window
    later = opens + float(rng.uniform(120.0, 2400.0)) if kind.later is not None else None
    while world.now < closes + LONGEST:
        if later is not None and world.now >= later:
            assert kind.later is not None
            kind.later(world, rng, app.name, "v2")
            later = None
        driver.run_to(world.now + TICK)
        if _quiet(world, watcher, closes):
            break
    return _told(app, day, kind, world, watcher, len(kills.struck))


def releases_of(world: World) -> list[tuple[Attempt, Record]]:
    """All releases with their records, the oldest first."""
    found = [parsed(obj) for (kind, _, _), obj in world.objects.items.items() if kind == "Release"]
    return [(one, one.record) for one in sorted(found, key=lambda each: each.created)]


def _quiet(world: World, watcher: Watcher, closes: float) -> bool:
    """Whether all have ended, or wait for another night, and nobody watches any more."""
    for _, record in releases_of(world):
        if record.phase is Phase.QUEUED and world.now < closes + 1800.0:
            return False
        if record.phase not in ENDS and record.phase is not Phase.QUEUED:
            return False
    last = world.trace[-1].at if world.trace else world.started
    return world.now - last > 3000.0 or world.now > closes + 3600.0


def _told(app: App, day: date, kind: Kind, world: World, watcher: Watcher, kills: int) -> Told:
    found = releases_of(world)
    first = next(record for one, record in found if one.name == "first")
    undone = any(record.origin == "rollback" and record.phase is Phase.SUCCEEDED for _, record in found)
    flaws = [*(f"outside: {one}" for one in watcher.outside), *flaws_of(found, watcher.endings)]
    return Told(
        app.number, day, kind.name, first.phase, first.cause, undone, kills,
        max(0.0, first.since - world.started) / 60.0, tuple(flaws),
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
